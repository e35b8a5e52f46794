//! Flags and configuration file made one, and checked.
//!
//! What both say is an error, as for dockerd: nobody should have to know which of the two wins.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barge_api_server::Endpoint;
use barge_api_types::{LogConfig, Ulimit};
use barge_engine::RegistryOptions;
use tracing_subscriber::filter::LevelFilter;

use crate::config_file::{ConfigFile, ConfigFileError, DEFAULT_PATH};
use crate::flags::Flags;
use crate::isolation::IsolationSettings;
use crate::runtimes::RuntimeSettings;
use crate::{group, logging, ulimit};

const DATA_ROOT: &str = "/var/lib/barge";
const EXEC_ROOT: &str = "/run/barge";
const SHUTDOWN_TIMEOUT: u64 = 15;
const SHM_SIZE: u64 = 64 << 20;

/// Everything that the daemon is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) hosts: Vec<Endpoint>,
    pub(crate) group: Option<u32>,
    pub(crate) data_root: PathBuf,
    pub(crate) exec_root: PathBuf,
    pub(crate) pidfile: PathBuf,
    pub(crate) log_level: LevelFilter,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) storage_driver: Option<String>,
    pub(crate) storage_opts: Vec<String>,
    pub(crate) registries: RegistryOptions,
    pub(crate) labels: Vec<String>,
    pub(crate) network: NetworkSettings,
    pub(crate) containers: ContainerSettings,
    pub(crate) isolation: IsolationSettings,
    pub(crate) runtimes: RuntimeSettings,
}

/// What of it is about the default network; `None` is the network's own default.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NetworkSettings {
    pub(crate) bridge: Option<String>,
    pub(crate) bip: Option<String>,
    pub(crate) fixed_cidr: Option<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) mtu: Option<u32>,
    pub(crate) ip: Option<String>,
    pub(crate) icc: Option<bool>,
    pub(crate) ip_forward: Option<bool>,
    pub(crate) ip_masq: Option<bool>,
    pub(crate) iptables: Option<bool>,
}

/// What of it every container gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ContainerSettings {
    pub(crate) cgroup_parent: Option<String>,
    pub(crate) log: LogConfig,
    pub(crate) ulimits: Vec<Ulimit>,
    pub(crate) dns: Vec<String>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) dns_opts: Vec<String>,
    pub(crate) shm_size: i64,
}

/// Why the daemon cannot be configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The configuration file cannot be used; the text is dockerd's.
    #[error("unable to configure the Docker daemon with file {path}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigFileError,
    },
    /// Flags and file say the same; the text is dockerd's.
    #[error(
        "unable to configure the Docker daemon with file {path}: the following directives are specified both as a flag and in the configuration file: {conflicts}",
        path = .path.display()
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// What both say.
        conflicts: String,
    },
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A `-H` that cannot be.
    #[error("cannot use -H")]
    Host(#[from] barge_api_server::ListenError),
}

impl Settings {
    /// Reads the configuration file that `flags` name and merges the two.
    pub(crate) fn load(flags: Flags) -> Result<Self, SettingsError> {
        let named = flags.config_file.clone();
        let path = named.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        let file = ConfigFile::load(named.as_deref())
            .map_err(|source| SettingsError::File { path: path.to_owned(), source })?;
        let merged = merge(flags, file.into_flags()).map_err(|conflicts| {
            SettingsError::Conflict { path: path.to_owned(), conflicts: conflicts.join(", ") }
        })?;
        Self::check(merged)
    }

    fn check(flags: Flags) -> Result<Self, SettingsError> {
        if flags.userland_proxy == Some(true) {
            return Err(invalid(
                "userland-proxy: barge publishes ports in the kernel and has no proxy program; leave it out or say --userland-proxy=false",
            ));
        }
        if flags.live_restore == Some(false) {
            return Err(invalid(
                "live-restore: containers of barge always outlive the daemon; leave it out or say --live-restore=true",
            ));
        }
        check_exec_opts(&flags.exec_opts)?;
        check_labels(&flags.labels)?;
        let exec_root = absolute(flags.exec_root.as_deref().unwrap_or(EXEC_ROOT))?;
        let data_root = absolute(flags.data_root.as_deref().unwrap_or(DATA_ROOT))?;
        let hosts = if flags.hosts.is_empty() {
            vec![Endpoint::Unix(exec_root.join("barge.sock"))]
        } else {
            flags.hosts.iter().map(|host| Endpoint::parse(host)).collect::<Result<_, _>>()?
        };
        let pidfile = match flags.pidfile.as_deref() {
            Some(path) => absolute(path)?,
            None => exec_root.join("barge.pid"),
        };
        Ok(Self {
            hosts,
            group: group::resolve(flags.group.as_deref())
                .map_err(|error| invalid(error.to_string()))?,
            pidfile,
            log_level: log_level(&flags)?,
            shutdown_timeout: Duration::from_secs(
                flags.shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT),
            ),
            storage_driver: flags.storage_driver.clone().filter(|name| !name.is_empty()),
            storage_opts: flags.storage_opts.clone(),
            registries: registry_options(&flags)?,
            labels: flags.labels.clone(),
            containers: container_settings(&flags)?,
            isolation: flags.isolation.check()?,
            runtimes: flags.runtimes.check()?,
            network: NetworkSettings {
                bridge: flags.bridge,
                bip: flags.bip,
                fixed_cidr: flags.fixed_cidr,
                gateway: flags.default_gateway,
                mtu: flags.mtu,
                ip: flags.ip,
                icc: flags.icc,
                ip_forward: flags.ip_forward,
                ip_masq: flags.ip_masq,
                iptables: flags.iptables,
            },
            data_root,
            exec_root,
        })
    }

    /// `self` with what of `new` a running daemon can take over.
    pub(crate) fn reloaded(&self, new: &Self) -> Self {
        // Proxies come from the environment, too, and stay as they are; as in dockerd.
        let registries = RegistryOptions {
            http_proxy: self.registries.http_proxy.clone(),
            https_proxy: self.registries.https_proxy.clone(),
            no_proxy: self.registries.no_proxy.clone(),
            ..new.registries.clone()
        };
        Self {
            log_level: new.log_level,
            shutdown_timeout: new.shutdown_timeout,
            registries,
            ..self.clone()
        }
    }
}

pub(crate) fn invalid(text: impl Into<String>) -> SettingsError {
    SettingsError::Invalid(text.into())
}

fn absolute(path: &str) -> Result<PathBuf, SettingsError> {
    std::path::absolute(path).map_err(|error| invalid(format!("cannot use path {path:?}: {error}")))
}

fn log_level(flags: &Flags) -> Result<LevelFilter, SettingsError> {
    let text = flags.log_level.as_deref().unwrap_or("info");
    let level = logging::parse_level(text)
        .ok_or_else(|| invalid(format!("invalid logging level: {text}")))?;
    Ok(if flags.debug == Some(true) { level.max(LevelFilter::DEBUG) } else { level })
}

fn check_exec_opts(options: &[String]) -> Result<(), SettingsError> {
    for option in options {
        match option.split_once('=') {
            Some(("native.cgroupdriver", "cgroupfs")) => {}
            Some(("native.cgroupdriver", "systemd")) => {
                return Err(invalid(
                    "exec-opts: native.cgroupdriver=systemd is not supported; barge makes its cgroups itself (cgroupfs)",
                ));
            }
            _ => return Err(invalid(format!("invalid exec-opt: {option}"))),
        }
    }
    Ok(())
}

fn check_labels(labels: &[String]) -> Result<(), SettingsError> {
    let mut seen = BTreeMap::new();
    for label in labels {
        let (key, value) = label
            .split_once('=')
            .ok_or_else(|| invalid(format!("bad attribute format: {label}")))?;
        match seen.insert(key, value) {
            Some(before) if before != value => {
                return Err(invalid(format!(
                    "conflict labels for {key}={value} and {key}={before}"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The numbers are checked here; addresses are the engine's to parse.
fn registry_options(flags: &Flags) -> Result<RegistryOptions, SettingsError> {
    let count = |value: Option<i64>, default: u32, what: &str| match value {
        None => Ok(default),
        Some(value) => {
            u32::try_from(value).map_err(|_| invalid(format!("invalid {what}: {value}")))
        }
    };
    let standard = RegistryOptions::from_environment();
    let attempts = count(flags.max_download_attempts, standard.attempts, "max download attempts")?;
    if attempts == 0 {
        return Err(invalid("invalid max download attempts: 0"));
    }
    Ok(RegistryOptions {
        mirrors: flags.registry_mirrors.clone(),
        insecure: flags.insecure_registries.clone(),
        downloads: count(
            flags.max_concurrent_downloads,
            standard.downloads,
            "max concurrent downloads",
        )?,
        uploads: count(flags.max_concurrent_uploads, standard.uploads, "max concurrent uploads")?,
        attempts,
        http_proxy: flags.http_proxy.clone().unwrap_or(standard.http_proxy),
        https_proxy: flags.https_proxy.clone().unwrap_or(standard.https_proxy),
        no_proxy: flags.no_proxy.clone().unwrap_or(standard.no_proxy),
    })
}

fn container_settings(flags: &Flags) -> Result<ContainerSettings, SettingsError> {
    let mut options = BTreeMap::new();
    for option in &flags.log_opts {
        let (key, value) = option
            .split_once('=')
            .ok_or_else(|| invalid(format!("invalid key/value for log-opt: {option}")))?;
        options.insert(key.to_owned(), value.to_owned());
    }
    let size = match flags.default_shm_size.as_deref() {
        Some(text) => barge_types::size::parse_bytes(text)
            .map_err(|error| invalid(format!("default-shm-size: {error}")))?,
        None => SHM_SIZE,
    };
    let ulimits = flags.default_ulimits.iter().map(|text| ulimit::parse(text));
    Ok(ContainerSettings {
        cgroup_parent: flags.cgroup_parent.clone().filter(|name| !name.is_empty()),
        log: LogConfig {
            kind: flags.log_driver.clone().unwrap_or_else(|| "json-file".to_owned()),
            config: options,
        },
        ulimits: ulimits.collect::<Result<_, _>>().map_err(|error| invalid(error.to_string()))?,
        dns: flags.dns.clone(),
        dns_search: flags.dns_search.clone(),
        dns_opts: flags.dns_opts.clone(),
        shm_size: i64::try_from(size)
            .map_err(|_| invalid(format!("default-shm-size: {size} is too large")))?,
    })
}

/// Notes what both places say.
#[derive(Default)]
pub(crate) struct Conflicts(Vec<String>);

impl Conflicts {
    pub(crate) fn one<T: Display>(&mut self, key: &str, flag: &mut Option<T>, file: Option<T>) {
        match (&flag, file) {
            (Some(flag), Some(file)) => self.note(key, flag, &file),
            (None, file) => *flag = file,
            (Some(_), None) => {}
        }
    }

    pub(crate) fn list(&mut self, key: &str, flag: &mut Vec<String>, file: Vec<String>) {
        if flag.is_empty() {
            *flag = file;
        } else if !file.is_empty() {
            self.note(key, &format!("[{}]", flag.join(" ")), &format!("[{}]", file.join(" ")));
        }
    }

    fn note(&mut self, key: &str, flag: &dyn Display, file: &dyn Display) {
        self.0.push(format!("{key}: (from flag: {flag}, from file: {file})"));
    }
}

/// Takes each value from where it is said; or the conflicts.
fn merge(mut flags: Flags, file: Flags) -> Result<Flags, Vec<String>> {
    let mut conflicts = Conflicts::default();
    macro_rules! take {
        ($how:ident: $($field:ident = $key:literal),* $(,)?) => {
            $(conflicts.$how($key, &mut flags.$field, file.$field);)*
        };
    }
    take!(list: hosts = "hosts", exec_opts = "exec-opts", default_ulimits = "default-ulimits",
        dns = "dns", dns_opts = "dns-opts", dns_search = "dns-search", labels = "labels",
        log_opts = "log-opts", storage_opts = "storage-opts", registry_mirrors = "registry-mirrors",
        insecure_registries = "insecure-registries");
    take!(one: data_root = "data-root", exec_root = "exec-root", pidfile = "pidfile",
        log_level = "log-level", debug = "debug", group = "group", bip = "bip", bridge = "bridge",
        storage_driver = "storage-driver", fixed_cidr = "fixed-cidr", mtu = "mtu", icc = "icc",
        default_gateway = "default-gateway", ip = "ip", ip_forward = "ip-forward",
        ip_masq = "ip-masq", iptables = "iptables", userland_proxy = "userland-proxy",
        cgroup_parent = "cgroup-parent", default_shm_size = "default-shm-size",
        max_concurrent_downloads = "max-concurrent-downloads", http_proxy = "http-proxy",
        max_concurrent_uploads = "max-concurrent-uploads", https_proxy = "https-proxy",
        max_download_attempts = "max-download-attempts", no_proxy = "no-proxy",
        live_restore = "live-restore", log_driver = "log-driver",
        shutdown_timeout = "shutdown-timeout");
    flags.isolation.merge(file.isolation, &mut conflicts);
    flags.runtimes.merge(file.runtimes, &mut conflicts);
    if conflicts.0.is_empty() { Ok(flags) } else { Err(conflicts.0) }
}

#[cfg(test)]
mod tests;
