//! The drivers, one file each, and the one place that knows their names.

mod cached;
mod fluentd;
mod gelf;
mod journald;
mod json_file;
mod local;
mod nothing;
mod syslog;

use crate::driver::{LogDriver, LogTarget};
use crate::error::LogError;
use crate::options::{Options, RotationConfig, RotationNames, is_on};
use crate::remote::Remote;

use cached::Cached;

pub use json_file::JsonFile;
pub use local::Local;
pub use nothing::Nothing;

/// What a driver keeps on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// The file of `json-file`.
    Json,
    /// The file of `local`.
    Local,
    /// A copy of what went elsewhere.
    Cache,
}

/// What there is to know of a driver.
struct Kind {
    name: &'static str,
    /// Beside those that all drivers have.
    options: &'static [&'static str],
    /// How Docker says that there is no such option.
    unknown: fn(&str) -> String,
    check: fn(&Options) -> Result<(), LogError>,
    open: fn(&LogTarget<'_>) -> Result<Box<dyn LogDriver>, LogError>,
    storage: Storage,
}

const KINDS: &[Kind] = &[
    Kind {
        name: JsonFile::NAME,
        options: &[
            "max-size",
            "max-file",
            "compress",
            "labels",
            "labels-regex",
            "env",
            "env-regex",
            "tag",
        ],
        unknown: |option| format!("unknown log opt '{option}' for json-file log driver"),
        check: |options| RotationConfig::parse(options, RotationNames::JsonFile).map(drop),
        open: |target| {
            let config = RotationConfig::parse(target.options, RotationNames::JsonFile)?;
            Ok(Box::new(JsonFile::open(target.path, config, target.attributes)?))
        },
        storage: Storage::Json,
    },
    Kind {
        name: Local::NAME,
        options: &["max-size", "max-file", "compress"],
        unknown: |option| format!("unknown log opt '{option}' for log driver local"),
        check: |options| RotationConfig::parse(options, RotationNames::Local).map(drop),
        open: |target| {
            let config = RotationConfig::parse(target.options, RotationNames::Local)?;
            Ok(Box::new(Local::open(target.path, config)?))
        },
        storage: Storage::Local,
    },
    Kind {
        name: fluentd::NAME,
        options: fluentd::OPTIONS,
        unknown: |option| format!("unknown log opt '{option}' for fluentd log driver"),
        check: |options| fluentd::FluentdConfig::parse(options).map(drop),
        open: |target| cached(target, fluentd::open(target)?),
        storage: Storage::Cache,
    },
    Kind {
        name: gelf::NAME,
        options: gelf::OPTIONS,
        unknown: |option| format!("unknown log opt {option:?} for gelf log driver"),
        check: |options| gelf::GelfConfig::parse(options).map(drop),
        open: |target| cached(target, gelf::open(target)?),
        storage: Storage::Cache,
    },
    Kind {
        name: journald::NAME,
        options: journald::OPTIONS,
        unknown: |option| format!("unknown log opt '{option}' for journald log driver"),
        check: |_| Ok(()),
        open: |target| cached(target, journald::open(target)?),
        storage: Storage::Cache,
    },
    Kind {
        name: syslog::NAME,
        options: syslog::OPTIONS,
        unknown: |option| format!("unknown log opt '{option}' for syslog log driver"),
        check: |options| syslog::SyslogConfig::parse(options).map(drop),
        open: |target| cached(target, syslog::open(target)?),
        storage: Storage::Cache,
    },
];

/// Options that every driver takes: how messages are handed to it, and the cache beside it, which a
/// driver that can be read does not need. They may come from the daemon's configuration.
const COMMON: [&str; 6] = [
    "mode",
    "max-buffer-size",
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
];

/// Whether an option is about the cache, and so is taken over from the daemon's to any container.
pub fn is_cache_option(option: &str) -> bool {
    option.starts_with("cache-") && COMMON.contains(&option)
}

/// The names of the drivers that log anything, sorted.
pub fn driver_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    names.sort_unstable();
    names
}

fn find(name: &str) -> Result<&'static Kind, LogError> {
    KINDS
        .iter()
        .find(|kind| kind.name == name)
        .ok_or_else(|| LogError::UnknownDriver(name.to_owned()))
}

pub(crate) fn open(target: &LogTarget<'_>) -> Result<Box<dyn LogDriver>, LogError> {
    if target.driver == Nothing::NAME {
        return Ok(Box::new(Nothing));
    }
    let kind = find(target.driver)?;
    check_options(kind, target.options)?;
    (kind.open)(target)
}

/// `none` takes any option, as in Docker: people set `max-size` for every container in
/// `daemon.json`.
pub(crate) fn check(driver: &str, options: &Options) -> Result<(), LogError> {
    if driver == Nothing::NAME {
        return Ok(());
    }
    check_options(find(driver)?, options)
}

fn check_options(kind: &Kind, options: &Options) -> Result<(), LogError> {
    crate::options::Mode::parse(options)?;
    let is_known = |option: &str| kind.options.contains(&option) || COMMON.contains(&option);
    if let Some(option) = options.keys().find(|option| !is_known(option)) {
        return Err(LogError::UnknownOption { text: (kind.unknown)(option) });
    }
    cache_config(options)?;
    (kind.check)(options)
}

/// `journald` at a place of the test's own, with its cache.
#[cfg(test)]
pub(crate) fn open_journal_at(
    target: &LogTarget<'_>,
    socket: &std::path::Path,
) -> Result<Box<dyn LogDriver>, LogError> {
    cached(target, journald::open_at(target, socket)?)
}

/// With its cache, unless that is switched off.
fn cached(target: &LogTarget<'_>, remote: Remote) -> Result<Box<dyn LogDriver>, LogError> {
    let remote: Box<dyn LogDriver> = Box::new(remote);
    match cache_config(target.options)? {
        None => Ok(remote),
        Some(config) => Ok(Box::new(Cached { remote, cache: Local::open(target.path, config)? })),
    }
}

/// How the cache is rotated; none when it is switched off.
pub(crate) fn cache_config(options: &Options) -> Result<Option<RotationConfig>, LogError> {
    const DISABLED: &str = "cache-disabled";
    let is_off = is_on(options, DISABLED).map_err(|_| {
        let value = options.get(DISABLED).map_or("", String::as_str);
        LogError::bad_option(format!("invalid value for option {DISABLED}: {value}"))
    })?;
    let config = RotationConfig::parse(options, RotationNames::Cache)?;
    Ok((!is_off).then_some(config))
}

/// What a driver with these options keeps on this machine.
pub(crate) fn storage(driver: &str, options: &Options) -> Option<Storage> {
    let storage = find(driver).ok()?.storage;
    match storage {
        Storage::Json | Storage::Local => Some(storage),
        Storage::Cache => cache_config(options).ok().flatten().map(|_| storage),
    }
}
