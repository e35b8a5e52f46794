//! Where a group is below the mounts. It cannot leave the hierarchy: that is checked once, here.

use std::path::{Component, Path, PathBuf};

use crate::error::{CgroupError, Result};

/// Parent of the groups of containers when nothing else is asked.
pub const DEFAULT_PARENT: &str = "barge";

/// A group's place: relative to the mount of every hierarchy, one name or more, never `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupPath(PathBuf);

impl CgroupPath {
    /// The group `name` below `parent`; a leading `/` means the same as none.
    pub fn new(parent: &str, name: &str) -> Result<Self> {
        Self::parse(&format!("{parent}/{name}"))
    }

    /// Reads `cgroupsPath` of a runtime specification.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || CgroupError::BadPath(text.to_owned());
        let mut path = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(bad()),
            }
        }
        if path.as_os_str().is_empty() || text.contains('\0') || text.contains('\n') {
            return Err(bad());
        }
        Ok(Self(path))
    }

    /// The groups that it is in, from the uppermost down, and itself.
    pub fn with_ancestors(&self) -> Vec<Self> {
        let mut all: Vec<Self> = self
            .0
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| Self(path.to_owned()))
            .collect();
        all.reverse();
        all
    }

    /// Relative to a mount.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_and_name_are_joined_below_the_mount() {
        let path = CgroupPath::new("/barge", "abc").unwrap();
        assert_eq!(path.as_path(), Path::new("barge/abc"));
        assert_eq!(path, CgroupPath::parse("barge//abc/").unwrap());
    }

    #[test]
    fn ancestors_come_from_above() {
        let all = CgroupPath::parse("a/b/c").unwrap().with_ancestors();
        let texts: Vec<_> = all.iter().map(|path| path.as_path().to_str().unwrap()).collect();
        assert_eq!(texts, ["a", "a/b", "a/b/c"]);
    }

    #[test]
    fn a_path_cannot_leave_the_hierarchy_or_be_the_root() {
        for text in ["..", "a/../b", "", "/", "a\0b", "a\nb"] {
            assert!(CgroupPath::parse(text).is_err(), "{text:?}");
        }
    }
}
