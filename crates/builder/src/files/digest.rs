//! What a selection is: a digest over names, types, modes, owners, attributes, contents and link targets; not times.
//!
//! One walk by several threads; contents are read only where no remembered checksum counts.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use barge_archive::{Digester, path};
use barge_types::Digest;
use rustix::fs::{FileType, OFlags, Stat};

use super::error::{FilesError, Result, shown};
use super::memory::{Fingerprint, is_same};
use super::select::{Root, Selection};
use super::tree::{Child, Tree, Visibility};
use super::{queue, resolve, xattrs};

/// A folder that was walked: what is said of it and of what is in it.
struct Walked {
    path: Vec<u8>,
    /// A folder that is there only when something in it is.
    is_conditional: bool,
    /// Whether anything is in it that is there.
    has_any: bool,
    text: Vec<u8>,
}

/// A file without a remembered checksum.
struct Unread {
    path: Vec<u8>,
    stat: Stat,
    /// Which folder, and where in its text the checksum goes.
    folder: usize,
    at: usize,
}

#[derive(Default)]
struct Walk {
    folders: Vec<Walked>,
    unread: Vec<Unread>,
}

impl Selection {
    /// The digest.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn digest(&self) -> Result<Digest> {
        let since = SystemTime::now();
        let mut digester = Digester::new();
        digester.update(b"files 1");
        for root in &self.roots {
            self.add(root, &mut digester, since)?;
        }
        // What could not be written is computed again the next time.
        if let Some(memory) = self.tree.memory() {
            memory.save().ok();
        }
        Ok(digester.finish().0)
    }

    fn add(&self, root: &Root, digester: &mut Digester, since: SystemTime) -> Result<()> {
        let mut text = Vec::new();
        if let Some(pivot) = root.pivot {
            for (parent, stat) in self.parents(root, pivot)? {
                self.describe(&mut text, &parent, &stat);
            }
        }
        if !root.is_spilled() {
            words(&mut text, &[&root.name]);
        }
        let mut walk = Walk::default();
        if root.kind == FileType::Directory {
            walk = self.walk(root)?;
        } else {
            let (folder, name) = path::split(&root.path);
            let fd = resolve::open(self.tree.root(), folder, OFlags::PATH | OFlags::DIRECTORY)
                .map_err(|_| FilesError::changed(folder))?;
            let child = Child { name: name.to_vec(), kind: root.kind, stat: root.stat };
            let mut entry = Walked::new(Vec::new(), Visibility::Shown);
            self.child(&mut entry, (&fd, folder), &child, &mut walk.unread)?;
            walk.folders.push(entry);
        }
        self.read(&mut walk, since)?;
        digester.update(&(text.len() as u64).to_le_bytes());
        digester.update(&text);
        finish(&mut walk.folders, digester);
        Ok(())
    }

    /// The folders between a pivot and what was chosen, from the outermost.
    pub(super) fn parents(&self, root: &Root, pivot: usize) -> Result<Vec<(Vec<u8>, Stat)>> {
        let mut parents = Vec::new();
        let mut at = path::split(&root.path).0;
        while at.len() > pivot {
            let fd = resolve::open(self.tree.root(), at, OFlags::PATH | OFlags::DIRECTORY);
            let stat = fd.and_then(rustix::fs::fstat).map_err(|_| FilesError::changed(at))?;
            parents.push((at.to_vec(), stat));
            at = path::split(at).0;
        }
        parents.reverse();
        Ok(parents)
    }

    fn walk(&self, root: &Root) -> Result<Walk> {
        let walk = Mutex::new(Walk::default());
        let first = vec![(Vec::new(), root.stat, Visibility::Shown)];
        queue::run(first, &|(below, stat, visibility): (Vec<u8>, Stat, Visibility), more| {
            let place = join(&root.path, &below);
            let (fd, children) = self.tree.list(&place)?;
            let mut folder = Walked::new(below.clone(), visibility);
            self.tree.check_cancelled()?;
            // Of what is spilled, the outermost folder gives nothing but its content.
            if !(below.is_empty() && root.is_spilled()) {
                self.describe(&mut folder.text, &below, &stat);
                folder.text.extend(xattrs::encode(&xattrs::of_fd(&fd, &place)?));
            }
            let mut unread = Vec::new();
            for child in &children {
                let path = path::join(&below, &child.name);
                match self.shows(root, &path, child.kind) {
                    Visibility::Hidden => {}
                    shows if child.kind == FileType::Directory => {
                        more.push((path, child.stat, shows));
                    }
                    Visibility::Shown | Visibility::IfInside => {
                        self.child(&mut folder, (&fd, &place), child, &mut unread)?;
                    }
                }
            }
            let mut walk = walk.lock().unwrap_or_else(PoisonError::into_inner);
            let index = walk.folders.len();
            walk.folders.push(folder);
            walk.unread.extend(unread.into_iter().map(|unread| Unread { folder: index, ..unread }));
            Ok::<(), FilesError>(())
        })?;
        Ok(walk.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds something that is no folder.
    fn child(
        &self,
        folder: &mut Walked,
        (fd, place): (&OwnedFd, &[u8]),
        child: &Child,
        unread: &mut Vec<Unread>,
    ) -> Result<()> {
        folder.has_any = true;
        self.describe(&mut folder.text, &child.name, &child.stat);
        let path = || path::join(place, &child.name);
        match child.kind {
            FileType::RegularFile => {
                let known = self.tree.memory().and_then(|memory| memory.get(&child.stat));
                let at = folder.text.len();
                folder.text.extend(known.unwrap_or_default());
                if known.is_none() {
                    unread.push(Unread { path: path(), stat: child.stat, folder: 0, at });
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(fd, &*child.name, Vec::new())
                    .map_err(|_| FilesError::changed(&path()))?;
                words(&mut folder.text, &[target.to_bytes()]);
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                folder.text.extend(child.stat.st_rdev.to_le_bytes());
            }
            FileType::Directory | FileType::Fifo | FileType::Socket | FileType::Unknown => {}
        }
        Ok(())
    }

    fn describe(&self, text: &mut Vec<u8>, name: &[u8], stat: &Stat) {
        let (uid, gid) = self.tree.owner(stat);
        words(text, &[name]);
        for number in [stat.st_mode, uid, gid] {
            text.extend(number.to_le_bytes());
        }
    }

    /// Reads what has no checksum yet, side by side.
    fn read(&self, walk: &mut Walk, since: SystemTime) -> Result<()> {
        if walk.unread.is_empty() {
            return Ok(());
        }
        let found = Mutex::new(Vec::with_capacity(walk.unread.len()));
        let tasks: Vec<usize> = (0..walk.unread.len()).rev().collect();
        let unread = &walk.unread;
        queue::run(tasks, &|index: usize, _: &mut Vec<usize>| {
            let Some(file) = unread.get(index) else { return Ok(()) };
            let sum = fingerprint(&self.tree, &file.path, &file.stat)?;
            found.lock().unwrap_or_else(PoisonError::into_inner).push((index, sum));
            Ok::<(), FilesError>(())
        })?;
        let mut known = Vec::new();
        for (index, (sum, stat)) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let Some(file) = walk.unread.get(index) else { continue };
            let text = walk.folders.get_mut(file.folder).map(|folder| &mut folder.text);
            if let Some(place) = text.and_then(|text| text.get_mut(file.at..file.at + sum.len())) {
                place.copy_from_slice(&sum);
            }
            known.extend(stat.map(|stat| (stat, sum)));
        }
        if let Some(memory) = self.tree.memory() {
            memory.add(known, since);
        }
        Ok(())
    }
}

impl Walked {
    fn new(path: Vec<u8>, visibility: Visibility) -> Self {
        let is_conditional = visibility == Visibility::IfInside;
        Self { path, is_conditional, has_any: false, text: Vec::new() }
    }
}

/// Reads a file for its checksum; with what it looked like, when it did so before and after.
fn fingerprint(tree: &Tree, path: &[u8], stat: &Stat) -> Result<(Fingerprint, Option<Stat>)> {
    let mut file = File::from(open_regular(tree, path)?);
    let failed = || FilesError::io("read", shown(path).as_bytes());
    let mut digester = Digester::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        tree.check_cancelled()?;
        let length = file.read(&mut buffer).map_err(failed())?;
        if length == 0 {
            break;
        }
        digester.update(buffer.get(..length).unwrap_or_default());
    }
    let length = digester.bytes();
    digester.update(&length.to_le_bytes());
    digester.update(&xattrs::encode(&xattrs::of_fd(&file, path)?));
    let after = rustix::fs::fstat(&file).map_err(|_| FilesError::changed(path))?;
    let is_calm = is_same(stat, &after) && length == stat.st_size.cast_unsigned();
    Ok((*digester.finish().0.as_bytes(), is_calm.then_some(after)))
}

/// Opens what was a regular file when it was listed; a pipe that took its place does not block.
pub(super) fn open_regular(tree: &Tree, path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let fd = resolve::open(tree.root(), path, flags).map_err(|error| match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => {
            FilesError::changed(path)
        }
        error => FilesError::io("open", shown(path).as_bytes())(error),
    })?;
    let stat = rustix::fs::fstat(fd.as_fd()).map_err(|_| FilesError::changed(path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FilesError::changed(path));
    }
    Ok(fd)
}

/// Puts the folders in order, without those that are only there when something in them is.
fn finish(folders: &mut [Walked], digester: &mut Digester) {
    folders.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let inside: std::collections::HashSet<Vec<u8>> = if folders.iter().any(|one| one.is_conditional)
    {
        let filled = folders.iter().filter(|one| one.has_any || !one.is_conditional);
        filled.flat_map(|one| ancestors(&one.path)).collect()
    } else {
        std::collections::HashSet::new()
    };
    for folder in folders {
        if folder.is_conditional && !folder.has_any && !inside.contains(&folder.path) {
            continue;
        }
        digester.update(&(folder.text.len() as u64).to_le_bytes());
        digester.update(&folder.text);
    }
}

/// The folders above a path.
fn ancestors(path: &[u8]) -> Vec<Vec<u8>> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(end, _)| path.get(..end).map(<[u8]>::to_vec)).collect()
}

/// Words with their lengths, so that no two lists give the same bytes.
fn words(text: &mut Vec<u8>, words: &[&[u8]]) {
    for word in words {
        text.extend((word.len() as u64).to_le_bytes());
        text.extend(*word);
    }
}

pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if name.is_empty() { folder.to_vec() } else { path::join(folder, name) }
}
