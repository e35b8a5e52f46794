//! Paths of a container as `cp` means them: absolute whatever they begin with, `..` taken lexically, and with a meaning
//! of what they end in: a slash or `/.` asks for a folder and follows a link to one, without it a link is itself.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use barge_archive::resource::Resource;
use barge_sys::openat2;
use barge_types::path::{Ending, clean};
use rustix::fs::OFlags;

/// A path of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerPath {
    /// Absolute and clean.
    absolute: String,
    ending: Ending,
}

impl ContainerPath {
    pub(super) fn parse(text: &str) -> Self {
        let absolute = clean(text);
        let ending = Ending::of(text, &absolute);
        Self { absolute, ending }
    }

    /// Without what it ends in.
    pub(super) fn absolute(&self) -> &Path {
        Path::new(&self.absolute)
    }

    /// From the root, which is the empty path.
    pub(super) fn clean(&self) -> &[u8] {
        self.absolute.trim_start_matches('/').as_bytes()
    }

    /// What an archive of it is called, and its stat: the last part, `.` or `/`.
    pub(super) fn name(&self) -> &str {
        let last = self.absolute.rsplit('/').next().unwrap_or_default();
        match self.ending {
            Ending::Dot => ".",
            Ending::Name | Ending::Slash if last.is_empty() => "/",
            Ending::Name | Ending::Slash => last,
        }
    }

    /// Looks it up.
    pub(super) fn find(&self, root: BorrowedFd<'_>) -> io::Result<Resource> {
        match self.ending {
            Ending::Slash | Ending::Dot => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                openat2::open(root, self.absolute(), flags).map(Resource::Folder)
            }
            Ending::Name => {
                let (folder, name) = self.absolute.rsplit_once('/').unwrap_or_default();
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let folder = openat2::open(root, Path::new(folder), flags)?;
                Resource::find(folder, name.as_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_dockers_archives() {
        for (text, absolute, name) in [
            ("/", "/", "/"),
            (".", "/", "."),
            ("data", "/data", "data"),
            ("/data/", "/data", "data"),
            ("/data/.", "/data", "."),
            ("data/./", "/data", "."),
            ("/../data//f", "/data/f", "f"),
            ("/a/../..", "/", "/"),
            ("/a/b/..", "/a", "a"),
        ] {
            let path = ContainerPath::parse(text);
            assert_eq!((path.absolute.as_str(), path.name()), (absolute, name), "{text}");
        }
    }

    #[test]
    fn the_end_decides_whether_a_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        std::fs::write(folder.path().join("real/file"), "").unwrap();
        std::os::unix::fs::symlink("/real", folder.path().join("link")).unwrap();
        let root = openat2::open_root(folder.path()).unwrap();
        let find = |text: &str| {
            use std::os::fd::AsFd as _;
            let found = ContainerPath::parse(text).find(root.as_fd());
            found.map(|found| matches!(found, Resource::Folder(_)))
        };
        assert!(!find("link").unwrap());
        assert!(find("link/").unwrap() && find("/link/.").unwrap() && find("/").unwrap());
        assert!(!find("link/file").unwrap());
        assert_eq!(find("real/file/").unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(find("nothing").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
