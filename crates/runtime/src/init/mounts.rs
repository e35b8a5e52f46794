//! The mounts of the specification, in its order, below the container's root.
//!
//! Every destination is looked up inside the root by the kernel and mounted on by descriptor: a link in the image
//! leads to another place of the container at worst, never out of it. For `/proc` and `/sys` a link is refused, for
//! what is written there later must be the real thing.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use barge_oci::runtime::{Mount, Spec};
use barge_sys::mount::{self, Attributes, Change, Propagation, Reach};
use barge_sys::openat2;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::cgroup_view::{self, Groups};
use super::root::OwnRoot;
use crate::error::{At as _, Stage, StartError};
use crate::mount_options::MountOptions;

/// Makes them all; the sources of binds come with `handed` when they were opened outside. What must stay writable until the
/// end of the set-up comes back, to be made read-only then.
pub(super) fn make(
    root: &OwnRoot,
    (spec, handed): (&Spec, &mut dyn Iterator<Item = OwnedFd>),
    groups: Groups<'_>,
) -> Result<Vec<PathBuf>, StartError> {
    let mut later = Vec::new();
    for mount in &spec.mounts {
        let options = MountOptions::parse(&mount.options);
        let what = Described { mount, options: &options };
        if what.is_bind() {
            bind(root, &what, handed.next())?;
        } else if cgroup_view::is_meant(mount) {
            if cgroup_view::make(root, &what, groups)? && options.is_read_only() {
                later.push(mount.destination.clone().into());
            }
        } else if fresh(root, &what)? {
            later.push(mount.destination.clone().into());
        }
    }
    Ok(later)
}

/// A mount with its options read.
pub(crate) struct Described<'a> {
    pub(crate) mount: &'a Mount,
    pub(crate) options: &'a MountOptions,
}

impl Described<'_> {
    /// Whether it shows a part of the host's tree.
    pub(crate) fn is_bind(&self) -> bool {
        self.options.bind.is_some() || self.mount.kind.as_deref() == Some("bind")
    }

    pub(super) fn destination(&self) -> &Path {
        Path::new(&self.mount.destination)
    }

    /// As others write it: clients match on `error mounting … to rootfs at …`.
    pub(crate) fn failed(&self) -> String {
        let source = self.mount.source.as_deref().unwrap_or_default();
        let destination = &self.mount.destination;
        let bind = match self.options.bind {
            Some(Reach::One) => 0x1000,
            Some(Reach::Tree) => 0x5000,
            None => 0,
        };
        let flags = self.options.classic_flags() | bind;
        format!(
            "error mounting {source:?} to rootfs at {destination:?}: \
             mount src={source}, dst={destination}, flags={flags:#x}"
        )
    }

    fn no_place(&self) -> String {
        let source = self.mount.source.as_deref().unwrap_or_default();
        let destination = &self.mount.destination;
        format!(
            "error mounting {source:?} to rootfs at {destination:?}: \
             create mount destination for {destination} mount"
        )
    }
}

/// The folder to mount on; made when it is missing.
pub(super) fn folder(root: &OwnRoot, what: &Described<'_>) -> Result<OwnedFd, StartError> {
    let path = what.destination();
    if matches!(what.mount.kind.as_deref(), Some("proc" | "sysfs")) {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = openat2::open_without_links(root, path, flags);
        return match opened {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                openat2::create_folders(root, path, Mode::from_raw_mode(0o755))
                    .and_then(|_made| openat2::open_without_links(root, path, flags))
            }
            result => result,
        }
        .at(Stage::Mount, || what.no_place());
    }
    openat2::create_folders(root, path, Mode::from_raw_mode(0o755))
        .at(Stage::Mount, || what.no_place())
}

/// A new file system; whether it is still to be made read-only.
fn fresh(root: &OwnRoot, what: &Described<'_>) -> Result<bool, StartError> {
    let kind = what.mount.kind.as_deref().unwrap_or_default();
    let target = folder(root, what)?;
    // Mount points and devices come into a tmpfs later.
    let later = kind == "tmpfs" && what.options.is_read_only();
    let mut flags = MountFlags::from_bits_retain(what.options.classic_flags());
    if later {
        flags -= MountFlags::RDONLY;
    }
    let data =
        std::ffi::CString::new(what.options.data.as_str()).at(Stage::Mount, || what.failed())?;
    let source = what.mount.source.as_deref().unwrap_or(kind);
    // "." is the cheapest way to say "this descriptor" to mount(2).
    rustix::process::fchdir(&target).at(Stage::Mount, || what.failed())?;
    rustix::mount::mount(source, ".", kind, flags, data.as_c_str())
        .at(Stage::Mount, || what.failed())?;
    // It is private already, for what it is mounted on is.
    if let Some((propagation, reach)) =
        what.options.propagation.filter(|(propagation, _)| *propagation != Propagation::PRIVATE)
    {
        let made = openat2::open(root, what.destination(), OFlags::PATH)
            .at(Stage::Mount, || what.failed())?;
        let change = Change { propagation: Some(propagation), ..Change::NONE };
        mount::change(&made, reach, change).at(Stage::Mount, || what.failed())?;
    }
    Ok(later)
}

/// A copy of the source of a bind mount, with its options; it is nowhere yet.
pub(crate) fn open_source(what: &Described<'_>) -> Result<OwnedFd, StartError> {
    let tree = clone_source(what)?;
    dress(&tree, what)?;
    Ok(tree)
}

fn clone_source(what: &Described<'_>) -> Result<OwnedFd, StartError> {
    let options = what.options;
    let source = Path::new(what.mount.source.as_deref().unwrap_or_default());
    let reach = options.bind.unwrap_or(Reach::One);
    match &options.inside {
        None => mount::clone_tree(CWD, source, reach),
        // Of a volume, whose other users may swap folders and links meanwhile.
        Some(inside) => openat2::open_root(source)
            .and_then(|volume| openat2::open(volume, Path::new(inside), OFlags::PATH))
            .and_then(|found| mount::clone_tree(found, Path::new(""), reach)),
    }
    .at(Stage::Mount, || what.failed())
}

fn dress(tree: &OwnedFd, what: &Described<'_>) -> Result<(), StartError> {
    // `rw` is what a bind mount is unless its source is not: it does not lift a read-only mount of the host.
    let writable = |change: Change| Change {
        clear: change.clear - Attributes::MOUNT_ATTR_RDONLY,
        propagation: None,
        ..change
    };
    let options = what.options;
    for (change, reach) in [(options.here, Reach::One), (options.below, Reach::Tree)] {
        let change = writable(change);
        if !(change.set.is_empty() && change.clear.is_empty()) {
            mount::change(tree, reach, change).at(Stage::Mount, || what.failed())?;
        }
    }
    Ok(())
}

/// A part of the host's tree.
fn bind(root: &OwnRoot, what: &Described<'_>, handed: Option<OwnedFd>) -> Result<(), StartError> {
    if let Some(tree) = handed {
        let place = Place::find(root, what, &tree)?;
        return mount::attach(&tree, &place.fd).map_err(|cause| place.explain(cause, &tree, what));
    }
    let tree = clone_source(what)?;
    let place = Place::find(root, what, &tree)?;
    dress(&tree, what)?;
    let (propagation, reach) =
        what.options.propagation.unwrap_or((Propagation::PRIVATE, Reach::Tree));
    // A copy of a private mount is private.
    if (propagation, root.propagation) != (Propagation::PRIVATE, Propagation::PRIVATE) {
        let change = Change { propagation: Some(propagation), ..Change::NONE };
        mount::change(&tree, reach, change).at(Stage::Mount, || what.failed())?;
    }
    mount::attach(&tree, &place.fd).map_err(|cause| place.explain(cause, &tree, what))
}

/// What a bind mount covers.
struct Place {
    fd: OwnedFd,
}

impl Place {
    /// What is there, or a new folder or file that fits the source.
    fn find(root: &OwnRoot, what: &Described<'_>, tree: &OwnedFd) -> Result<Self, StartError> {
        let path = what.destination();
        let fd = match openat2::open(root, path, OFlags::PATH) {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                if is_folder(tree).at(Stage::Mount, || what.failed())? {
                    openat2::create_folders(root, path, Mode::from_raw_mode(0o755))
                } else {
                    openat2::create_file(root, path)
                }
            }
            result => result,
        };
        Ok(Self { fd: fd.at(Stage::Mount, || what.no_place())? })
    }

    /// move_mount(2) says EINVAL of a folder on a file, where mount(2) says ENOTDIR, which clients know.
    fn explain(&self, cause: std::io::Error, tree: &OwnedFd, what: &Described<'_>) -> StartError {
        let fits = match (is_folder(tree), is_folder(&self.fd)) {
            (Ok(source), Ok(target)) => source == target,
            _ => true,
        };
        let cause = if fits { cause } else { Errno::NOTDIR.into() };
        StartError::system(Stage::Mount, &what.failed(), &cause)
    }
}

fn is_folder(fd: &OwnedFd) -> std::io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd.as_fd())?.st_mode).is_dir())
}
