//! A file that is renamed when it is full, with as many older ones as are wanted, which may be
//! compressed.
//!
//! Messages are gathered and written with one system call per flush. A write that the kernel
//! refuses half way (a full disk) is taken back by truncating, so that there is never half a
//! message in the file. Compressing is done on a thread of its own; meanwhile the current file may
//! grow to twice its size before anybody waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::error::LogError;
use crate::file_names::{packed, rotated};
use crate::options::RotationConfig;
use crate::packed::pack;

/// A buffer that grew beyond this is given back after the flush.
const KEEP: usize = 64 * 1024;

/// Messages on their way to a file.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    path: PathBuf,
    config: RotationConfig,
    file: File,
    size: u64,
    batch: Vec<u8>,
    failure: Option<LogError>,
    packing: Option<JoinHandle<()>>,
}

impl RotatingFile {
    /// Opens the file to append to it; makes it and its folder when they are not there.
    pub(crate) fn open(path: &Path, config: RotationConfig) -> Result<Self, LogError> {
        let file = open_file(path)?;
        let size = file.metadata().map_err(LogError::io("examine", path))?.len();
        Ok(Self {
            path: path.to_owned(),
            config,
            file,
            size,
            batch: Vec::new(),
            failure: None,
            packing: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    #[cfg(test)]
    pub(crate) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Gives up what is behind `size`.
    pub(crate) fn truncate(&mut self, size: u64) -> Result<(), LogError> {
        self.file.set_len(size).map_err(LogError::io("truncate", &self.path))?;
        self.size = size;
        Ok(())
    }

    /// Where to write a message to. None when there is no place for it, which the next flush tells.
    pub(crate) fn room(&mut self) -> Option<&mut Vec<u8>> {
        if self.is_full()
            && let Err(error) = self.write_batch().and_then(|()| self.rotate())
        {
            self.failure.get_or_insert(error);
            return None;
        }
        Some(&mut self.batch)
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        let written = self.write_batch();
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => written,
        }
    }

    /// Waits until the last rotated file is compressed.
    pub(crate) fn settle(&mut self) {
        if let Some(thread) = self.packing.take() {
            // A thread that panicked leaves the file as it was, which can be read as well.
            thread.join().ok();
        }
    }

    fn is_full(&self) -> bool {
        let size = self.size + self.batch.len() as u64;
        self.config.max_size.is_some_and(|limit| size >= limit)
    }

    fn write_batch(&mut self) -> Result<(), LogError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcome = self.file.write_all(&self.batch);
        let length = self.batch.len() as u64;
        self.batch.clear();
        self.batch.shrink_to(KEEP);
        match outcome {
            Ok(()) => {
                self.size += length;
                Ok(())
            }
            Err(source) => {
                // When this fails too, the half message is ended by the next container start.
                self.file.set_len(self.size).ok();
                Err(LogError::io("write", &self.path)(source))
            }
        }
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        if self.config.max_files == 1 {
            return self.truncate(0);
        }
        if self.packing.as_ref().is_some_and(|thread| !thread.is_finished())
            && self.config.max_size.is_some_and(|limit| self.size < limit.saturating_mul(2))
        {
            return Ok(());
        }
        self.settle();
        // Without a current file the older ones have moved already, and opening the next failed (a
        // full disk). Moving them again with each message would remove all of them.
        if self.path.exists() {
            self.shift()?;
        }
        self.file = open_file(&self.path)?;
        self.size = 0;
        if self.config.compress {
            self.pack_last();
        }
        Ok(())
    }

    /// Makes room for a new file.
    fn shift(&self) -> Result<(), LogError> {
        let oldest = self.config.max_files - 1;
        for name in [rotated(&self.path, oldest), packed(&self.path, oldest)] {
            present(fs::remove_file(&name), &name)?;
        }
        for age in (0..oldest).rev() {
            self.grow_older(age)?;
        }
        Ok(())
    }

    fn grow_older(&self, age: u32) -> Result<(), LogError> {
        let from = rotated(&self.path, age);
        present(fs::rename(&from, rotated(&self.path, age + 1)), &from)?;
        if age > 0 {
            let from = packed(&self.path, age);
            present(fs::rename(&from, packed(&self.path, age + 1)), &from)?;
        }
        Ok(())
    }

    /// Without a thread, or when it fails, the file stays as it is.
    fn pack_last(&mut self) {
        let (from, to) = (rotated(&self.path, 1), packed(&self.path, 1));
        let thread = std::thread::Builder::new().name("log-pack".to_owned()).spawn(move || {
            pack(&from, &to).ok();
            // In the shim this is most of what it ever needs.
            barge_sys::program::release_freed_memory();
        });
        self.packing = thread.ok();
    }
}

/// An outcome for which it is good too when there is no such file.
fn present(outcome: io::Result<()>, path: &Path) -> Result<(), LogError> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LogError::io("rotate", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Appending, so that the file may be truncated by someone else (`truncate -s 0` is what people
/// do).
fn open_file(path: &Path) -> Result<File, LogError> {
    let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path);
    let outcome = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::DirBuilder::new()
                .mode(0o700)
                .create(folder)
                .map_err(LogError::io("make the folder of", path))?;
            open()
        }
        outcome => outcome,
    };
    outcome.map_err(LogError::io("open", path))
}
