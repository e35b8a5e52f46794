//! The files and links of `/dev`.

use std::path::Path;

use barge_oci::runtime::{LinuxDevice, Mount, Spec};
use barge_sys::mount::{self, Reach};
use barge_sys::openat2;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{Gid, Uid};

use super::root::OwnRoot;
use crate::error::{At as _, Stage, StartError};

/// What every container has (runtime specification, "Default Devices"); the terminal's two come with the terminal.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links that programs expect (runtime specification, "Dev symbolic links").
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes them, unless `/dev` is a bind mount: then it is somebody else's.
pub(super) fn make(root: &OwnRoot, spec: &Spec) -> Result<(), StartError> {
    let is_bound = |mount: &Mount| {
        Path::new(&mount.destination) == Path::new("/dev")
            && (mount.kind.as_deref() == Some("bind")
                || mount.options.iter().any(|option| option == "bind" || option == "rbind"))
    };
    if spec.mounts.iter().any(is_bound) {
        return Ok(());
    }
    let dev = openat2::create_folders(root, Path::new("/dev"), Mode::from_raw_mode(0o755))
        .at(Stage::Device, || "open /dev".into())?;
    let wanted = spec.linux.as_ref().map(|linux| linux.devices.as_slice()).unwrap_or_default();
    for (name, major, minor) in DEFAULTS {
        let is_given = |device: &LinuxDevice| device.path.strip_prefix("/dev/") == Some(name);
        if !wanted.iter().any(is_given) {
            let mode = Mode::from_raw_mode(0o666);
            let number = rustix::fs::makedev(major, minor);
            node(&Node {
                folder: &dev,
                name: Path::new(name),
                kind: FileType::CharacterDevice,
                mode,
                number,
            })
            .at(Stage::Device, || format!("mknod /dev/{name}"))?;
        }
    }
    for device in wanted {
        given(root, device)?;
    }
    for (name, target) in LINKS {
        link(&dev, name, target)?;
    }
    // As other engines do, where there is one: the host's own files may be out of reach.
    if openat2::open(root, Path::new("/proc/kcore"), OFlags::PATH).is_ok() {
        link(&dev, "core", "/proc/kcore")?;
    }
    Ok(())
}

fn link(dev: &std::os::fd::OwnedFd, name: &str, target: &str) -> Result<(), StartError> {
    match rustix::fs::symlinkat(target, dev, name) {
        // The image's own.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).at(Stage::Device, || format!("symlink {target} /dev/{name}")),
    }
}

/// A device that the specification lists.
fn given(root: &OwnRoot, device: &LinuxDevice) -> Result<(), StartError> {
    let shown = || format!("mknod {}", device.path);
    let invalid = || StartError::new(Stage::Validate, format!("bad device {:?}", device.path));
    let path = Path::new(&device.path);
    let kind = match device.kind.as_str() {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        _ => return Err(invalid()),
    };
    let name = path.file_name().map(Path::new).ok_or_else(invalid)?;
    let parent = path.parent().ok_or_else(invalid)?;
    let folder = openat2::create_folders(root, parent, Mode::from_raw_mode(0o755))
        .at(Stage::Device, shown)?;
    let number = |number: i64| u32::try_from(number).map_err(|_negative| invalid());
    let number = rustix::fs::makedev(number(device.major)?, number(device.minor)?);
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    let made =
        node(&Node { folder: &folder, name, kind, mode, number }).at(Stage::Device, shown)?;
    if made == Made::Bound {
        return Ok(());
    }
    let (uid, gid) = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    if (uid, gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&folder, name, Some(uid), Some(gid), flags)
            .at(Stage::Device, || format!("chown {}", device.path))?;
    }
    Ok(())
}

struct Node<'a> {
    folder: &'a std::os::fd::OwnedFd,
    name: &'a Path,
    kind: FileType,
    mode: Mode,
    number: u64,
}

/// How a device came to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// It is a file of the container's.
    Own,
    /// It is the host's file, with the host's owner and mode.
    Bound,
}

fn node(node: &Node<'_>) -> std::io::Result<Made> {
    match rustix::fs::mknodat(node.folder, node.name, node.kind, node.mode, node.number) {
        // Only in a user namespace: the host's file is shown instead.
        Err(Errno::PERM) => bind(node).map(|()| Made::Bound),
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(node.folder, node.name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_same = FileType::from_raw_mode(stat.st_mode) == node.kind
                && (stat.st_rdev == node.number || node.kind == FileType::Fifo);
            if is_same { Ok(Made::Own) } else { Err(Errno::EXIST.into()) }
        }
        result => Ok(result.map(|()| Made::Own)?),
    }
}

fn bind(node: &Node<'_>) -> std::io::Result<()> {
    let kind = if node.kind == FileType::BlockDevice { "block" } else { "char" };
    let number = node.number;
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    // sysfs knows the name of every device of the host by its number.
    let event = std::fs::read_to_string(format!("/sys/dev/{kind}/{major}:{minor}/uevent"))?;
    let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    let host = Path::new("/dev").join(name.ok_or(std::io::ErrorKind::NotFound)?);
    let tree = mount::clone_tree(CWD, &host, Reach::One)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    drop(rustix::fs::openat(node.folder, node.name, flags, Mode::from_raw_mode(0o600))?);
    mount::attach_at(&tree, node.folder, node.name)
}
