//! Extracts layers into a folder that nothing can leave.
//!
//! Names are cleaned lexically and `..` above the root is refused; folders are opened one part at a time without
//! following links, and where a link is in the way the kernel resolves the name with the destination as its root
//! (`openat2`, `RESOLVE_IN_ROOT`). Link texts are kept as they are: they mean something inside the container. Nothing is
//! synced: that is for who owns the file system.

mod entry;
mod folders;
mod whiteout;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{ArchiveError, Result};
use crate::owners::Owners;
use crate::path;
use crate::tar::{Entry, EntryKind, Header, Reader, Timestamp};
use crate::tree::{self, Marks};
use folders::Folders;

/// What becomes of `.wh.` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whiteouts {
    /// The names they tell are removed in place, unless this layer brought them.
    #[default]
    Plain,
    /// They become overlayfs' marks: a character device 0/0, the attribute `opaque` with `y`.
    Overlay(Marks),
    /// They stay names, as fuse-overlayfs reads them.
    Names,
    /// They are files like any other: the archive is no layer.
    Ordinary,
}

/// What an archive may hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries: each costs an inode, folders some memory until the end.
    pub entries: u64,
    /// Bytes of regular files, holes included.
    pub bytes: u64,
}

impl Default for Limits {
    /// Twenty million entries, a PiB: more than any layer has, less than what numbers overflow at.
    fn default() -> Self {
        Self { entries: 20_000_000, bytes: 1 << 50 }
    }
}

impl Limits {
    fn check(&self, applied: &Applied, header: &Header) -> Result<()> {
        if applied.entries > self.entries {
            return Err(ArchiveError::TooLarge { what: "entries", limit: self.entries });
        }
        match applied.bytes.checked_add(header.size) {
            Some(bytes) if bytes <= self.bytes => Ok(()),
            _ => Err(ArchiveError::TooLarge { what: "bytes of files", limit: self.bytes }),
        }
    }
}

/// Longest path, without a NUL, that any system call takes (`PATH_MAX`).
const LONGEST_PATH: usize = 4095;

/// How to extract.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApplyOptions<'a> {
    /// What the archive may hold at most.
    pub limits: Limits,
    /// What becomes of `.wh.` names.
    pub whiteouts: Whiteouts,
    /// Layers below, nearest first: a folder that the archive does not have but needs gets its attributes from there.
    pub lowers: &'a [PathBuf],
    /// Which entries are not taken as they come.
    pub special: Special,
    /// What is called otherwise.
    pub renamed: Option<Renamed<'a>>,
    /// Who owns what in the place of whom the archive names, or [`Special::owner`].
    pub owners: Option<Owners<'a>>,
}

/// What an archive of one thing calls it, and what it is to be called; nothing stands for the place itself.
#[derive(Clone, Copy, Debug)]
pub struct Renamed<'a> {
    /// Its clean name in the archive. What does not begin with it is left as it is.
    pub from: &'a [u8],
    /// Its clean name from now on.
    pub to: &'a [u8],
}

impl Renamed<'_> {
    fn apply(&self, clean: Vec<u8>) -> Vec<u8> {
        let below = match clean.strip_prefix(self.from) {
            Some(b"") => return self.to.to_vec(),
            Some(rest) if self.from.is_empty() => Some(rest),
            Some(rest) => rest.strip_prefix(b"/"),
            None => None,
        };
        match (below, self.to) {
            (None, _) => clean,
            (Some(below), b"") => below.to_vec(),
            (Some(below), to) => path::join(to, below),
        }
    }
}

/// Which entries are not taken as they come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Special {
    /// What becomes of devices.
    pub devices: Devices,
    /// What becomes of the entry of the root.
    pub root: RootEntry,
    /// What becomes of a folder in the way of something else, and of something else in the way of a folder.
    pub clashes: Clashes,
    /// User and group of everything that is made, whatever the archive says.
    pub owner: Option<(u32, u32)>,
}

/// What becomes of a folder in the way of something else, and of something else in the way of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clashes {
    /// It is removed.
    #[default]
    Replaced,
    /// It stays, and the archive is refused.
    Refused,
}

/// What becomes of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    #[default]
    Made,
    /// An archive with one is refused.
    Refused,
}

/// What becomes of the entry of the archive's root (`./`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootEntry {
    /// The destination looks like it.
    #[default]
    Applied,
    /// The destination stays as it is.
    Ignored,
}

/// What was extracted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the content of regular files.
    pub bytes: u64,
    /// Folders that the archive needed and did not have, those above before those in them: see [`inherit`].
    pub implied: Vec<PathBuf>,
}

/// A folder of a tree; links in it lead to other places of that tree, and never out of it.
#[derive(Debug)]
pub struct Place<'a> {
    /// The root of the tree.
    pub root: OwnedFd,
    /// The folder's path in there, clean.
    pub path: &'a [u8],
}

/// Extracts the plain archive `tar` into the folder `root`, and reads it to its very end.
///
/// On an error the folder holds a part of the archive.
pub fn apply(root: &Path, tar: impl Read, options: &ApplyOptions<'_>) -> Result<Applied> {
    apply_in(Place { root: tree::open_root(root)?, path: b"" }, tar, options)
}

/// The same in a folder of a tree.
pub fn apply_in(place: Place<'_>, tar: impl Read, options: &ApplyOptions<'_>) -> Result<Applied> {
    let mut reader = Reader::new(tar);
    let mut extractor = Extractor::new(place, *options)?;
    while let Some(mut entry) = reader.next_entry()? {
        extractor.entry(&mut entry)?;
    }
    reader.drain()?;
    extractor.finish()
}

/// Gives folders that were made without an entry of their own the attributes that the layers below (nearest first) have
/// for them: for layers that were extracted before those below them were there.
pub fn inherit(root: &Path, folders: &[PathBuf], lowers: &[PathBuf]) -> Result<()> {
    let mut extractor = Extractor::open(root, ApplyOptions { lowers, ..ApplyOptions::default() })?;
    for folder in folders {
        extractor.inherit(folder.as_os_str().as_bytes())?;
    }
    extractor.finish().map(drop)
}

pub(crate) struct Extractor<'a> {
    options: ApplyOptions<'a>,
    /// The clean path of what the archive calls its root.
    base: Vec<u8>,
    folders: Folders,
    /// Whose files the kernel makes when nobody says otherwise.
    me: (u32, u32),
    /// Times of folders, set at the end: making a file changes them. By path, so that a replaced one can be taken back.
    times: BTreeMap<Vec<u8>, Timestamp>,
    /// Paths that this layer brought (only where whiteouts need it).
    unpacked: HashSet<Vec<u8>>,
    /// Folders without an entry of their own.
    implied: BTreeSet<Vec<u8>>,
    applied: Applied,
}

impl<'a> Extractor<'a> {
    pub(crate) fn open(root: &Path, options: ApplyOptions<'a>) -> Result<Self> {
        Self::new(Place { root: tree::open_root(root)?, path: b"" }, options)
    }

    fn new(place: Place<'_>, options: ApplyOptions<'a>) -> Result<Self> {
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(Self {
            options,
            base: place.path.to_vec(),
            folders: Folders::new(place.root)?,
            me,
            times: BTreeMap::new(),
            unpacked: HashSet::new(),
            implied: BTreeSet::new(),
            applied: Applied::default(),
        })
    }

    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<()> {
        // Reading the content needs the entry for itself.
        let mut header = entry.header().clone();
        if let Some((uid, gid)) = self.options.special.owner {
            (header.uid, header.gid) = (uid.into(), gid.into());
        }
        if let Some(owners) = self.options.owners {
            owners.apply(&mut header)?;
        }
        let clean = self.renamed(path::clean(&header.path)?);
        self.applied.entries += 1;
        self.options.limits.check(&self.applied, &header)?;
        if clean.len() > LONGEST_PATH {
            let start = clean.get(..100).unwrap_or_default();
            return Err(ArchiveError::entry(
                start,
                format!("name of {} bytes: at most {LONGEST_PATH} are possible", clean.len()),
            ));
        }
        if clean.is_empty() {
            return match self.options.special.root {
                RootEntry::Applied => self.root(&header),
                RootEntry::Ignored => Ok(()),
            };
        }
        let is_device = matches!(header.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        if is_device && self.options.special.devices == Devices::Refused {
            return Err(ArchiveError::entry(&header.path, "a device has no place here"));
        }
        if let EntryKind::Other(flag) = header.kind {
            return Err(ArchiveError::entry(
                &header.path,
                format!("unhandled tar header type {flag}"),
            ));
        }
        let clean = self.below_base(clean);
        let meaning = match self.options.whiteouts {
            Whiteouts::Ordinary => whiteout::Name::Ordinary,
            Whiteouts::Plain | Whiteouts::Overlay(_) | Whiteouts::Names => whiteout::parse(&clean)?,
        };
        match meaning {
            whiteout::Name::Ordinary => {}
            whiteout::Name::Meaningless => return Ok(()),
            whiteout::Name::Opaque { folder } => return self.hide_below(&folder),
            whiteout::Name::Removed { path } => return self.remove_below(&path),
        }
        self.make(&clean, &header, &mut |fd| content(&header, entry, fd))?;
        if self.options.whiteouts == Whiteouts::Plain {
            self.brought(&clean);
        }
        Ok(())
    }

    /// A clean name of the archive, as it is to be called.
    fn renamed(&self, clean: Vec<u8>) -> Vec<u8> {
        match &self.options.renamed {
            Some(renamed) => renamed.apply(clean),
            None => clean,
        }
    }

    /// The path in the tree of a clean name.
    fn below_base(&self, clean: Vec<u8>) -> Vec<u8> {
        match (self.base.is_empty(), clean.is_empty()) {
            (true, _) => clean,
            (false, true) => self.base.clone(),
            (false, false) => path::join(&self.base, &clean),
        }
    }

    /// Remembers that this layer brought the path, and so the folders above it.
    fn brought(&mut self, path: &[u8]) {
        let mut path = path;
        while !path.is_empty() && self.unpacked.insert(path.to_vec()) {
            path = path::split(path).0;
        }
    }

    /// Sets the times of folders, deepest part of the work already cached by the order of paths.
    pub(crate) fn finish(mut self) -> Result<Applied> {
        for (clean, time) in std::mem::take(&mut self.times) {
            let (folder, name) = path::split(&clean);
            let name = if name.is_empty() { &b"."[..] } else { name };
            let folder = self.folders.open(folder, &mut |_| Ok(()))?;
            rustix::fs::utimensat(folder.fd.as_fd(), name, &times(time), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(ArchiveError::io("set time of", &clean))?;
        }
        let implied = self.implied.iter().map(|path| PathBuf::from(OsStr::from_bytes(path)));
        self.applied.implied = implied.collect();
        Ok(self.applied)
    }

    /// Something at `path` was removed: descriptors and times of folders there are void.
    fn forget(&mut self, path: &[u8]) {
        self.folders.forget();
        self.times.remove(path);
        let below = path::join(path, b"");
        let inside: Vec<Vec<u8>> = self
            .times
            .range(below.clone()..)
            .take_while(|(key, _)| key.starts_with(&below))
            .map(|(key, _)| key.clone())
            .collect();
        for key in inside {
            self.times.remove(&key);
        }
        self.implied.remove(path);
        let inside = self.implied.range(below.clone()..).take_while(|key| key.starts_with(&below));
        for key in inside.cloned().collect::<Vec<_>>() {
            self.implied.remove(&key);
        }
    }
}

fn times(time: Timestamp) -> Timestamps {
    let moment = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: moment, last_modification: moment }
}

/// Writes what the archive stores of a file; the rest are holes.
fn content<R: Read>(header: &Header, entry: &mut Entry<'_, R>, fd: &OwnedFd) -> Result<()> {
    let mut end = 0;
    entry.for_each_chunk(|offset, chunk| {
        end = offset + chunk.len() as u64;
        write_at(fd, offset, chunk).map_err(ArchiveError::io("write", &header.path))
    })?;
    if end < header.size {
        rustix::fs::ftruncate(fd, header.size)
            .map_err(ArchiveError::io("set size of", &header.path))?;
    }
    Ok(())
}

pub(crate) fn write_at(fd: &OwnedFd, mut offset: u64, mut chunk: &[u8]) -> rustix::io::Result<()> {
    while !chunk.is_empty() {
        match rustix::io::pwrite(fd, chunk, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                offset += written as u64;
                chunk = chunk.get(written..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
