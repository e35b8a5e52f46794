//! Extended attributes as far as they are a file's own: not the host's labels, not those that overlayfs keeps its books in.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use barge_sys::xattr;
use rustix::io::Errno;

use super::error::{FilesError, Result, shown};

/// Names and values, sorted by name.
pub(super) type Attributes = Vec<(OsString, Vec<u8>)>;

/// Of an open file or folder.
pub(super) fn of_fd(fd: impl AsFd, path: &[u8]) -> Result<Attributes> {
    let failed = || FilesError::io("read attributes of", shown(path).as_bytes());
    let mut names = xattr::flist(&fd).map_err(failed())?;
    names.retain(|name| is_own(name));
    names.sort();
    let mut found = Vec::new();
    for name in names {
        if let Some(value) = xattr::fget(&fd, &name).map_err(failed())? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Gives attributes to an open file or folder. What its file system does not know is left out, as in Docker.
pub(super) fn set_on(fd: impl AsFd, attributes: &Attributes, path: &[u8]) -> Result<()> {
    for (name, value) in attributes {
        match xattr::fset(&fd, name, value) {
            Ok(()) => {}
            Err(error)
                if [Errno::OPNOTSUPP, Errno::PERM]
                    .iter()
                    .any(|known| error.raw_os_error() == Some(known.raw_os_error())) => {}
            Err(error) => {
                return Err(FilesError::io("set attribute of", shown(path).as_bytes())(error));
            }
        }
    }
    Ok(())
}

/// As bytes, for a digest.
pub(super) fn encode(attributes: &Attributes) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in attributes {
        for part in [name.as_bytes(), value] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
    }
    bytes
}

fn is_own(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name != b"security.selinux"
        && !name.starts_with(b"trusted.overlay.")
        && !name.starts_with(b"user.overlay.")
        && !name.starts_with(b"system.nfs4")
}
