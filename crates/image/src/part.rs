//! Blobs that are on their way: `content/ingest/<hex>.part` has what came so far, so that a download that was cancelled
//! or killed goes on where it stopped.
//!
//! One writer at a time, by `flock`: it ends with the process. What nobody touched for [`KEPT`] is swept at start.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use barge_types::Digest;
use rustix::fs::{FlockOperation, flock};

use crate::content::ContentStore;
use crate::durable;
use crate::error::{ImageError, Result};

/// How long a part waits for its download to go on.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// A part, locked.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    /// Bytes that are there.
    pub(crate) length: u64,
}

impl ContentStore {
    /// The folder of the parts.
    pub(crate) fn parts(&self) -> PathBuf {
        self.root().join("content/ingest")
    }

    pub(crate) fn part_path(&self, digest: &Digest) -> PathBuf {
        self.parts().join(format!("{}.part", digest.hex()))
    }

    /// The part of a blob, new or as somebody left it; waits while another writes it.
    pub(crate) fn part(&self, digest: &Digest) -> Result<Part> {
        let path = self.part_path(digest);
        loop {
            let file = File::options().read(true).append(true).create(true).open(&path);
            let file = file.map_err(ImageError::io("open", &path))?;
            flock(&file, FlockOperation::LockExclusive)
                .map_err(|errno| ImageError::io("lock", &path)(errno.into()))?;
            let own = file.metadata().map_err(ImageError::io("look at", &path))?;
            // Whoever had it before may have published or removed it while we waited.
            if fs::metadata(&path).is_ok_and(|named| named.ino() == own.ino()) {
                return Ok(Part { file, path, length: own.len() });
            }
        }
    }

    /// Bytes of the part of a blob that are there.
    #[must_use]
    pub fn part_length(&self, digest: &Digest) -> u64 {
        fs::metadata(self.part_path(digest)).map_or(0, |metadata| metadata.len())
    }

    /// Makes a whole part the blob. Nothing to do when it is one already.
    pub(crate) fn adopt_part(&self, digest: &Digest) -> Result<u64> {
        let path = self.part_path(digest);
        match File::open(&path) {
            Ok(file) => {
                durable::publish(&file, &path, &self.path(digest))?;
                Ok(self.size(digest))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.contains(digest) => {
                Ok(self.size(digest))
            }
            Err(error) => Err(ImageError::io("open", &path)(error)),
        }
    }

    /// Removes the parts that nobody asked for in a long time.
    pub(crate) fn sweep_parts(&self) -> Result<()> {
        let folder = self.parts();
        durable::create_folder(&folder)?;
        for name in durable::names(&folder)? {
            let path = folder.join(&name);
            if is_old(&path) {
                durable::remove(&path)?;
            }
        }
        Ok(())
    }
}

fn is_old(path: &Path) -> bool {
    let touched = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let age = touched.and_then(|touched| SystemTime::now().duration_since(touched).ok());
    age.is_some_and(|age| age > KEPT)
}

impl Part {
    /// Removes it: its bytes are not those of the blob.
    pub(crate) fn discard(self) -> Result<()> {
        durable::remove(&self.path)
    }
}
