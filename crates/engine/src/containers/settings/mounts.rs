//! `-v`, `--mount`, `--tmpfs` and the image's VOLUMEs, as one list of mounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barge_api_types::{BindOptions, ContainerConfig, HostConfig, Mount};

use super::invalid;
use crate::containers::record::{Access, CopyUp, MountSource, Origin, Recursion};
use crate::error::{EngineError, Result};

/// A mount that was asked for; a volume without a name gets one when the container is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedMount {
    pub(crate) destination: String,
    pub(crate) source: MountSource,
    pub(crate) access: Access,
    pub(crate) mode: String,
    pub(crate) propagation: String,
    /// Whether a missing path of the host is made, as `-v` does and `--mount` does not.
    pub(crate) missing_source: MissingSource,
    /// Options for a volume that does not exist yet.
    pub(crate) volume_options: BTreeMap<String, String>,
    /// Labels for a volume that does not exist yet.
    pub(crate) volume_labels: BTreeMap<String, String>,
}

/// What becomes of a bind whose source does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingSource {
    Create,
    Refuse,
}

/// Everything that is to be mounted. A place that is named twice is refused, except that a bind or volume of the
/// user's takes the place of an image's VOLUME.
pub(crate) fn parse_mounts(
    config: &ContainerConfig,
    host: &HostConfig,
) -> Result<Vec<WantedMount>> {
    let mut mounts: Vec<WantedMount> = Vec::new();
    let mut add = |mount: WantedMount| {
        if mounts.iter().any(|other| other.destination == mount.destination) {
            return Err(invalid(format!("Duplicate mount point: {}", mount.destination)));
        }
        mounts.push(mount);
        Ok(())
    };
    for bind in &host.binds {
        add(from_bind(bind)?)?;
    }
    for mount in &host.mounts {
        add(from_mount(mount)?)?;
    }
    for (destination, options) in &host.tmpfs {
        let options: Vec<String> =
            options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
        check_tmpfs(&options)?;
        add(plain(clean(destination)?, MountSource::Tmpfs { options }))?;
    }
    for destination in config.volumes.keys() {
        let destination = clean(destination)?;
        if !mounts.iter().any(|other| other.destination == destination) {
            mounts.push(plain(destination, volume(String::new())));
        }
    }
    Ok(mounts)
}

impl WantedMount {
    /// Refuses a bind whose source has to exist and does not.
    pub(crate) fn check_source(&self) -> Result<()> {
        match &self.source {
            MountSource::Bind { path, .. }
                if self.missing_source == MissingSource::Refuse && !path.exists() =>
            {
                Err(invalid(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    path.display()
                )))
            }
            MountSource::Bind { .. }
            | MountSource::Volume { .. }
            | MountSource::Tmpfs { .. }
            | MountSource::Image { .. } => Ok(()),
        }
    }
}

/// Where the bind of this text leads to inside.
pub(crate) fn destination_of(bind: &str) -> Option<String> {
    from_bind(bind).ok().map(|mount| mount.destination)
}

fn plain(destination: String, source: MountSource) -> WantedMount {
    WantedMount {
        destination,
        source,
        access: Access::ReadWrite,
        mode: String::new(),
        propagation: String::new(),
        missing_source: MissingSource::Create,
        volume_options: BTreeMap::new(),
        volume_labels: BTreeMap::new(),
    }
}

fn volume(name: String) -> MountSource {
    let origin = if name.is_empty() { Origin::Anonymous } else { Origin::Named };
    MountSource::Volume { name, subpath: String::new(), copy: CopyUp::Copy, origin }
}

/// An absolute path without `.`, `..` and doubled slashes, which is not the root itself.
pub(crate) fn clean(destination: &str) -> Result<String> {
    if !destination.starts_with('/') {
        return Err(invalid(format!(
            "invalid mount path: '{destination}' mount path must be absolute"
        )));
    }
    let cleaned = barge_types::path::clean(destination);
    if cleaned == "/" {
        return Err(invalid("invalid volume specification: destination can't be '/'"));
    }
    Ok(cleaned)
}

/// `[SOURCE:]DESTINATION[:MODE]`.
fn from_bind(text: &str) -> Result<WantedMount> {
    let wrong = || invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [destination] => ("", *destination, ""),
        [source, destination] => (*source, *destination, ""),
        [source, destination, mode] => (*source, *destination, *mode),
        _ => return Err(wrong()),
    };
    if destination.is_empty() || (source.is_empty() && parts.len() > 1) {
        return Err(wrong());
    }
    let source = if source.starts_with('/') {
        MountSource::Bind { path: host_path(source), recursion: Recursion::Recursive }
    } else if source.contains('/') {
        return Err(invalid(format!(
            "create {source}: \"{source}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    } else {
        volume(source.to_owned())
    };
    let mut mount = plain(clean(destination)?, source);
    apply_mode(&mut mount, mode, text)?;
    Ok(mount)
}

fn apply_mode(mount: &mut WantedMount, mode: &str, text: &str) -> Result<()> {
    mode.clone_into(&mut mount.mode);
    let accesses = mode.split(',').filter(|word| matches!(*word, "ro" | "rw"));
    if accesses.count() > 1 {
        return Err(invalid(format!("invalid mode: {mode}")));
    }
    for word in mode.split(',').filter(|word| !word.is_empty()) {
        match (word, &mut mount.source) {
            ("ro", _) => mount.access = Access::ReadOnly,
            // SELinux labels: there is nothing to label where SELinux is not enforced.
            ("rw" | "z" | "Z", _) => {}
            ("nocopy", MountSource::Volume { copy, .. }) => *copy = CopyUp::NoCopy,
            (
                "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave",
                MountSource::Bind { .. },
            ) => {
                word.clone_into(&mut mount.propagation);
            }
            _ => {
                return Err(invalid(format!(
                    "invalid mode: {word} in volume specification '{text}'"
                )));
            }
        }
    }
    Ok(())
}

/// The long form of `--mount`.
fn from_mount(mount: &Mount) -> Result<WantedMount> {
    let kind = mount.kind.as_str();
    let wrong = |what: &str| invalid(format!("invalid mount config for type \"{kind}\": {what}"));
    if mount.target.is_empty() {
        return Err(wrong("field Target must not be empty"));
    }
    // Each kind has options of its own; of an unknown one, the kind is what is wrong.
    let options = [
        (mount.bind_options.is_some(), "bind", "BindOptions"),
        (mount.volume_options.is_some(), "volume", "VolumeOptions"),
        (mount.tmpfs_options.is_some(), "tmpfs", "TmpfsOptions"),
        (mount.image_options.is_some(), "image", "ImageOptions"),
    ];
    if options.iter().any(|(_, owner, _)| *owner == kind)
        && let Some((_, _, field)) =
            options.iter().find(|(there, owner, _)| *there && *owner != kind)
    {
        return Err(wrong(&format!("field {field} must not be specified")));
    }
    let mut wanted = match kind {
        "bind" => plain(clean(&mount.target)?, bind_source(mount, &wrong)?),
        "volume" => plain(clean(&mount.target)?, volume_source(mount)),
        "tmpfs" if !mount.source.is_empty() => {
            return Err(wrong("field Source must not be specified"));
        }
        "tmpfs" => {
            let options = tmpfs_options(mount);
            check_tmpfs(&options)?;
            plain(clean(&mount.target)?, MountSource::Tmpfs { options })
        }
        "image" => plain(clean(&mount.target)?, image_source(mount, &wrong)?),
        "npipe" | "cluster" => {
            return Err(EngineError::NotImplemented(format!(
                "mounts of type {kind} are not supported by barge"
            )));
        }
        _ => return Err(invalid(format!("mount type unknown: \"{kind}\""))),
    };
    if kind == "image" {
        // Whatever is asked for, as in Docker.
        wanted.access = Access::ReadOnly;
        "rprivate".clone_into(&mut wanted.propagation);
    }
    if mount.read_only {
        wanted.access = Access::ReadOnly;
    }
    wanted.missing_source = MissingSource::Refuse;
    if let Some(options) = &mount.bind_options {
        check_bind(mount, options, &wrong)?;
        if options.read_only_non_recursive {
            wanted.access = Access::TopReadOnly;
        }
        options.propagation.clone_into(&mut wanted.propagation);
        if options.create_mountpoint {
            wanted.missing_source = MissingSource::Create;
        }
    }
    if let Some(options) = &mount.volume_options {
        options.labels.clone_into(&mut wanted.volume_labels);
        if let Some(driver) = &options.driver_config {
            if !matches!(driver.name.as_str(), "" | "local") {
                return Err(EngineError::NotImplemented(format!(
                    "volume driver {} is not supported by barge",
                    driver.name
                )));
            }
            driver.options.clone_into(&mut wanted.volume_options);
        }
    }
    Ok(wanted)
}

/// How mounts made later are passed on.
const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

fn check_bind(
    mount: &Mount,
    options: &BindOptions,
    wrong: &impl Fn(&str) -> EngineError,
) -> Result<()> {
    let propagation = options.propagation.as_str();
    if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation) {
        return Err(wrong(&format!("invalid propagation mode: {propagation}")));
    }
    if !mount.read_only && (options.read_only_non_recursive || options.read_only_force_recursive) {
        return Err(wrong("mount is not read-only"));
    }
    if options.read_only_non_recursive && options.read_only_force_recursive {
        return Err(wrong(
            "ReadOnlyNonRecursive and ReadOnlyForceRecursive cannot be set at the same time",
        ));
    }
    if options.read_only_force_recursive && propagation != "rprivate" {
        return Err(wrong("ReadOnlyForceRecursive requires propagation \"rprivate\""));
    }
    Ok(())
}

fn bind_source(mount: &Mount, wrong: &impl Fn(&str) -> EngineError) -> Result<MountSource> {
    if mount.source.is_empty() {
        return Err(wrong("field Source must not be empty"));
    }
    if !mount.source.starts_with('/') {
        return Err(wrong(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.source
        )));
    }
    let is_shallow = mount.bind_options.as_ref().is_some_and(|options| options.non_recursive);
    let recursion = if is_shallow { Recursion::Shallow } else { Recursion::Recursive };
    Ok(MountSource::Bind { path: host_path(&mount.source), recursion })
}

/// As Docker reads the source of a bind: without `.` and `..`, before anybody looks.
fn host_path(text: &str) -> PathBuf {
    barge_types::path::clean(text).into()
}

fn volume_source(mount: &Mount) -> MountSource {
    let options = mount.volume_options.clone().unwrap_or_default();
    let origin = if mount.source.is_empty() { Origin::Anonymous } else { Origin::Named };
    let copy = if options.no_copy { CopyUp::NoCopy } else { CopyUp::Copy };
    MountSource::Volume { name: mount.source.clone(), subpath: options.subpath, copy, origin }
}

/// The reference and a path in what it names, which is looked for when the container starts.
fn image_source(mount: &Mount, wrong: &impl Fn(&str) -> EngineError) -> Result<MountSource> {
    if mount.source.is_empty() {
        return Err(wrong("field Source must not be empty"));
    }
    let subpath = mount.image_options.clone().unwrap_or_default().subpath;
    if !is_local(&subpath) {
        return Err(wrong("subpath must be a relative path within the volume"));
    }
    Ok(MountSource::Image { name: mount.source.clone(), subpath, made: None })
}

/// Whether a path stays below where it is looked up, as it is written.
fn is_local(path: &str) -> bool {
    let mut depth = 0_i32;
    !path.starts_with('/')
        && path.split('/').all(|part| {
            depth += match part {
                ".." => -1,
                "" | "." => 0,
                _ => 1,
            };
            depth >= 0
        })
}

/// Docker's list of what a tmpfs takes; the kernel's own is longer and says less about what is wrong.
fn check_tmpfs(options: &[String]) -> Result<()> {
    const FLAGS: [&str; 17] = [
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "strictatime",
    ];
    const KEYS: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
    let is_known = |option: &str| match option.split_once('=') {
        Some((key, _)) => KEYS.contains(&key),
        None => FLAGS.contains(&option) || PROPAGATIONS.contains(&option) || option == "defaults",
    };
    // A share of the memory, or so many bytes.
    let is_size = |size: &str| {
        let units = ['%', 'k', 'K', 'm', 'M', 'g', 'G', 't', 'T', 'p', 'P', 'e', 'E'];
        let number = size.strip_suffix(units).unwrap_or(size);
        match number.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).is_ok(),
            None => number.parse::<u64>().is_ok(),
        }
    };
    let is_wrong = |option: &str| match option.split_once('=') {
        Some(("size", size)) => !is_size(size),
        Some(("mode", mode)) => u32::from_str_radix(mode, 8).is_err(),
        Some(("uid" | "gid", id)) => id.parse::<u32>().is_err(),
        _ => !is_known(option),
    };
    match options.iter().find(|option| is_wrong(option)) {
        Some(option) => Err(invalid(format!("invalid tmpfs option [{option:?}]"))),
        None => Ok(()),
    }
}

fn tmpfs_options(mount: &Mount) -> Vec<String> {
    let Some(options) = &mount.tmpfs_options else {
        return Vec::new();
    };
    let size = (options.size_bytes > 0).then(|| format!("size={}", options.size_bytes));
    let mode = (options.mode > 0).then(|| format!("mode={:o}", options.mode));
    let other = options.options.iter().map(|words| words.join("="));
    size.into_iter().chain(mode).chain(other).collect()
}
