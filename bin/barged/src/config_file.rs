//! The configuration file: JSON with dockerd's keys.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barge_api_types::Ulimit;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::flags::{Flags, NOT_SUPPORTED};
use crate::isolation::{self, IsolationFlags};
use crate::runtimes::{self, RuntimeFlags};

/// Where it is when no flag says otherwise; it need not exist there.
pub(crate) const DEFAULT_PATH: &str = "/etc/barge/daemon.json";

/// The keys that are known; what is not given stays `None`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ConfigFile {
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) data_root: Option<String>,
    pub(crate) exec_root: Option<String>,
    pub(crate) pidfile: Option<String>,
    pub(crate) log_level: Option<String>,
    pub(crate) debug: Option<bool>,
    pub(crate) group: Option<String>,
    pub(crate) storage_driver: Option<String>,
    pub(crate) storage_opts: Option<Vec<String>>,
    pub(crate) registry_mirrors: Option<Vec<String>>,
    pub(crate) insecure_registries: Option<Vec<String>>,
    pub(crate) max_concurrent_downloads: Option<i64>,
    pub(crate) max_concurrent_uploads: Option<i64>,
    pub(crate) max_download_attempts: Option<i64>,
    pub(crate) proxies: Option<Proxies>,
    pub(crate) bip: Option<String>,
    pub(crate) bridge: Option<String>,
    pub(crate) fixed_cidr: Option<String>,
    pub(crate) default_gateway: Option<String>,
    pub(crate) mtu: Option<u32>,
    pub(crate) icc: Option<bool>,
    pub(crate) ip: Option<String>,
    pub(crate) ip_forward: Option<bool>,
    pub(crate) ip_masq: Option<bool>,
    pub(crate) iptables: Option<bool>,
    pub(crate) userland_proxy: Option<bool>,
    pub(crate) cgroup_parent: Option<String>,
    pub(crate) exec_opts: Option<Vec<String>>,
    pub(crate) default_ulimits: Option<BTreeMap<String, Ulimit>>,
    pub(crate) default_shm_size: Option<Value>,
    pub(crate) dns: Option<Vec<String>>,
    pub(crate) dns_opts: Option<Vec<String>>,
    pub(crate) dns_search: Option<Vec<String>>,
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) live_restore: Option<bool>,
    pub(crate) log_driver: Option<String>,
    pub(crate) log_opts: Option<BTreeMap<String, String>>,
    pub(crate) shutdown_timeout: Option<u64>,
    #[serde(flatten)]
    pub(crate) isolation: IsolationFlags,
    #[serde(flatten)]
    pub(crate) runtimes: RuntimeFlags,
}

/// The proxies; an object of its own in the file, flags of their own on the command line.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(crate) struct Proxies {
    pub(crate) http_proxy: Option<String>,
    pub(crate) https_proxy: Option<String>,
    pub(crate) no_proxy: Option<String>,
}

/// The keys of [`ConfigFile`].
const KEYS: [&str; 38] = [
    "hosts",
    "data-root",
    "exec-root",
    "pidfile",
    "log-level",
    "debug",
    "group",
    "storage-driver",
    "storage-opts",
    "registry-mirrors",
    "insecure-registries",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "proxies",
    "bip",
    "bridge",
    "fixed-cidr",
    "default-gateway",
    "mtu",
    "icc",
    "ip",
    "ip-forward",
    "ip-masq",
    "iptables",
    "userland-proxy",
    "cgroup-parent",
    "exec-opts",
    "default-ulimits",
    "default-shm-size",
    "dns",
    "dns-opts",
    "dns-search",
    "labels",
    "live-restore",
    "log-driver",
    "log-opts",
    "shutdown-timeout",
];

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    /// It cannot be read.
    #[error("cannot open {path}", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It is no JSON object, or a value has the wrong type.
    #[error("cannot read {path}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// It has keys that dockerd does not have; the text is dockerd's.
    #[error("the following directives don't match any configuration option: {0}")]
    Unknown(String),
    /// It has keys of dockerd that barge does not have.
    #[error("the following directives of dockerd are not supported by barged: {0}")]
    NotSupported(String),
}

impl ConfigFile {
    /// Reads the file that was named, or the default one when there is one.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, ConfigFileError> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => {
                return Err(ConfigFileError::Open { path: path.to_owned(), source });
            }
        };
        Self::parse(&text, path)
    }

    /// The same in the form of flags.
    pub(crate) fn into_flags(self) -> Flags {
        let ulimits = self.default_ulimits.unwrap_or_default().into_iter();
        let options = self.log_opts.unwrap_or_default().into_iter();
        let proxies = self.proxies.unwrap_or_default();
        Flags {
            hosts: self.hosts.unwrap_or_default(),
            data_root: self.data_root,
            exec_root: self.exec_root,
            pidfile: self.pidfile,
            log_level: self.log_level,
            debug: self.debug,
            group: self.group,
            storage_driver: self.storage_driver,
            storage_opts: self.storage_opts.unwrap_or_default(),
            registry_mirrors: self.registry_mirrors.unwrap_or_default(),
            insecure_registries: self.insecure_registries.unwrap_or_default(),
            max_concurrent_downloads: self.max_concurrent_downloads,
            max_concurrent_uploads: self.max_concurrent_uploads,
            max_download_attempts: self.max_download_attempts,
            http_proxy: proxies.http_proxy,
            https_proxy: proxies.https_proxy,
            no_proxy: proxies.no_proxy,
            bip: self.bip,
            bridge: self.bridge,
            fixed_cidr: self.fixed_cidr,
            default_gateway: self.default_gateway,
            mtu: self.mtu,
            icc: self.icc,
            ip: self.ip,
            ip_forward: self.ip_forward,
            ip_masq: self.ip_masq,
            iptables: self.iptables,
            userland_proxy: self.userland_proxy,
            cgroup_parent: self.cgroup_parent,
            exec_opts: self.exec_opts.unwrap_or_default(),
            default_ulimits: ulimits
                .map(|(name, limit)| format!("{name}={}:{}", limit.soft, limit.hard))
                .collect(),
            default_shm_size: self
                .default_shm_size
                .map(|size| size.as_str().map_or_else(|| size.to_string(), str::to_owned)),
            dns: self.dns.unwrap_or_default(),
            dns_opts: self.dns_opts.unwrap_or_default(),
            dns_search: self.dns_search.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
            live_restore: self.live_restore,
            log_driver: self.log_driver,
            log_opts: options.map(|(key, value)| format!("{key}={value}")).collect(),
            shutdown_timeout: self.shutdown_timeout,
            isolation: self.isolation,
            runtimes: self.runtimes,
            ..Flags::default()
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigFileError> {
        let malformed = |source| ConfigFileError::Malformed { path: path.to_owned(), source };
        // An empty file is an empty configuration, as for dockerd.
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let values: Map<String, Value> = serde_json::from_str(text).map_err(malformed)?;
        let others: Vec<&str> =
            values.keys().map(String::as_str).filter(|key| !is_known(key)).collect();
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            others.into_iter().partition(|key| is_dockerds(key));
        if !unknown.is_empty() {
            return Err(ConfigFileError::Unknown(unknown.join(", ")));
        }
        if !known.is_empty() {
            return Err(ConfigFileError::NotSupported(known.join(", ")));
        }
        serde_json::from_value(Value::Object(values)).map_err(malformed)
    }
}

fn is_known(key: &str) -> bool {
    KEYS.contains(&key) || isolation::KEYS.contains(&key) || runtimes::KEYS.contains(&key)
}

/// Whether dockerd has this key: that of a flag, most of them in the plural where the flag is a list.
fn is_dockerds(key: &str) -> bool {
    const ONLY_KEYS: [&str; 6] = [
        "authorization-plugins",
        "builder",
        "default-address-pools",
        "default-network-opts",
        "features",
        "node-generic-resources",
    ];
    const PLURALS: [&str; 1] = ["host-gateway-ips"];
    NOT_SUPPORTED.contains(&key) || ONLY_KEYS.contains(&key) || PLURALS.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, ConfigFileError> {
        ConfigFile::parse(text, Path::new("/x"))
    }

    #[test]
    fn every_key_is_read() {
        let values: Map<String, Value> = KEYS
            .iter()
            .chain(&isolation::KEYS)
            .chain(&runtimes::KEYS)
            .map(|key| ((*key).to_owned(), Value::Null))
            .collect();
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(parse(&text).unwrap(), ConfigFile::default());
        let file = parse(
            r#"{"hosts":["unix:///a"],"debug":true,"log-opts":{"max-size":"1m"},
                "default-ulimits":{"nofile":{"Name":"nofile","Hard":2,"Soft":1}}}"#,
        )
        .unwrap();
        assert_eq!(file.hosts.unwrap(), ["unix:///a"]);
        assert_eq!(file.debug, Some(true));
        assert_eq!(file.log_opts.unwrap()["max-size"], "1m");
        assert_eq!(file.default_ulimits.unwrap()["nofile"].hard, 2);
    }

    #[test]
    fn unknown_keys_are_refused_in_dockerds_words() {
        let text = parse(r#"{"debug":true,"dbug":true,"hots":[]}"#).unwrap_err().to_string();
        assert_eq!(
            text,
            "the following directives don't match any configuration option: dbug, hots"
        );
    }

    #[test]
    fn keys_of_dockerd_that_are_missing_say_so() {
        for key in ["raw-logs", "host-gateway-ips", "features"] {
            let error = parse(&format!(r#"{{"{key}":null}}"#)).unwrap_err();
            assert!(matches!(error, ConfigFileError::NotSupported(_)), "{error}");
        }
    }

    #[test]
    fn malformed_files_are_refused_and_an_empty_one_is_empty() {
        for text in ["{", "[]", r#"{"debug":"yes"}"#, r#"{"hosts":"x"}"#, r#"{"proxies":{"x":1}}"#]
        {
            assert!(matches!(parse(text), Err(ConfigFileError::Malformed { .. })), "{text}");
        }
        assert_eq!(parse(" \n").unwrap(), ConfigFile::default());
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        assert!(ConfigFile::load(Some(Path::new("/does/not/exist"))).is_err());
    }
}
