//! Files in memory, to hand text or a program to another process without a path.

use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};

/// A file of these bytes, read from its beginning; it can still be changed by who holds it.
pub fn with_content(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = create(name)?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// A file of what `fill` writes that nobody can ever change again.
pub fn sealed(
    name: &str,
    fill: impl FnOnce(&mut std::fs::File) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let mut file = create(name)?;
    fill(&mut file)?;
    file.rewind()?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

fn create(name: &str) -> io::Result<std::fs::File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC since Linux 6.3; before, a flag that does not exist (and the default).
    match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => Ok(rustix::fs::memfd_create(name, flags)?.into()),
        result => Ok(result?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_is_read_but_never_written() {
        let fd = sealed("test", |file| file.write_all(b"content")).unwrap();
        let mut file = std::fs::File::from(fd);
        assert_eq!(io::read_to_string(&file).unwrap(), "content");
        assert_eq!(file.write_all(b"x").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(file.set_len(0).is_err());
    }
}
