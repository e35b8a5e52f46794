//! One path of a tree as an archive, under a name of the caller's choice: what `cp` takes out of a container.
//!
//! A folder comes with an entry of its own and everything in it, anything else alone; a link is not followed. What was
//! found when the path was looked up is what is packed: it is held by descriptors, whatever the path means by then.

use std::io::Write;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use crate::error::{ArchiveError, Result};
use crate::owners::Owners;
use crate::pack::{PackOptions, Packed, Packer};
pub use crate::tree::Descends;
use crate::tree::{self, Marks, Node};

/// Something in a tree.
#[derive(Debug)]
pub enum Resource {
    /// An open folder.
    Folder(OwnedFd),
    /// What is no folder.
    Name {
        /// The open folder that it is in.
        folder: OwnedFd,
        /// What it is called there.
        name: Vec<u8>,
        /// What it was when it was found.
        stat: Stat,
    },
}

impl Resource {
    /// What is called `name` in `folder`, which is open for reading.
    pub fn find(folder: OwnedFd, name: &[u8]) -> std::io::Result<Self> {
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if tree::is_folder(&stat) {
            let folder = rustix::fs::openat(&folder, name, tree::FOLDER, Mode::empty())?;
            return Ok(Self::Folder(folder));
        }
        Ok(Self::Name { folder, name: name.to_vec(), stat })
    }

    /// What it is.
    pub fn stat(&self) -> std::io::Result<Stat> {
        match self {
            Self::Folder(fd) => Ok(rustix::fs::fstat(fd)?),
            Self::Name { stat, .. } => Ok(*stat),
        }
    }

    /// Writes it as `name`: as `.` or `/`, names in it begin so. Of a folder in it that `descends` does not want, only
    /// the entry is written. `owners` says whom the archive names in the place of those who own the files.
    pub fn pack(
        &self,
        name: &[u8],
        (options, descends, owners): (&PackOptions, Descends<'_>, Option<Owners<'_>>),
        out: impl Write,
    ) -> Result<Packed> {
        let mut packer = Packer::named(name, options, out).with_owners(owners);
        match self {
            Self::Folder(fd) => folder(&mut packer, fd, descends)?,
            Self::Name { folder, name, stat } => {
                let (folder, marks) = (folder.as_fd(), Marks::Trusted);
                packer.add(&Node { folder, name, path: b"", stat: *stat, marks })?;
            }
        }
        packer.finish()
    }
}

fn folder<W: Write>(
    packer: &mut Packer<'_, W>,
    fd: &OwnedFd,
    descends: Descends<'_>,
) -> Result<()> {
    // One that is only for looking up cannot be read.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(ArchiveError::io("open", b""))?;
    let stat = rustix::fs::fstat(&fd).map_err(ArchiveError::io("stat", b""))?;
    let marks = Marks::Trusted;
    packer.add(&Node { folder: fd.as_fd(), name: b".", path: b"", stat, marks })?;
    tree::walk_where(fd.as_fd(), (marks, descends), &mut |node| packer.add(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::Reader;
    use std::os::fd::BorrowedFd;
    use std::path::Path;

    fn open(path: &Path) -> OwnedFd {
        tree::open_root(path).unwrap()
    }

    fn names(resource: &Resource, name: &str) -> Vec<String> {
        let mut tar = Vec::new();
        let options = PackOptions::default();
        let wanted = |fd: BorrowedFd<'_>| Ok(rustix::fs::fstat(fd)?.st_mode & 0o7777 != 0o700);
        resource.pack(name.as_bytes(), (&options, &wanted, None), &mut tar).unwrap();
        let mut reader = Reader::new(&tar[..]);
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let header = entry.header();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            names.push(text(&header.path) + " " + &text(&header.link));
        }
        names
    }

    #[test]
    fn names_begin_as_dockers() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("data")).unwrap();
        std::fs::write(root.path().join("data/a"), "x").unwrap();
        std::fs::hard_link(root.path().join("data/a"), root.path().join("data/b")).unwrap();
        let data = Resource::find(open(root.path()), b"data").unwrap();
        for (name, wanted) in [
            ("data", ["data/ ", "data/a ", "data/b data/a"]),
            (".", ["./ ", "./a ", "./b ./a"]),
            ("/", ["/ ", "/a ", "/b /a"]),
        ] {
            assert_eq!(names(&data, name), wanted);
        }
    }

    #[test]
    fn a_link_is_packed_and_not_what_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        let link = Resource::find(open(root.path()), b"link").unwrap();
        assert_eq!(names(&link, "other"), ["other /etc"]);
    }

    #[test]
    fn of_an_unwanted_folder_only_the_entry_is_packed() {
        use std::os::unix::fs::DirBuilderExt as _;
        let root = tempfile::tempdir().unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(root.path().join("hidden")).unwrap();
        std::fs::write(root.path().join("hidden/a"), "x").unwrap();
        std::fs::write(root.path().join("seen"), "x").unwrap();
        let all = Resource::Folder(open(root.path()));
        assert_eq!(names(&all, "."), ["./ ", "./hidden/ ", "./seen "]);
    }

    #[test]
    fn what_was_found_is_packed_whatever_has_its_name_later() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("mine"), "x").unwrap();
        std::fs::write(root.path().join("file"), "x").unwrap();
        let data = Resource::find(open(root.path()), b"data").unwrap();
        let file = Resource::find(open(root.path()), b"file").unwrap();
        std::fs::rename(&path, root.path().join("old")).unwrap();
        std::fs::remove_file(root.path().join("file")).unwrap();
        for name in ["data", "file"] {
            std::os::unix::fs::symlink("/etc/passwd", root.path().join(name)).unwrap();
        }
        assert_eq!(names(&data, "data"), ["data/ ", "data/mine "]);
        assert!(names(&file, "file").is_empty());
    }
}
