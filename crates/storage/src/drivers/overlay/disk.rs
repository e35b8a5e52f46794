//! The folders and files of a layer, made relative to an open root: creating one is on the path of every `run`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::error::{Result, StorageError};
use crate::fault;
use crate::layer_id::{LayerId, random};
use crate::trash::Trash;

/// Letters of a short link: `l/` and 26 of them, as Docker's.
const LINK_LENGTH: usize = 26;

/// Where a layer is mounted to be read.
pub(super) const VIEW: &str = "view";

/// What a layer is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// To be below others.
    ReadOnly,
    /// To be mounted soon.
    ReadWrite,
}

/// Gives an empty folder an upper bound.
pub(super) type Limit<'a> = &'a dyn Fn(&OwnedFd) -> std::io::Result<()>;

/// A layer to be made.
pub(super) struct NewLayer<'a> {
    pub(super) id: &'a LayerId,
    pub(super) link: &'a str,
    pub(super) lower: Option<&'a str>,
    pub(super) parts: Parts,
    /// Limits the size of the folder while it is empty.
    pub(super) limit: Option<Limit<'a>>,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) path: PathBuf,
    pub(super) root: OwnedFd,
    pub(super) trash: Trash,
    /// The umask takes bits from `diff`, the root of containers: they must be put back.
    has_odd_umask: AtomicBool,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(StorageError::io("create", path))?;
        // Mount options and `inspect` want an absolute name.
        let path = std::fs::canonicalize(path).map_err(StorageError::io("open", path))?;
        let root = open_folder(&path)?;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o710))
            .map_err(StorageError::io("change mode of", &path))?;
        make_folder(&root, "l", 0o700).or_else(|error| match error {
            Errno::EXIST => Ok(()),
            error => Err(StorageError::io("create", &path.join("l"))(error)),
        })?;
        let trash = Trash::open(&path, root.as_fd(), crate::trash::delete_tree)?;
        Ok(Self { path, root, trash, has_odd_umask: AtomicBool::new(true) })
    }

    pub(super) fn path(&self, id: &LayerId) -> PathBuf {
        self.path.join(id.as_str())
    }

    /// The short name of a layer's content.
    pub(super) fn short(&self, link: &str) -> PathBuf {
        self.path.join("l").join(link)
    }

    /// Makes the folder of a layer, complete but for the link in `l/`.
    pub(super) fn make(&self, layer: &NewLayer<'_>) -> Result<()> {
        let NewLayer { id, link, lower, parts, limit } = *layer;
        let path = self.path(id);
        let failed = |action| StorageError::io::<Errno>(action, &path);
        match make_folder(&self.root, id.as_str(), 0o710) {
            Err(Errno::EXIST) => {
                // Half-made by a process that died: nobody knows it.
                self.trash.take(self.root.as_fd(), id.as_str())?;
                make_folder(&self.root, id.as_str(), 0o710)
            }
            result => result,
        }
        .map_err(failed("create layer"))?;
        fault::point();
        if let Some(limit) = limit {
            open_folder(&path).and_then(|folder| {
                limit(&folder).map_err(StorageError::io("limit the size of", &path))
            })?;
            fault::point();
        }
        let name = |part: &str| format!("{id}/{part}");
        make_folder(&self.root, &name("diff"), 0o755).map_err(failed("create diff of layer"))?;
        if self.has_odd_umask.load(Ordering::Relaxed) {
            let mode = Mode::from_raw_mode(0o755);
            rustix::fs::chmodat(&self.root, name("diff"), mode, AtFlags::empty())
                .map_err(failed("change mode of layer"))?;
        }
        fault::point();
        if parts == Parts::ReadWrite || lower.is_some() {
            make_folder(&self.root, &name("work"), 0o700)
                .map_err(failed("create work of layer"))?;
            fault::point();
        }
        if parts == Parts::ReadWrite {
            make_folder(&self.root, &name("merged"), 0o700)
                .map_err(failed("create merged of layer"))?;
            fault::point();
        }
        if let Some(lower) = lower {
            self.write(&name("lower"), lower).map_err(failed("write lower of layer"))?;
            fault::point();
        }
        self.write(&name("link"), link).map_err(failed("write link of layer"))?;
        fault::point();
        Ok(())
    }

    /// The last step of making a layer: from here on it is there.
    pub(super) fn show(&self, id: &LayerId, link: &str) -> Result<()> {
        let result =
            rustix::fs::symlinkat(format!("../{id}/diff"), &self.root, format!("l/{link}"));
        result.map_err(StorageError::io("link layer", &self.short(link)))?;
        fault::point();
        Ok(())
    }

    /// Folders for a trial mount.
    pub(super) fn make_probe(&self, id: &LayerId) -> Result<()> {
        let path = self.path(id);
        let failed = |action| StorageError::io::<Errno>(action, &path);
        make_folder(&self.root, id.as_str(), 0o700).map_err(failed("create"))?;
        for part in ["diff", "work", "merged", "lower"] {
            make_folder(&self.root, &format!("{id}/{part}"), 0o755)
                .map_err(failed("create parts of"))?;
        }
        let stat = rustix::fs::statat(&self.root, format!("{id}/diff"), AtFlags::empty())
            .map_err(failed("stat parts of"))?;
        self.has_odd_umask.store(stat.st_mode & 0o777 != 0o755, Ordering::Relaxed);
        Ok(())
    }

    /// What must be in place for a mount: its point, and no mark of a volatile mount before, whose layer is still good
    /// enough for its container.
    pub(super) fn prepare_mount(&self, id: &LayerId) -> Result<()> {
        let mark = format!("{id}/work/work/incompat/volatile");
        for (name, flags) in
            [(format!("{mark}/dirty"), AtFlags::empty()), (mark, AtFlags::REMOVEDIR)]
        {
            match rustix::fs::unlinkat(&self.root, name, flags) {
                Ok(()) => {}
                Err(Errno::NOENT) => break,
                Err(error) => return Err(StorageError::io("prepare", &self.path(id))(error)),
            }
        }
        match make_folder(&self.root, &format!("{id}/merged"), 0o700) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(StorageError::io("create merged of", &self.path(id))(error)),
        }
    }

    /// Makes the place where a layer is mounted to be read.
    pub(super) fn make_view(&self, id: &LayerId) -> Result<()> {
        match make_folder(&self.root, &format!("{id}/{VIEW}"), 0o700) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(StorageError::io("create view of", &self.path(id))(error)),
        }
    }

    /// Every layer that is there, by the links in `l/`.
    pub(super) fn links(&self) -> Result<BTreeMap<LayerId, String>> {
        let folder = self.path.join("l");
        let failed = || StorageError::io::<std::io::Error>("read", &folder);
        let mut links = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let Ok(link) = entry.file_name().into_string() else {
                continue;
            };
            let Ok(target) = std::fs::read_link(entry.path()) else {
                continue;
            };
            let id = target
                .to_str()
                .and_then(|target| target.strip_prefix("../")?.strip_suffix("/diff"))
                .and_then(|id| id.parse::<LayerId>().ok());
            if let Some(id) = id
                && link.len() == LINK_LENGTH
                && self.path(&id).join("diff").is_dir()
            {
                links.insert(id, link);
            }
        }
        Ok(links)
    }

    /// The links below a layer, nearest first; `None` when the file makes no sense (a host that lost power).
    pub(super) fn lower(&self, id: &LayerId) -> Result<Option<Vec<String>>> {
        let path = self.path(id).join("lower");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some(Vec::new()));
            }
            Err(error) => return Err(StorageError::io("read", &path)(error)),
        };
        let links =
            text.trim_end().split(':').map(|link| link.strip_prefix("l/").map(str::to_owned));
        Ok(links.collect())
    }

    /// Throws away folders and links that belong to no known layer.
    pub(super) fn sweep(&self, is_known: &dyn Fn(&LayerId) -> bool) -> Result<()> {
        let failed = || StorageError::io::<std::io::Error>("read", &self.path);
        for entry in std::fs::read_dir(&self.path).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<LayerId>().ok()) else {
                continue;
            };
            if !is_known(&id) {
                unmount(&entry.path().join("merged"))?;
                unmount(&entry.path().join(VIEW))?;
                self.trash.take(self.root.as_fd(), id.as_str())?;
            }
        }
        let folder = self.path.join("l");
        for entry in std::fs::read_dir(&folder).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let is_dangling = matches!(
                std::fs::metadata(entry.path()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound
            );
            if is_dangling && let Some(link) = entry.file_name().to_str() {
                match rustix::fs::unlinkat(&self.root, format!("l/{link}"), AtFlags::empty()) {
                    // The thread that deletes what was removed before the crash has come first.
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => {
                        return Err(StorageError::io("remove link", &entry.path())(error));
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> rustix::io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.root, name, flags, Mode::from_raw_mode(0o644))?;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let written = rustix::io::write(&fd, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// 26 random letters and digits, as Docker's short links.
pub(super) fn new_link() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bytes = random()?;
    let letter = |byte: u8| ALPHABET.get(usize::from(byte % 32)).copied().map_or('A', char::from);
    Ok(bytes.iter().take(LINK_LENGTH).map(|byte| letter(*byte)).collect())
}

fn make_folder(root: &OwnedFd, name: &str, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::mkdirat(root, name, Mode::from_raw_mode(mode))
}

pub(in crate::drivers) fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(StorageError::io("open", path))
}

/// Whether something is mounted at a path. One call, however many mounts the host has.
pub(super) fn is_mounted(path: &Path) -> Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::empty()) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        // Served by a process that is no more.
        Err(Errno::NOTCONN) => unmount(path).map(|()| false),
        Err(error) => Err(StorageError::io("stat", path)(error)),
    }
}

/// Takes the mount at a path out of sight; it ends when its last user does. Nothing there is fine.
pub(in crate::drivers) fn unmount(path: &Path) -> Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(StorageError::io("unmount", path)(error)),
    }
}
