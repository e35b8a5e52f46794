//! Extended attributes of paths (never following a last symbolic link) and of open files, as bytes.
//!
//! Differs from the system calls in one thing: the caller never sees `ERANGE`, buffers grow as needed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// What fits nearly every attribute, so that one call is enough.
const FIRST_TRY: usize = 256;

/// The value of `name` on `path` itself; `None` when there is no such attribute.
pub fn lget(path: &Path, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    absent_is_none(grow(|buffer| rustix::fs::lgetxattr(path, name, buffer)))
}

/// The value of `name` on an open file; `None` when there is no such attribute.
pub fn fget(fd: impl AsFd, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    absent_is_none(grow(|buffer| rustix::fs::fgetxattr(&fd, name, buffer)))
}

/// Sets `name` on `path` itself, whether it existed or not.
pub fn lset(path: &Path, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())?)
}

/// Sets `name` on an open file, whether it existed or not.
pub fn fset(fd: impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())?)
}

/// Removes `name` from `path` itself.
pub fn lremove(path: &Path, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::lremovexattr(path, name)?)
}

/// The names on `path` itself; empty when the file system has no attributes.
pub fn llist(path: &Path) -> io::Result<Vec<OsString>> {
    names(grow(|buffer| rustix::fs::llistxattr(path, buffer)))
}

/// The names on an open file; empty when the file system has no attributes.
pub fn flist(fd: impl AsFd) -> io::Result<Vec<OsString>> {
    names(grow(|buffer| rustix::fs::flistxattr(&fd, buffer)))
}

fn grow(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; FIRST_TRY];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            // The kernel's limits are 64 KiB for a value and for a list of names (xattr(7)).
            Err(Errno::RANGE) if buffer.len() < 64 * 1024 => buffer.resize(64 * 1024, 0),
            Err(error) => return Err(error),
        }
    }
}

fn absent_is_none(result: Result<Vec<u8>, Errno>) -> io::Result<Option<Vec<u8>>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn names(result: Result<Vec<u8>, Errno>) -> io::Result<Vec<OsString>> {
    let list = match result {
        Ok(list) => list,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let value = vec![7; 3000];
        lset(&path, OsStr::new("user.big"), &value).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        assert_eq!(lget(&path, OsStr::new("user.big")).unwrap(), Some(value.clone()));
        assert_eq!(fget(&file, OsStr::new("user.big")).unwrap(), Some(value));
        assert_eq!(llist(&path).unwrap(), [OsString::from("user.big")]);
        lremove(&path, OsStr::new("user.big")).unwrap();
        assert_eq!(fget(&file, OsStr::new("user.big")).unwrap(), None);
        assert!(flist(&file).unwrap().is_empty());
    }

    #[test]
    fn the_link_is_meant_and_not_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        lset(&link, OsStr::new("trusted.test"), b"x").unwrap();
        assert_eq!(lget(&link, OsStr::new("trusted.test")).unwrap(), Some(b"x".to_vec()));
    }
}
