//! A program that containers can execute but never write to.
//!
//! A process in a container reaches the program that it was started by through `/proc/self/exe`, and with root's rights
//! it could overwrite the host's file (CVE-2019-5736). What is executed is therefore a detached read-only mount of the
//! file: it shares the page cache with every other start, and writing through it gives `EROFS` to anyone.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::CWD;

use crate::{memfd, mount};

/// The program at `path` as a descriptor for [`crate::spawn`].
pub fn open_read_only(path: &Path) -> io::Result<OwnedFd> {
    match detached_mount(path) {
        // Kernels before 5.12, and users who may not mount.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            copy(path)
        }
        result => result,
    }
}

fn detached_mount(path: &Path) -> io::Result<OwnedFd> {
    let tree = mount::clone_tree(CWD, path, mount::Reach::One)?;
    mount::change(&tree, mount::Reach::One, mount::Change::READ_ONLY)?;
    Ok(tree)
}

fn copy(path: &Path) -> io::Result<OwnedFd> {
    let mut source = std::fs::File::open(path)?;
    memfd::sealed("barge-runtime", |target| io::copy(&mut source, target).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn neither_form_can_be_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::copy("/bin/true", &path).unwrap();
        for fd in [detached_mount(&path).unwrap(), copy(&path).unwrap()] {
            let through = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let error = std::fs::OpenOptions::new().write(true).open(&through).map(drop);
            let writable = error.is_ok()
                && std::fs::OpenOptions::new()
                    .write(true)
                    .open(&through)
                    .and_then(|mut file| io::Write::write_all(&mut file, b"x"))
                    .is_ok();
            assert!(!writable);
            assert_eq!(std::fs::read(&through).unwrap(), std::fs::read("/bin/true").unwrap());
        }
    }
}
