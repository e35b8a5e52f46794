//! Walks trees by file descriptors: no symbolic link is ever followed and no absolute path is built.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, statat};
use rustix::io::Errno;

use crate::error::{ArchiveError, Result};
use crate::path;
use crate::tar::{Device, EntryKind, Header, Timestamp};

/// How many folders above the current one stay open; further ones are opened again when needed.
pub(crate) const OPEN_FOLDERS: usize = 32;

pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Which attributes carry overlayfs' own marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.…`: needs the rights of the host's root.
    #[default]
    Trusted,
    /// `user.overlay.…`: the mount option `userxattr`, for user namespaces.
    User,
}

impl Marks {
    /// The attribute of a folder that shows nothing from below.
    pub(crate) fn opaque(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.opaque",
            Self::User => b"user.overlay.opaque",
        }
    }

    /// Whether an attribute is overlayfs' and no part of a layer. Those that only the host's root can set never are one.
    pub(crate) fn has(self, name: &[u8]) -> bool {
        name.starts_with(b"trusted.overlay.")
            || (self == Self::User && name.starts_with(b"user.overlay."))
    }
}

/// Opens the root of a tree, through whatever links lead to it.
pub(crate) fn open_root(root: &Path) -> Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt as _;
    rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(ArchiveError::io("open", root.as_os_str().as_bytes()))
}

/// Opens a folder below `root` by its clean path, no link on the way.
fn open_folder(root: BorrowedFd<'_>, clean: &[u8]) -> rustix::io::Result<OwnedFd> {
    let name = if clean.is_empty() { &b"."[..] } else { clean };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(root, name, FOLDER, Mode::empty(), resolve)
}

/// The names in a folder, sorted by bytes.
pub(crate) fn names(folder: BorrowedFd<'_>, at: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let entries =
        rustix::fs::Dir::read_from(folder).map_err(ArchiveError::io("read folder", at))?;
    for entry in entries {
        let entry = entry.map_err(ArchiveError::io("read folder", at))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    found.sort_unstable();
    Ok(found)
}

pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(crate) fn is_folder(stat: &Stat) -> bool {
    file_type(stat) == FileType::Directory
}

/// Whether this is overlayfs' mark of a removed name: character device 0/0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// A path that names `name` in `folder` for the calls that know no folder descriptors.
pub(crate) fn proc_path(folder: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut text = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    text.extend_from_slice(name);
    text
}

/// The extended attributes of a name that belong in a layer: not those of overlayfs and of the host's own labels.
pub(crate) fn xattrs(
    folder: BorrowedFd<'_>,
    name: &[u8],
    (at, marks): (&[u8], Marks),
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let target = proc_path(folder, name);
    for name in xattr_names(&target, at)? {
        let is_ours = !marks.has(&name)
            && !matches!(name.as_slice(), b"security.selinux" | b"security.ima" | b"security.evm");
        if is_ours
            && let Some(value) =
                xattr(&target, &name).map_err(ArchiveError::io("read attribute of", at))?
        {
            found.insert(name, value);
        }
    }
    Ok(found)
}

fn xattr_names(target: &[u8], at: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut list = vec![0; 256];
    loop {
        match rustix::fs::llistxattr(target, list.as_mut_slice()) {
            Ok(length) => {
                list.truncate(length);
                let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                return Ok(names.map(<[u8]>::to_vec).collect());
            }
            Err(Errno::RANGE) if list.len() <= 64 * 1024 => list.resize(list.len() * 4, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(ArchiveError::io("list attributes of", at)(error)),
        }
    }
}

fn xattr(target: &[u8], name: &[u8]) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    loop {
        match rustix::fs::lgetxattr(target, name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) if value.len() <= 64 * 1024 => value.resize(value.len() * 4, 0),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Whether overlayfs shows nothing of the layers below this folder.
pub(crate) fn is_opaque(
    folder: BorrowedFd<'_>,
    name: &[u8],
    (at, marks): (&[u8], Marks),
) -> Result<bool> {
    let value = xattr(&proc_path(folder, name), marks.opaque())
        .map_err(ArchiveError::io("read attribute of", at))?;
    Ok(value.as_deref() == Some(b"y"))
}

/// What a walk is at.
pub(crate) struct Node<'a> {
    /// The folder it is in, open.
    pub(crate) folder: BorrowedFd<'a>,
    /// Its name there.
    pub(crate) name: &'a [u8],
    /// Its clean path from the root.
    pub(crate) path: &'a [u8],
    pub(crate) stat: Stat,
    /// Whose marks are no part of the tree.
    pub(crate) marks: Marks,
}

impl Node<'_> {
    pub(crate) fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        xattrs(self.folder, self.name, (self.path, self.marks))
    }

    /// What an archive says of it; nothing for a socket. A regular file is never a link here.
    pub(crate) fn header(&self) -> Result<Option<Header>> {
        let stat = &self.stat;
        let kind = match file_type(stat) {
            FileType::RegularFile => EntryKind::Regular,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Socket | FileType::Unknown => return Ok(None),
        };
        let mut header = Header::new(self.path, kind);
        header.mode = stat.st_mode & 0o7777;
        header.uid = u64::from(stat.st_uid);
        header.gid = u64::from(stat.st_gid);
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        header.mtime = Timestamp { seconds: stat.st_mtime, nanoseconds };
        header.xattrs = self.xattrs()?;
        match kind {
            EntryKind::Regular => header.size = u64::try_from(stat.st_size).unwrap_or_default(),
            EntryKind::Symlink => {
                header.link = rustix::fs::readlinkat(self.folder, self.name, Vec::new())
                    .map_err(ArchiveError::io("read link", self.path))?
                    .into_bytes();
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                let (major, minor) =
                    (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                header.device = Device { major, minor };
            }
            EntryKind::HardLink | EntryKind::Directory | EntryKind::Fifo | EntryKind::Other(_) => {}
        }
        Ok(Some(header))
    }

    pub(crate) fn is_opaque(&self) -> Result<bool> {
        is_opaque(self.folder, self.name, (self.path, self.marks))
    }

    pub(crate) fn stat_of(folder: BorrowedFd<'_>, name: &[u8], at: &[u8]) -> Result<Option<Stat>> {
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(ArchiveError::io("stat", at)(error)),
        }
    }
}

struct Frame {
    path: Vec<u8>,
    fd: Option<OwnedFd>,
    names: std::vec::IntoIter<Vec<u8>>,
}

/// Visits everything below `root`, names sorted, a folder before what is in it. Depth costs memory, not descriptors.
pub(crate) fn walk(
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&Node<'_>) -> Result<()>,
) -> Result<()> {
    walk_upper(root, Marks::Trusted, visit)
}

/// The same in the upper folder of an overlay with these marks.
pub(crate) fn walk_upper(
    root: BorrowedFd<'_>,
    marks: Marks,
    visit: &mut dyn FnMut(&Node<'_>) -> Result<()>,
) -> Result<()> {
    walk_where(root, (marks, &|_| Ok(true)), visit)
}

/// Whether a walk goes into a folder.
pub type Descends<'a> = &'a dyn Fn(BorrowedFd<'_>) -> std::io::Result<bool>;

/// The same; of a folder that `descends` does not want, nothing but itself is visited.
pub(crate) fn walk_where(
    root: BorrowedFd<'_>,
    (marks, descends): (Marks, Descends<'_>),
    visit: &mut dyn FnMut(&Node<'_>) -> Result<()>,
) -> Result<()> {
    let mut frames = vec![enter(root, Vec::new())?];
    while let Some(frame) = frames.last_mut() {
        let Some(name) = frame.names.next() else {
            frames.pop();
            continue;
        };
        if frame.fd.is_none() {
            match open_folder(root, &frame.path) {
                Ok(fd) => frame.fd = Some(fd),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    frames.pop();
                    continue;
                }
                Err(error) => return Err(ArchiveError::io("open", &frame.path)(error)),
            }
        }
        let Some(folder) = frame.fd.as_ref() else {
            continue;
        };
        let path = path::join(&frame.path, &name);
        // Gone since the folder was read: a running container may do that.
        let Some(stat) = Node::stat_of(folder.as_fd(), &name, &path)? else {
            continue;
        };
        visit(&Node { folder: folder.as_fd(), name: &name, path: &path, stat, marks })?;
        if is_folder(&stat) {
            let child = match enter(root, path) {
                Ok(child) => child,
                // It went as well, or something else has its name.
                Err(error) if error.is_absence() => continue,
                Err(error) => return Err(error),
            };
            let is_wanted = match &child.fd {
                Some(fd) => {
                    descends(fd.as_fd()).map_err(ArchiveError::io("look at", &child.path))?
                }
                None => true,
            };
            if !is_wanted {
                continue;
            }
            frames.push(child);
            let far = frames.len().checked_sub(OPEN_FOLDERS).and_then(|at| frames.get_mut(at));
            if let Some(far) = far {
                far.fd = None;
            }
        }
    }
    Ok(())
}

fn enter(root: BorrowedFd<'_>, path: Vec<u8>) -> Result<Frame> {
    let fd = open_folder(root, &path).map_err(ArchiveError::io("open", &path))?;
    let names = names(fd.as_fd(), &path)?.into_iter();
    Ok(Frame { path, fd: Some(fd), names })
}

/// Looks names of another tree up while one is walked; the last folder stays open.
pub(crate) struct View<'a> {
    root: Option<BorrowedFd<'a>>,
    marks: Marks,
    last: Option<(Vec<u8>, Option<OwnedFd>)>,
}

impl<'a> View<'a> {
    /// Without a root nothing is found.
    pub(crate) fn new(root: Option<BorrowedFd<'a>>) -> Self {
        Self::with_marks(root, Marks::Trusted)
    }

    /// A view in which these marks are no part of the tree.
    pub(crate) fn with_marks(root: Option<BorrowedFd<'a>>, marks: Marks) -> Self {
        Self { root, marks, last: None }
    }

    fn folder(&mut self, path: &[u8]) -> Result<Option<BorrowedFd<'_>>> {
        let Some(root) = self.root else {
            return Ok(None);
        };
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let fd = match open_folder(root, path) {
                Ok(fd) => Some(fd),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
                Err(error) => return Err(ArchiveError::io("open", path)(error)),
            };
            self.last = Some((path.to_vec(), fd));
        }
        Ok(self.last.as_ref().and_then(|(_, fd)| fd.as_ref()).map(AsFd::as_fd))
    }

    pub(crate) fn stat(&mut self, path: &[u8]) -> Result<Option<Stat>> {
        let (folder, name) = path::split(path);
        match self.folder(folder)? {
            Some(fd) => Node::stat_of(fd, name, path),
            None => Ok(None),
        }
    }

    pub(crate) fn xattrs(&mut self, path: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let (folder, name) = path::split(path);
        let marks = self.marks;
        match self.folder(folder)? {
            Some(fd) => xattrs(fd, name, (path, marks)),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Hands a name over as a walk does, if it is there.
    pub(crate) fn visit(
        &mut self,
        path: &[u8],
        visit: &mut dyn FnMut(&Node<'_>) -> Result<()>,
    ) -> Result<()> {
        let (folder, name) = path::split(path);
        let marks = self.marks;
        let Some(folder) = self.folder(folder)? else {
            return Ok(());
        };
        match Node::stat_of(folder, name, path)? {
            Some(stat) => visit(&Node { folder, name, path, stat, marks }),
            None => Ok(()),
        }
    }

    /// The names in a folder; none when it is not one.
    pub(crate) fn names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Some(root) = self.root else {
            return Ok(Vec::new());
        };
        match open_folder(root, path) {
            Ok(fd) => names(fd.as_fd(), path),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(Vec::new()),
            Err(error) => Err(ArchiveError::io("open", path)(error)),
        }
    }
}
