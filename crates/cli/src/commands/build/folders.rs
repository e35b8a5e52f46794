//! Folders of ours that the daemon reads through our descriptors: nothing is copied, and it sees
//! what we see, whatever is mounted where.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use super::fields::wrong;
use crate::error::{CliError, Result};

/// How a daemon gets at our folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It runs on the same machine and opens what we have open.
    Descriptors,
    /// It gets an archive of the context, and nothing else.
    Archives,
}

/// Folders held open while the build goes on.
#[derive(Debug)]
pub(super) struct Folders {
    reach: Reach,
    open: Vec<File>,
    warnings: Vec<String>,
}

impl Folders {
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach, open: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Something to tell the user about them, once it is known how they are shown.
    pub(super) fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Opens a folder for the daemon; `flag` is what asks for it.
    pub(super) fn open(&mut self, path: &Path, flag: &str) -> Result<i32> {
        if self.reach == Reach::Archives {
            return Err(wrong(format!(
                "{flag} with the folder {} needs a daemon on the same machine",
                path.display()
            )));
        }
        let folder = File::open(path).map_err(CliError::file("open", path))?;
        let metadata = folder.metadata().map_err(CliError::file("stat", path))?;
        if !metadata.is_dir() {
            return Err(wrong(format!("{flag}: {} is no folder", path.display())));
        }
        let descriptor = folder.as_raw_fd();
        self.open.push(folder);
        Ok(descriptor)
    }
}
