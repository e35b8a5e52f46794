//! Copying file contents with as little work as the file systems allow.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Makes `target` share the blocks of `source` (`FICLONE`); whether the file system can.
pub fn reflink(source: impl AsFd, target: impl AsFd) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(target, source) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Copies a regular file into an empty one: shared blocks where possible, else in the kernel, and holes stay holes.
pub fn file(source: &File, target: &File) -> io::Result<u64> {
    let length = source.metadata()?.len();
    if reflink(source, target)? {
        return Ok(length);
    }
    target.set_len(length)?;
    let mut position = 0;
    while position < length {
        let start = match rustix::fs::seek(source, SeekFrom::Data(position)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            // A file system that cannot tell: all is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => position,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start)).unwrap_or(length).min(length);
        range(source, target, start..end)?;
        position = end.max(start + 1);
    }
    Ok(length)
}

/// Copies these bytes to the same place of the other file.
fn range(source: &File, target: &File, range: std::ops::Range<u64>) -> io::Result<()> {
    let (mut from, mut to) = (range.start, range.start);
    while from < range.end {
        let left = usize::try_from(range.end - from).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
            // The file became shorter meanwhile.
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return by_hand(source, target, from..range.end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn by_hand(source: &File, target: &File, range: std::ops::Range<u64>) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0; 128 * 1024];
    let mut position = range.start;
    while position < range.end {
        let left = usize::try_from(range.end - position).unwrap_or(usize::MAX).min(buffer.len());
        let Some(part) = buffer.get_mut(..left) else {
            break;
        };
        let length = source.read_at(part, position)?;
        let Some(part) = part.get(..length).filter(|part| !part.is_empty()) else {
            break;
        };
        target.write_all_at(part, position)?;
        position += part.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    #[test]
    fn holes_stay_holes_and_the_bytes_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let source = File::create_new(folder.path().join("a")).unwrap();
        source.write_all_at(b"begin", 0).unwrap();
        source.write_all_at(b"middle", 5_000_000).unwrap();
        source.set_len(9_000_000).unwrap();
        let source = File::open(folder.path().join("a")).unwrap();
        let target = File::create_new(folder.path().join("b")).unwrap();
        assert_eq!(file(&source, &target).unwrap(), 9_000_000);
        let copy = std::fs::read(folder.path().join("b")).unwrap();
        assert_eq!(copy, std::fs::read(folder.path().join("a")).unwrap());
        assert!(target.metadata().unwrap().blocks() < 1000);
    }
}
