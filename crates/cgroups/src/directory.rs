//! The directory of one group in one hierarchy: small files that are read and written whole.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::error::{CgroupError, Result};

/// One directory of the cgroup file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.join(name.as_ref())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    pub(crate) fn read(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        fs::read_to_string(&path).map_err(io_error("read", path))
    }

    /// `None` when the kernel or the group does not have the file.
    pub(crate) fn read_optional(&self, name: &str) -> Result<Option<String>> {
        match self.read(name) {
            Ok(text) => Ok(Some(text)),
            Err(CgroupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A number; `max` reads as the largest one.
    pub(crate) fn read_number(&self, name: &str) -> Result<u64> {
        let text = self.read(name)?;
        parse_number(text.trim())
            .ok_or_else(|| CgroupError::Unreadable { path: self.file(name), text })
    }

    /// As [`Self::read_number`]; 0 when the file is not there.
    pub(crate) fn read_number_or_zero(&self, name: &str) -> Result<u64> {
        match self.read_optional(name)? {
            None => Ok(0),
            Some(text) => parse_number(text.trim())
                .ok_or_else(|| CgroupError::Unreadable { path: self.file(name), text }),
        }
    }

    /// Opens a file for several writes: each `write(2)` is one message to the kernel.
    pub(crate) fn open_to_write(&self, name: &str) -> Result<fs::File> {
        let path = self.file(name);
        OpenOptions::new().write(true).open(&path).map_err(io_error("open", path))
    }

    pub(crate) fn write(&self, name: &str, value: &str) -> Result<()> {
        write_message(&mut self.open_to_write(name)?, &self.file(name), value)
    }

    pub(crate) fn open(&self) -> Result<OwnedFd> {
        OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(&self.0)
            .map(OwnedFd::from)
            .map_err(io_error("open", &self.0))
    }

    /// The groups directly below.
    pub(crate) fn children(&self) -> Result<Vec<Self>> {
        let mut children = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(io_error("list", &self.0))? {
            let entry = entry.map_err(io_error("list", &self.0))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                children.push(Self(entry.path()));
            }
        }
        Ok(children)
    }

    /// Processes of this group and of those below it. A group that goes away meanwhile has none.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        let mut pids = Vec::new();
        let mut waiting = vec![self.clone()];
        while let Some(directory) = waiting.pop() {
            // 0 stands for a process of another pid namespace, which nobody here can name.
            let own = directory.read_optional("cgroup.procs")?.unwrap_or_default();
            pids.extend(
                own.lines().filter_map(|line| line.parse().ok()).filter(|&pid: &u32| pid != 0),
            );
            match directory.children() {
                Ok(children) => waiting.extend(children),
                Err(CgroupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pids)
    }
}

/// Writes one value in one `write(2)`.
pub(crate) fn write_message(file: &mut fs::File, path: &Path, value: &str) -> Result<()> {
    file.write_all(value.as_bytes()).map_err(|source| CgroupError::Write {
        value: value.to_owned(),
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn io_error(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.into();
    move |source| CgroupError::Io { action, path, source }
}

/// A decimal number, or `max`.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(u64::MAX);
    }
    text.parse().ok()
}

/// `key value` lines, as in `cpu.stat` and `memory.events`.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, parse_number(value.trim())?))
    })
}

/// The value of `key` among `key value` lines.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    pairs(text).find_map(|(name, value)| (name == key).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_other_lines_are_skipped() {
        let text = "low 0\nmax 12\nnonsense\noom_kill 3\n";
        assert_eq!(value_of(text, "oom_kill"), Some(3));
        assert_eq!(value_of(text, "oom"), None);
        assert_eq!(pairs(text).count(), 3);
    }

    #[test]
    fn max_is_the_largest_number() {
        assert_eq!(parse_number("max"), Some(u64::MAX));
        assert_eq!(parse_number("17"), Some(17));
        assert_eq!(parse_number("-1"), None);
    }
}
