//! What images are loaded from: an archive, spooled to a file, indexed by name, read by place; or a folder as it is.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use barge_archive::compression::Decoder;
use barge_archive::path;
use barge_archive::tar::{EntryKind, Reader};
use barge_archive::{ArchiveError, Digester};
use barge_sys::openat2;
use barge_types::Digest;
use rustix::fs::OFlags;

use crate::error::{ImageError, Result};

/// More entries than any archive of images has: the index stays small whatever comes.
const ENTRIES: usize = 200_000;
/// The longest JSON document that is read into memory, as containerd limits it.
pub const LONGEST_DOCUMENT: u64 = 16 << 20;
/// Links to links, further than anyone goes.
const LINKS: usize = 8;

/// Where a name of an archive leads.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Bytes of the archive.
    File {
        /// The first.
        offset: u64,
        /// How many.
        size: u64,
    },
    /// Another name, made clean.
    Link(Vec<u8>),
}

/// Files with names.
#[derive(Debug)]
pub(super) enum Archive {
    /// A spooled archive.
    Spooled {
        /// All of it, plain.
        file: Arc<File>,
        /// What is in it.
        entries: HashMap<Vec<u8>, Entry>,
    },
    /// An open folder; no link in it leads out.
    Folder(OwnedFd),
}

/// Where a file is.
#[derive(Debug)]
struct Found {
    file: Arc<File>,
    offset: u64,
    size: u64,
}

impl Archive {
    /// Reads a stream, plain or compressed, into `file` and looks what is in it.
    pub(super) fn spool(stream: &mut dyn Read, mut file: File) -> Result<Self> {
        let mut plain = Decoder::new(stream).map_err(ImageError::ReadArchive)?;
        io::copy(&mut plain, &mut file)
            .map_err(|source| ImageError::ReadArchive(ArchiveError::Read { offset: 0, source }))?;
        let file = Arc::new(file);
        let whole = Section { file: Arc::clone(&file), offset: 0, left: u64::MAX };
        Ok(Self::Spooled { entries: index(whole)?, file })
    }

    /// A folder, read in place.
    pub(super) fn folder(path: &Path) -> Result<Self> {
        openat2::open_root(path).map(Self::Folder).map_err(ImageError::io("open", path))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    fn find(&self, name: &str) -> Result<Found> {
        match self {
            Self::Spooled { file, entries } => {
                let (offset, size) = find_entry(entries, name)?;
                Ok(Found { file: Arc::clone(file), offset, size })
            }
            Self::Folder(root) => find_file(root, name),
        }
    }

    /// The size of a file.
    pub(super) fn size(&self, name: &str) -> Result<u64> {
        Ok(self.find(name)?.size)
    }

    /// A file as a stream, and its size.
    pub(super) fn open(&self, name: &str) -> Result<(Section, u64)> {
        let Found { file, offset, size } = self.find(name)?;
        Ok((Section { file, offset, left: size }, size))
    }

    /// A document as a whole, checked against the digest that names it.
    pub(super) fn read(&self, name: &str, expected: Option<Digest>) -> Result<Vec<u8>> {
        let (section, size) = self.open(name)?;
        if size > LONGEST_DOCUMENT {
            return Err(ImageError::archive(format!("{name} is too long: {size} bytes")));
        }
        let mut bytes = Vec::new();
        section
            .take(LONGEST_DOCUMENT)
            .read_to_end(&mut bytes)
            .map_err(|source| ImageError::ReadArchive(ArchiveError::Read { offset: 0, source }))?;
        let got = Digester::of(&bytes);
        match expected {
            Some(expected) if expected != got => {
                Err(ImageError::WrongDigest { what: name.to_owned(), expected, got })
            }
            _ => Ok(bytes),
        }
    }
}

/// Follows links; what an archive of images links is a layer that several of its images share.
fn find_entry(entries: &HashMap<Vec<u8>, Entry>, name: &str) -> Result<(u64, u64)> {
    let mut clean = path::clean(name.as_bytes()).map_err(ImageError::ReadArchive)?;
    for _ in 0..LINKS {
        match entries.get(&clean) {
            Some(Entry::File { offset, size }) => return Ok((*offset, *size)),
            Some(Entry::Link(target)) => clean.clone_from(target),
            None => return Err(ImageError::archive(format!("{name} is not in it"))),
        }
    }
    Err(ImageError::archive(format!("{name} is a link that leads nowhere")))
}

/// A regular file; nothing waits for a pipe that stands in its place.
fn find_file(root: &OwnedFd, name: &str) -> Result<Found> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match openat2::open(root, Path::new(name), flags) {
        Ok(fd) => File::from(fd),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ImageError::archive(format!("{name} is not in it")));
        }
        Err(error) => return Err(ImageError::io("open", Path::new(name))(error)),
    };
    let metadata = file.metadata().map_err(ImageError::io("look at", Path::new(name)))?;
    if !metadata.is_file() {
        return Err(ImageError::archive(format!("{name:?} is not a file")));
    }
    Ok(Found { file: Arc::new(file), offset: 0, size: metadata.len() })
}

/// Names and places. Devices, pipes and names that lead out have no business in an archive of
/// images.
fn index(whole: Section) -> Result<HashMap<Vec<u8>, Entry>> {
    let mut reader = Reader::new(whole);
    let mut entries = HashMap::new();
    loop {
        let (header, is_whole) = match reader.next_entry().map_err(ImageError::ReadArchive)? {
            None => return Ok(entries),
            Some(entry) => {
                let stored: u64 = entry.segments().iter().map(|segment| segment.length).sum();
                (entry.header().clone(), stored == entry.header().size)
            }
        };
        let name = path::clean(&header.path).map_err(ImageError::ReadArchive)?;
        let shown = || String::from_utf8_lossy(&header.path).into_owned();
        let entry = match header.kind {
            EntryKind::Directory => continue,
            EntryKind::Regular if is_whole => {
                Entry::File { offset: reader.offset(), size: header.size }
            }
            EntryKind::Regular => {
                return Err(ImageError::archive(format!("{:?} is a sparse file", shown())));
            }
            EntryKind::HardLink => {
                Entry::Link(path::clean(&header.link).map_err(ImageError::ReadArchive)?)
            }
            EntryKind::Symlink if header.link.first() == Some(&b'/') => {
                return Err(ImageError::archive(format!("{:?} links out of it", shown())));
            }
            EntryKind::Symlink => {
                let target = path::join(path::split(&name).0, &header.link);
                Entry::Link(path::clean(&target).map_err(ImageError::ReadArchive)?)
            }
            EntryKind::CharDevice
            | EntryKind::BlockDevice
            | EntryKind::Fifo
            | EntryKind::Other(_) => {
                return Err(ImageError::archive(format!("{:?} is not a file", shown())));
            }
        };
        if entries.len() == ENTRIES {
            return Err(ImageError::archive("too many entries are in it"));
        }
        entries.insert(name, entry);
    }
}

/// A part of a file as a stream.
#[derive(Debug)]
pub(super) struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(part) = buffer.get_mut(..most) else {
            return Ok(0);
        };
        let count = self.file.read_at(part, self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
