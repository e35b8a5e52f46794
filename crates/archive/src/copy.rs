//! Copies trees: blocks are shared where the file system can, holes stay holes, hard links stay links.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{ArchiveError, Result};
use crate::extract::{ApplyOptions, Extractor};
use crate::holes::stored_parts;
use crate::tar::{EntryKind, Segment};
use crate::tree::{self, Marks, Node};

/// Copies everything in `from`, and its own attributes, into the folder `to`: owners, modes, times, extended attributes,
/// devices. Sockets are left out. What is in `to` already stays unless a name is the same.
pub fn tree(from: &Path, to: &Path) -> Result<()> {
    let from = tree::open_root(from)?;
    let mut extractor = Extractor::open(to, ApplyOptions::default())?;
    let mut links: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    if let Some(stat) = Node::stat_of(from.as_fd(), b".", b"")? {
        let marks = Marks::Trusted;
        let root = Node { folder: from.as_fd(), name: b".", path: b"", stat, marks };
        if let Some(header) = root.header()? {
            extractor.root(&header)?;
        }
    }
    tree::walk(from.as_fd(), &mut |node| {
        let Some(mut header) = node.header()? else {
            return Ok(());
        };
        if header.kind == EntryKind::Regular && node.stat.st_nlink > 1 {
            let inode = (node.stat.st_dev, node.stat.st_ino);
            match links.get(&inode) {
                Some(first) => {
                    header.kind = EntryKind::HardLink;
                    header.link.clone_from(first);
                }
                None => {
                    links.insert(inode, node.path.to_vec());
                }
            }
        }
        extractor.make(node.path, &header, &mut |to| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(node.folder, node.name, flags, Mode::empty())
                .map_err(ArchiveError::io("open", node.path))?;
            content(&File::from(fd), to, header.size).map_err(ArchiveError::io("copy", node.path))
        })
    })?;
    extractor.finish().map(drop)
}

fn content(from: &File, to: &OwnedFd, size: u64) -> std::io::Result<()> {
    if size == 0 || rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    for part in stored_parts(from, size)? {
        copy_part(from, to, part)?;
    }
    // The last hole.
    Ok(rustix::fs::ftruncate(to, size)?)
}

fn copy_part(from: &File, to: &OwnedFd, part: Segment) -> std::io::Result<()> {
    let (mut at, mut out) = (part.offset, part.offset);
    let end = part.offset + part.length;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut out), length) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // Another file system, or one without the call.
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return read_and_write(from, to, at..end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn read_and_write(from: &File, to: &OwnedFd, range: std::ops::Range<u64>) -> std::io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    let mut at = range.start;
    while at < range.end {
        let most = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read_at(buffer.get_mut(..most).unwrap_or_default(), at)?;
        if read == 0 {
            break;
        }
        crate::extract::write_at(to, at, buffer.get(..read).unwrap_or_default())?;
        at += read as u64;
    }
    Ok(())
}
