//! The files that a container gets from the daemon: `/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf`, and its log.

use std::path::{Path, PathBuf};

use barge_api_types::LogConfig;
use barge_logdriver::LogFile;
use barge_network::{Endpoint, hosts_file, hosts_file::LinkedHost, resolv_conf};
use barge_storage::MountOptions;
use barge_sys::openat2;
use barge_types::accounts;

use super::container::Container;
use super::record::ContainerRecord;
use super::settings::{NetworkMode, Settings};
use super::{ContainerDefaults, Containers, invalid_text, spec};
use crate::disk::{Durability, write_file};
use crate::error::{EngineError, Result};

/// The texts of the three files.
#[derive(Debug)]
pub(crate) struct FileTexts {
    hostname: String,
    hosts: String,
    resolv_conf: String,
}

/// What the texts are made of besides the container itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileSources<'a> {
    pub(crate) endpoint: Option<&'a Endpoint>,
    pub(crate) linked: &'a [LinkedHost],
    pub(crate) defaults: &'a ContainerDefaults,
}

impl FileTexts {
    /// What they are called.
    pub(crate) const NAMES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

    /// Of a container whose network is its own or the host's.
    pub(crate) fn new(
        record: &ContainerRecord,
        settings: &Settings,
        sources: FileSources<'_>,
    ) -> Result<Self> {
        Ok(Self {
            hostname: format!("{}\n", record.config.hostname),
            hosts: hosts(record, settings, sources)?,
            resolv_conf: resolv_conf(record, settings, sources.defaults),
        })
    }

    /// Writes them into a folder. They are written anew with each start, so a crash of the machine loses nothing.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let texts = [&self.hostname, &self.hosts, &self.resolv_conf];
        Self::NAMES.into_iter().zip(texts).try_for_each(|(name, text)| {
            write_file(&folder.join(name), text.as_bytes(), Durability::Lazy)
        })
    }
}

impl Containers {
    /// Writes the three files and says in which folder they are: the partner's when its network is used, so that both
    /// see the same.
    pub(super) fn write_files(
        &self,
        container: &Container,
        endpoint: Option<&Endpoint>,
        linked: &[LinkedHost],
    ) -> Result<PathBuf> {
        let (record, settings) = (container.record(), container.settings());
        if let NetworkMode::Container(name) = &settings.network {
            return Ok(self.network_owner(name)?.folder.clone());
        }
        let folder = container.folder.clone();
        let sources = FileSources { endpoint, linked, defaults: &self.defaults };
        FileTexts::new(&record, &settings, sources)?.write(&folder)?;
        Ok(folder)
    }

    /// `--group-add` by number: names are those of the container's own /etc/group.
    pub(super) fn additional_groups(
        &self,
        record: &ContainerRecord,
        rootfs: &Path,
    ) -> Result<Vec<u32>> {
        let wanted = &record.host_config.group_add;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let database = openat2::open_root(rootfs)
            .and_then(|root| openat2::read(&root, Path::new("etc/group")));
        let database = match database {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(EngineError::io("read", rootfs.join("etc/group"))(error)),
        };
        wanted
            .iter()
            .map(|name| accounts::find_group(name, &database).map_err(invalid_text))
            .collect()
    }

    /// The same for one that runs: its root is mounted.
    pub(super) fn groups_of_running(&self, container: &Container) -> Result<Vec<u32>> {
        self.additional_groups(&container.record(), &self.mounted_root(container)?)
    }

    /// Whether its own files know a user, to be refused before a start that would fail.
    pub(super) fn check_user(&self, container: &Container, user: &str) -> Result<()> {
        let rootfs = self.storage.mount(&container.layer, &MountOptions::default())?;
        let known = spec::check_user(user, &rootfs);
        self.storage.unmount(&container.layer)?;
        known
    }

    /// Where the root of one that runs is on the host.
    pub(super) fn mounted_root(&self, container: &Container) -> Result<PathBuf> {
        let data = self.storage.metadata(&container.layer)?;
        Ok(data.get("MergedDir").map_or_else(PathBuf::new, PathBuf::from))
    }

    /// What can be read of a container's log; none when its driver keeps nothing here.
    pub(super) fn log_file(&self, container: &Container) -> Option<LogFile> {
        let record = container.record();
        let LogConfig { kind, config } = &record.host_config.log_config;
        LogFile::of(kind, config, &container.folder, container.id.as_str())
    }
}

fn hosts(
    record: &ContainerRecord,
    settings: &Settings,
    sources: FileSources<'_>,
) -> Result<String> {
    let extra = extra_hosts(&record.host_config.extra_hosts)?;
    if settings.network == NetworkMode::Host {
        let own = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let added: Vec<String> = extra
            .iter()
            .map(|extra| match extra.target {
                hosts_file::HostTarget::Address(address) => format!("{address}\t{}\n", extra.name),
                // The host is where it already is.
                hosts_file::HostTarget::Gateway => format!("127.0.0.1\t{}\n", extra.name),
            })
            .collect();
        return Ok(own + &added.concat());
    }
    let link = sources.endpoint.and_then(Endpoint::link);
    let file = hosts_file::HostsFile {
        hostname: &record.config.hostname,
        domainname: &record.config.domainname,
        address: link.map(|link| link.address.addr()),
        extra: &extra,
        linked: sources.linked,
        gateway: link.and_then(|link| link.gateway),
    };
    Ok(file.to_text())
}

fn resolv_conf(
    record: &ContainerRecord,
    settings: &Settings,
    defaults: &ContainerDefaults,
) -> String {
    let host = &record.host_config;
    let or = |own: &[String], default: &[String]| {
        if own.is_empty() { default.to_vec() } else { own.to_vec() }
    };
    let asked = resolv_conf::DnsOptions {
        servers: or(&host.dns, &defaults.dns),
        search: or(&host.dns_search, &defaults.dns_search),
        options: or(&host.dns_options, &defaults.dns_options),
    };
    let reach = if settings.network == NetworkMode::Host {
        resolv_conf::Reach::Host
    } else {
        resolv_conf::Reach::Own
    };
    resolv_conf::to_text(&resolv_conf::read_host(), &asked, reach)
}

fn extra_hosts(list: &[String]) -> Result<Vec<hosts_file::ExtraHost>> {
    list.iter().map(|entry| hosts_file::ExtraHost::parse(entry).map_err(invalid_text)).collect()
}
