//! Builds: what a client asks for, put into the builder's words and told in the client's.
//!
//! A build has a thread of its own, from which the builder starts those of its stages. It belongs to the client that
//! asked for it: when that goes away, the build is cancelled and leaves nothing but its cache.

mod attestations;
mod classic;
mod context;
mod inputs;
mod outputs;
mod prune;
mod push;
mod request;
mod runner;
mod sources;
mod start;
mod teller;
mod usage;
mod wanted_outputs;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barge_api_types::BuildInputs;
use barge_builder::Builder;
use barge_builder::runner::Cancel;
use tokio::sync::Semaphore;

pub use outputs::OutputStream;
pub use prune::BuildPruneRequest;
pub use request::{BuildLimits, BuildQuery};
pub use sources::RegistryCredentials;
pub use start::{BuildForm, BuildStart};
pub use teller::{BuildMessage, BuildStream};

pub(crate) use runner::StepRunner;
pub(crate) use sources::BuildSources;
pub(crate) use usage::OnlyContainers;

use crate::blocking;
use crate::containers::new_id;
use crate::error::Result;
use crate::events::Events;
use crate::images::Images;

/// Builds at one time; more wait. Each has at least one thread, and as many processes as it has stages.
const AT_ONCE: usize = 32;
/// How long builds may take to end with their daemon.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// The service that builds images.
#[derive(Debug)]
pub struct Builds {
    builder: Arc<Builder>,
    images: Arc<Images>,
    events: Arc<Events>,
    sources: Arc<BuildSources>,
    /// Contexts that came as archives, each in a folder of its own while it is built.
    contexts: PathBuf,
    inputs: inputs::Waiting,
    outputs: outputs::Outputs,
    /// Those that go on or wait for their turn, by the name that this service gave them.
    running: Mutex<HashMap<String, Running>>,
    slots: Arc<Semaphore>,
}

/// What ends a build.
#[derive(Debug)]
struct Running {
    /// As its client calls it; empty when it does not.
    name: String,
    cancel: Cancel,
}

impl Builds {
    /// Takes over a builder; removes the contexts of builds that were killed with their daemon.
    pub(crate) fn open(
        builder: Arc<Builder>,
        images: Arc<Images>,
        sources: Arc<BuildSources>,
        contexts: PathBuf,
    ) -> Result<Self> {
        context::sweep(&contexts)?;
        Ok(Self {
            builder,
            events: Arc::clone(&images.events),
            images,
            sources,
            contexts,
            inputs: inputs::Waiting::default(),
            outputs: outputs::Outputs::default(),
            running: Mutex::default(),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Keeps what a client says ahead of a build; `client` is its process, when it is known. Returns the name to start
    /// the build with.
    pub async fn prepare(
        self: &Arc<Self>,
        inputs: BuildInputs,
        client: Option<i32>,
    ) -> Result<String> {
        let this = Arc::clone(self);
        let id = blocking::run(move || {
            let prepared = inputs::Prepared::open(inputs, client)?;
            let id = new_id()?.to_string();
            this.inputs.add(id.clone(), prepared);
            Ok(id)
        })
        .await?;
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(inputs::patience()).await;
            this.inputs.sweep();
        });
        Ok(id)
    }

    /// Cancels the build that its client gave this name; one that is not there has ended.
    pub fn cancel(&self, name: &str) {
        for build in self.running().values().filter(|build| build.name == name) {
            build.cancel.cancel();
        }
    }

    /// Cancels every build and waits until nothing is left of them: with the daemon ends what their clients wait for.
    pub async fn end(&self) {
        self.running().values().for_each(|build| build.cancel.cancel());
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        // What takes longer is ended by the next daemon, as after a crash.
        if tokio::time::timeout(END_DEADLINE, self.slots.acquire_many(all)).await.is_err() {
            tracing::warn!("builds do not end: {} s were not enough", END_DEADLINE.as_secs());
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
