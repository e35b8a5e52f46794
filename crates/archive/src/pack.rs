//! Writes layers: trees, upper folders of overlays and lists of changes as tar.
//!
//! The same tree gives the same bytes: names are sorted, times are whole seconds and owners are numbers, as in Docker's
//! layers. What goes or shrinks while it is read (a container may run) is left out or filled with zeros. A removed name becomes `.wh.NAME`, a folder that hides what is below it holds `.wh..wh..opq`. Sockets are left
//! out. The folder itself has no entry.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::changes::{Change, ChangeKind};
use crate::error::{ArchiveError, Result};
use crate::holes::stored_parts;
use crate::owners::Owners;
use crate::path;
use crate::tar::{EntryKind, Header, Segment, Writer};
use crate::tree::{self, Marks, Node, View};

/// Prefix of the name that removes a name.
pub const WHITEOUT: &[u8] = b".wh.";
/// The name that makes its folder hide everything below.
pub const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of names that mean nothing (left by aufs), other than [`OPAQUE`].
pub const WHITEOUT_META: &[u8] = b".wh..wh.";

/// Holes are worth a sparse entry from this size of them on.
const WORTHWHILE_HOLES: u64 = 1024 * 1024;

/// How trees are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Times after this one are told as this one, in seconds since the epoch (`SOURCE_DATE_EPOCH`).
    pub latest: Option<i64>,
    /// What becomes of holes.
    pub holes: Holes,
}

/// What becomes of a file's holes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holes {
    /// Large ones stay holes. Where they are is the file system's say, which may change with what is in memory: a second
    /// archive may have other bytes.
    #[default]
    Kept,
    /// They are zeros, as in Docker's layers: the same bytes wherever the file is.
    Filled,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Bytes of content, each file once however many names it has.
    pub bytes: u64,
    /// Whether a file has holes in the archive.
    pub has_holes: bool,
}

/// Writes a whole tree.
pub fn tree(root: &Path, options: &PackOptions, out: impl Write) -> Result<Packed> {
    let root = tree::open_root(root)?;
    let mut packer = Packer::new(options, out);
    tree::walk(root.as_fd(), &mut |node| packer.add(node))?;
    packer.finish()
}

/// Writes the upper folder of an overlay over `lower`, the view of everything below.
pub fn upper(
    (upper, marks): (&Path, Marks),
    lower: Option<BorrowedFd<'_>>,
    options: &PackOptions,
    out: impl Write,
) -> Result<Packed> {
    let root = tree::open_root(upper)?;
    let mut view = View::with_marks(lower, marks);
    let mut packer = Packer::new(options, out);
    tree::walk_upper(root.as_fd(), marks, &mut |node| {
        if tree::is_whiteout(&node.stat) {
            return packer.removed(node.path, &node.stat);
        }
        packer.add(node)?;
        // The kernel marks new folders too; a layer says it only where there is something to hide.
        if tree::is_folder(&node.stat) && node.is_opaque()? && view.stat(node.path)?.is_some() {
            packer.marker(&path::join(node.path, OPAQUE), &node.stat)?;
        }
        Ok(())
    })?;
    packer.finish()
}

/// Writes the changed paths of a tree; `changes` are sorted by path.
pub fn changes(
    root: &Path,
    changes: &[Change],
    options: &PackOptions,
    out: impl Write,
) -> Result<Packed> {
    let root = tree::open_root(root)?;
    let mut packer = Packer::new(options, out);
    let mut view = View::new(Some(root.as_fd()));
    for change in changes {
        let path = change.relative();
        match change.kind {
            ChangeKind::Delete => {
                let folder = view.stat(path::split(path).0)?;
                packer.removed_at(path, folder.map_or(0, |stat| stat.st_mtime))?;
            }
            ChangeKind::Add | ChangeKind::Modify => {
                view.visit(path, &mut |node| packer.add(node))?;
            }
        }
    }
    packer.finish()
}

pub(crate) struct Packer<'a, W: Write> {
    writer: Writer<W>,
    options: PackOptions,
    owners: Option<Owners<'a>>,
    packed: Packed,
    /// What the archive calls the root; nothing where names begin below it.
    name: Vec<u8>,
    /// First names of files with several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(options: &PackOptions, out: W) -> Self {
        Self::named(b"", options, out)
    }

    /// Puts everything below `name`.
    pub(crate) fn named(name: &[u8], options: &PackOptions, out: W) -> Self {
        let (writer, links) = (Writer::new(out), HashMap::new());
        let (options, packed) = (*options, Packed::default());
        Self { writer, options, owners: None, packed, name: name.to_vec(), links }
    }

    /// Tells other owners than the files have.
    pub(crate) fn with_owners(self, owners: Option<Owners<'a>>) -> Self {
        Self { owners, ..self }
    }

    pub(crate) fn finish(self) -> Result<Packed> {
        self.writer.finish().map(|_| self.packed)
    }

    fn seconds(&self, seconds: i64) -> i64 {
        self.options.latest.map_or(seconds, |latest| seconds.min(latest))
    }

    /// `a/b` → `a/.wh.b`.
    fn removed(&mut self, path: &[u8], stat: &Stat) -> Result<()> {
        self.removed_at(path, stat.st_mtime)
    }

    fn removed_at(&mut self, path: &[u8], seconds: i64) -> Result<()> {
        let (folder, name) = path::split(path);
        let mut header =
            Header::new(path::join(folder, &[WHITEOUT, name].concat()), EntryKind::Regular);
        header.mode = 0o600;
        header.mtime.seconds = self.seconds(seconds);
        self.writer.append_bytes(&header, b"")
    }

    fn marker(&mut self, path: &[u8], stat: &Stat) -> Result<()> {
        let mut header = Header::new(path, EntryKind::Regular);
        header.mode = stat.st_mode & 0o777;
        header.mtime.seconds = self.seconds(stat.st_mtime);
        self.writer.append_bytes(&header, b"")
    }

    pub(crate) fn add(&mut self, node: &Node<'_>) -> Result<()> {
        let mut header = match node.header() {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(()),
            Err(error) if error.is_absence() => return Ok(()),
            Err(error) => return Err(error),
        };
        header.path = self.path(node.path);
        if let Some(owners) = self.owners {
            owners.apply(&mut header)?;
        }
        header.mtime.nanoseconds = 0;
        header.mtime.seconds = self.seconds(header.mtime.seconds);
        match header.kind {
            EntryKind::Regular => self.regular(node, header),
            EntryKind::HardLink
            | EntryKind::Symlink
            | EntryKind::CharDevice
            | EntryKind::BlockDevice
            | EntryKind::Directory
            | EntryKind::Fifo
            | EntryKind::Other(_) => self.writer.append_bytes(&header, b""),
        }
    }

    fn regular(&mut self, node: &Node<'_>, mut header: Header) -> Result<()> {
        if node.stat.st_nlink > 1 {
            let inode = (node.stat.st_dev, node.stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                header.kind = EntryKind::HardLink;
                header.link.clone_from(first);
                return self.writer.append_bytes(&header, b"");
            }
        }
        let Some((file, stat)) = open_regular(node).map_err(ArchiveError::io("open", node.path))?
        else {
            return Ok(());
        };
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), header.path.clone());
        }
        header.size = u64::try_from(stat.st_size).unwrap_or_default();
        self.packed.bytes += header.size;
        let allocated = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        if self.options.holes == Holes::Kept && header.size > allocated + WORTHWHILE_HOLES {
            self.packed.has_holes = true;
            let map =
                stored_parts(&file, header.size).map_err(ArchiveError::io("seek in", node.path))?;
            let mut stored = Filled(Parts { file: &file, map: &map, position: 0 });
            return self.writer.append_sparse(&header, &map, &mut stored);
        }
        self.writer.append(&header, &mut Filled(file))
    }

    /// The name in the archive of what has this path in the tree.
    fn path(&self, path: &[u8]) -> Vec<u8> {
        match (self.name.as_slice(), path) {
            (name, b"") => name.to_vec(),
            (b"/", path) => [b"/", path].concat(),
            (name, path) => path::join(name, path),
        }
    }
}

/// Opens a file of which nothing else was opened before it was known to be one: of a container that runs, the name may
/// mean a device of the host by now, or a pipe.
fn open_regular(node: &Node<'_>) -> std::io::Result<Option<(File, Stat)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = match rustix::fs::openat(node.folder, node.name, flags, Mode::empty()) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if tree::file_type(&rustix::fs::fstat(&found)?) != FileType::RegularFile {
        return Ok(None);
    }
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    Ok(Some((File::from(fd), stat)))
}

/// Zeros behind the end: of a file that becomes shorter while it is read, the header has told the size already.
struct Filled<R>(R);

impl<R: Read> Read for Filled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        if read == 0 {
            buffer.fill(0);
            return Ok(buffer.len());
        }
        Ok(read)
    }
}

/// Reads the stored parts of a file, one after the other.
struct Parts<'a> {
    file: &'a File,
    map: &'a [Segment],
    position: u64,
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let Some((first, rest)) = self.map.split_first() else {
                return Ok(0);
            };
            let left = first.length - self.position;
            if left == 0 {
                self.map = rest;
                self.position = 0;
                continue;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.file.read_at(
                buffer.get_mut(..most).unwrap_or_default(),
                first.offset + self.position,
            )?;
            self.position += read as u64;
            return Ok(read);
        }
    }
}
