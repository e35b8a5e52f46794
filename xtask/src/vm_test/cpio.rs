//! Writes a cpio archive in the "newc" form that the kernel unpacks as its first root
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive that is being written. Everything in it belongs to root and is of 1970.
pub(crate) struct Archive<W> {
    out: W,
    entries: u32,
}

struct Header<'a> {
    name: &'a str,
    mode: u32,
    device: (u32, u32),
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    pub(crate) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY | 0o755, &[])
    }

    pub(crate) fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.entry(name, FILE | 0o755, content)
    }

    pub(crate) fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, LINK | 0o777, target.as_bytes())
    }

    pub(crate) fn character_device(&mut self, name: &str, device: (u32, u32)) -> io::Result<()> {
        let header = Header { name, mode: CHARACTER_DEVICE | 0o600, device };
        self.write(&header, &[])
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let header = Header { name, mode, device: (0, 0) };
        self.write(&header, content)
    }

    fn write(&mut self, header: &Header<'_>, content: &[u8]) -> io::Result<()> {
        let too_large = |_error| io::Error::from(io::ErrorKind::FileTooLarge);
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let name_size = u32::try_from(header.name.len() + 1).map_err(too_large)?;
        self.entries += 1;
        let (major, minor) = header.device;
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields =
            [self.entries, header.mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(header.name.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(110 + header.name.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    /// Every part begins at a multiple of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        let padding = written.next_multiple_of(4) - written;
        self.out.write_all(&[0; 4][..padding])
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, process::Command};

    use super::*;

    #[test]
    fn busybox_unpacks_what_is_written() {
        let folder = std::env::temp_dir().join(format!("barge-cpio-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("archive");
        let mut archive = Archive::new(File::create(&path).unwrap());
        archive.directory("a").unwrap();
        archive.program("a/odd", b"seven..").unwrap();
        archive.link("a/link", "odd").unwrap();
        archive.finish().unwrap();
        let status = Command::new("busybox")
            .args(["cpio", "-id"])
            .stdin(File::open(&path).unwrap())
            .current_dir(&folder)
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(std::fs::read(folder.join("a/link")).unwrap(), b"seven..");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
