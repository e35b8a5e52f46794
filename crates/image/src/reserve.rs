//! Room on the disk that is kept for one purpose: to record that an image goes when nothing else can be written any more.
//! On a full disk nobody could make room otherwise.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use crate::error::ImageError;

/// Enough for an index of some hundred images with their names, and for the folder's own growth.
const SIZE: u64 = 256 * 1024;

/// The file that holds the room.
#[derive(Debug)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    /// Takes the room in a folder, if there is some.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let reserve = Self(folder.join("reserve"));
        reserve.fill();
        reserve
    }

    /// Takes the room again after it was given.
    pub(crate) fn fill(&self) {
        if fs::metadata(&self.0).is_ok_and(|metadata| metadata.len() >= SIZE) {
            return;
        }
        let made = File::create(&self.0)
            .and_then(|file| Ok(fallocate(&file, FallocateFlags::empty(), 0, SIZE)?));
        if made.is_err() {
            // Not every file system can, and a full one has no room; both work without, as long as they are not full.
            fs::remove_file(&self.0).ok();
        }
    }

    /// Does something that writes; when the disk is full, once more with the room that was kept.
    pub(crate) fn write<T>(
        &self,
        write: impl Fn() -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let first = write();
        if !first.as_ref().is_err_and(is_full) || fs::remove_file(&self.0).is_err() {
            return first;
        }
        write()
    }
}

fn is_full(error: &ImageError) -> bool {
    matches!(error, ImageError::Io { source, .. }
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}
