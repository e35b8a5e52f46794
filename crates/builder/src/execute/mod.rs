//! Builds that run.
//!
//! Each needed stage is a thread that waits only where it needs what another stage came to. The first error ends all of
//! them. Whatever a build makes beside layers is below two folders of its own, one on the disk and one in memory, which
//! go with it.

mod attest;
mod base;
mod cache_out;
mod contexts;
mod graph;
mod images;
mod instruction;
mod layer;
mod mount_points;
mod origins;
mod outline;
mod outputs;
mod permits;
mod platform_files;
mod publish;
mod remote;
mod run;
mod run_mounts;
mod scan;
mod slots;
mod state;
mod text;
mod transfer;
mod users;
pub(crate) mod weight;
mod workdir;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use barge_dockerfile::ast::Dockerfile;
use barge_storage::LayerId;
use barge_types::ImageId;

use crate::builder::BuilderParts;
use crate::cache::downloads::Downloads;
use crate::cache::mounts::CacheMounts;
use crate::cache::remote::Remotes;
use crate::cache::{Cache, Reuse};
use crate::error::{BuildError, Result};
use crate::event::{Event, Outcome, Progress, StepLine};
use crate::files::ChecksumMemory;
use crate::request::{BuildRequest, OnFailure};
use crate::runner::Cancel;
pub(crate) use attest::{Results, is_silent};
pub(crate) use contexts::Contexts;
pub(crate) use graph::Graph;
#[cfg(test)]
pub(crate) use images::AT_ONCE;
pub(crate) use images::Images;
pub(crate) use permits::Permits;
pub(crate) use state::StageState;
pub(crate) use weight::Weight;

/// What all builds share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) parts: BuilderParts,
    pub(crate) cache: Arc<Cache>,
    pub(crate) mounts: Arc<CacheMounts>,
    pub(crate) downloads: Downloads,
    pub(crate) memory: ChecksumMemory,
    pub(crate) permits: Permits,
    /// Held by who keeps the cache within its bounds.
    pub(crate) tidying: Mutex<()>,
}

/// A Dockerfile with what it was read from.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name, for errors.
    pub(crate) name: String,
    /// As it stands.
    pub(crate) text: String,
    /// What it says.
    pub(crate) parsed: Dockerfile,
}

/// One build.
pub(crate) struct Running<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) request: &'a BuildRequest,
    pub(crate) source: &'a Source,
    pub(crate) contexts: &'a Contexts,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
    pub(crate) place: &'a Place,
    /// The number of the next step.
    pub(crate) steps: AtomicU32,
    /// The layer of the step that failed, when it is kept.
    pub(crate) failed: Mutex<Option<LayerId>>,
    /// The image of it.
    pub(crate) failed_image: Mutex<Option<ImageId>>,
    /// `--cache-from`, once it was looked at.
    pub(crate) remotes: OnceLock<Remotes>,
    /// Images that were asked for before the first step.
    pub(crate) images: Images,
    /// Steps that were told of before they ran.
    pub(crate) begun: Mutex<BTreeSet<u32>>,
    /// Cache mounts of this build's steps, with their ids.
    pub(crate) mounts_used: Mutex<BTreeMap<String, String>>,
    /// What its stages say of their images.
    pub(crate) weight: Weight,
    /// When it began.
    pub(crate) started: jiff::Timestamp,
}

impl std::fmt::Debug for Running<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Running<'_> {
    pub(crate) fn tell(&self, event: Event) {
        self.progress.tell(event);
    }

    /// Tells that a step began, once.
    pub(crate) fn start(&self, step: u32) {
        if self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(step) {
            self.tell(Event::Started { step });
        }
    }

    /// Tells how a step ended.
    pub(crate) fn finish(&self, number: u32, done: Result<Outcome>) -> Result<()> {
        let (outcome, result) = match done {
            Ok(outcome) => (outcome, Ok(())),
            Err(error)
                if matches!(error.cause(), BuildError::Cancelled | BuildError::Elsewhere) =>
            {
                (Outcome::Cancelled, Err(error))
            }
            Err(error) => (Outcome::Failed(error.chain()), Err(error)),
        };
        self.ended(number, outcome);
        result
    }

    pub(crate) fn ended(&self, step: u32, outcome: Outcome) {
        self.tell(Event::Ended { step, outcome });
    }

    /// Caches that are elsewhere.
    pub(crate) fn elsewhere(&self) -> &Remotes {
        self.remotes.get_or_init(Remotes::default)
    }

    /// Numbers for new steps.
    pub(crate) fn number(&self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.steps.fetch_add(count, Ordering::Relaxed)
    }

    pub(crate) fn announce(&self, steps: Vec<StepLine>) {
        self.tell(Event::Planned { steps });
    }

    /// Does something that belongs to no stage, as a step that people see.
    pub(crate) fn around(&self, text: String, work: impl FnOnce(u32) -> Result<()>) -> Result<()> {
        let step = self.number(1);
        self.announce(vec![StepLine {
            step,
            stage: String::new(),
            position: 1,
            of: 1,
            text,
            shown: None,
        }]);
        self.start(step);
        self.finish(step, work(step).map(|()| Outcome::Done))
    }

    /// Says what is no reason to end the build.
    pub(crate) fn warn(&self, step: u32, text: &str) {
        self.tell(Event::Output { step, stream: 2, text: format!("WARNING: {text}\n") });
    }

    /// Whether a stage uses the cache.
    pub(crate) fn reuse(&self, stage: &str) -> Reuse {
        let cache = &self.request.cache;
        let is_off =
            cache.is_off || cache.off_for.iter().any(|name| name.eq_ignore_ascii_case(stage));
        if is_off { Reuse::No } else { Reuse::Yes }
    }

    /// `SOURCE_DATE_EPOCH`, as a flag or as an argument.
    pub(crate) fn epoch(&self) -> Option<i64> {
        let given = self.request.build_args.get("SOURCE_DATE_EPOCH");
        let given = || given.and_then(|value| value.as_ref()?.trim().parse().ok());
        self.request.epoch.or_else(given)
    }

    /// The time of what is made now.
    pub(crate) fn created(&self) -> String {
        let epoch = self.epoch().and_then(|epoch| jiff::Timestamp::from_second(epoch).ok());
        epoch.unwrap_or_else(jiff::Timestamp::now).to_string()
    }

    /// What goes into the key of every first layer: layers whose times are set must not be taken for others.
    pub(crate) fn salt(&self) -> String {
        self.epoch().map_or_else(String::new, |epoch| format!("epoch {epoch}"))
    }

    /// Keeps the layer of a step whose process failed, if that was asked for.
    fn keep_failed(&self, id: &LayerId, filled: &Result<()>) -> bool {
        let is_wanted = self.request.on_failure == OnFailure::KeepImage;
        if !is_wanted || !matches!(filled, Err(BuildError::Process { .. })) {
            return false;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return false;
        }
        *failed = Some(id.clone());
        true
    }
}

/// The folders of one build; they go when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// The build's name.
    pub(crate) id: String,
    /// On the disk.
    pub(crate) disk: PathBuf,
    /// In memory, made when it is needed.
    pub(crate) memory: PathBuf,
}

impl Place {
    pub(crate) fn create(parts: &BuilderParts) -> Result<Self> {
        let id = barge_sys::random::hex::<16>()
            .map_err(BuildError::io("read random bytes for", Path::new("a build")))?;
        let disk = parts.folder.join("tmp").join(&id);
        std::fs::create_dir_all(&disk).map_err(BuildError::io("create", &disk))?;
        let memory = parts.memory_folder.join(&id);
        Ok(Self { id, disk, memory })
    }

    /// A new folder of a step, on the disk.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        let path = barge_sys::durable::temporary_name(&self.disk)
            .map_err(BuildError::io("name a folder in", &self.disk))?;
        std::fs::create_dir(&path).map_err(BuildError::io("create", &path))?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot go now goes at the next start.
        std::fs::remove_dir_all(&self.disk).ok();
        std::fs::remove_dir_all(&self.memory).ok();
    }
}
