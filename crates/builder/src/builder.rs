//! The facade: builds, and what they leave for the next one.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barge_image::{ImageStore, ImageUsage};
use barge_storage::{LayerId, StorageDriver};
use barge_types::ImageId;

use crate::error::{BuildError, Result};
use crate::event::{Progress, Warning};
use crate::request::BuildRequest;
use crate::runner::{Cancel, Runner};
use crate::sources::Sources;

/// What a builder works with.
pub struct BuilderParts {
    /// `<data root>/builds`.
    pub folder: PathBuf,
    /// In memory, below the exec root: what must never be on a disk.
    pub memory_folder: PathBuf,
    /// Where layers are.
    pub storage: Arc<dyn StorageDriver>,
    /// Where images are.
    pub images: Arc<ImageStore>,
    /// Runs steps.
    pub runner: Arc<dyn Runner>,
    /// Gets images and files.
    pub sources: Arc<dyn Sources>,
    /// The containers: who needs layers beside images and the cache.
    pub usage: Arc<dyn ImageUsage + Send + Sync>,
}

impl std::fmt::Debug for BuilderParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuilderParts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Builds images; many at once.
#[derive(Debug)]
pub struct Builder {
    #[expect(dead_code, reason = "what builds read comes next")]
    parts: BuilderParts,
}

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The build's own name, also of what is to be fetched.
    pub id: String,
    /// One for each platform, in the request's order.
    pub images: Vec<ImageId>,
    /// For each output of the request that is to be fetched.
    pub results: Vec<ResultFile>,
    /// What the checks found.
    pub warnings: Vec<Warning>,
}

/// An archive to be fetched by the client; removed when this is dropped.
#[derive(Debug)]
pub struct ResultFile {
    /// The number of the output in the request.
    pub output: u32,
    path: PathBuf,
}

impl ResultFile {
    /// Opens it from its start.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(BuildError::io("open", &self.path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// What of the cache is given up.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// What images stand on, too.
    pub all: bool,
    /// Only what was not used for so long (`until`).
    pub unused_for: Option<Duration>,
    /// `id`, `type`, `inuse`, `shared`, `private`, `description`, `parents`; all of them must fit.
    pub filters: BTreeMap<String, Vec<String>>,
    /// How much stays.
    pub floors: Floors,
}

/// How much of the cache stays, in bytes; 0 for no say. The least recently used goes first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floors {
    /// At least so much stays (`--reserved-space`, `--keep-storage`).
    pub reserved: u64,
    /// At most so much stays (`--max-used-space`).
    pub max_used: u64,
    /// So much is to be free on the disk (`--min-free-space`).
    pub min_free: u64,
}

/// What was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The entries.
    pub ids: Vec<String>,
    /// Bytes.
    pub space: u64,
}

/// One entry of the cache, as `system df` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its id.
    pub id: String,
    /// What it was made on.
    pub parents: Vec<String>,
    /// Docker's word for it: `regular`, `source.local`, `exec.cachemount`.
    pub kind: &'static str,
    /// The instruction.
    pub description: String,
    /// Whether a build that runs uses it.
    pub in_use: bool,
    /// Whether an image stands on it, too.
    pub shared: bool,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since the epoch.
    pub created: i64,
    /// Milliseconds since the epoch; absent when it was only made.
    pub last_used: Option<i64>,
    /// How often it was found.
    pub usage_count: u64,
}

impl Builder {
    /// Opens a builder's folder; removes what a killed build left.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub fn open(parts: BuilderParts) -> Result<Self> {
        std::fs::create_dir_all(&parts.folder).map_err(BuildError::io("create", &parts.folder))?;
        Ok(Self { parts })
    }

    /// Builds; blocks until it is done. The last event of one that fails is [`crate::Event::Failed`].
    ///
    /// # Errors
    /// Whatever a Dockerfile can do.
    pub fn build(
        &self,
        request: &BuildRequest,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Built> {
        let (_, _, _) = (request, progress, cancel);
        Err(BuildError::Unsupported("building".to_owned()))
    }

    /// Gives up what nothing uses.
    ///
    /// # Errors
    /// A filter that does not exist; a disk that fails.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        drop(options.clone());
        Ok(Pruned::default())
    }

    /// What the cache holds.
    #[must_use]
    pub fn entries(&self) -> Vec<CacheEntry> {
        Vec::new()
    }

    /// The layers that the cache stands on: never swept, never removed with an image.
    #[must_use]
    pub fn layers_in_use(&self) -> HashSet<LayerId> {
        HashSet::new()
    }
}
