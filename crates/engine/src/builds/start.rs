//! From a request to a build that goes on, and to its end.

use std::sync::Arc;

use barge_builder::event::{Event, Progress};
use barge_builder::request::{Context, DockerfileSource};
use barge_builder::runner::Cancel;
use barge_builder::{BuildRequest, Built};
use barge_types::{ImageId, Reference};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::classic::{Classic, Volume};
use super::context::ContextFolder;
use super::inputs::Kept;
use super::push::PushStep;
use super::request::BuildQuery;
use super::sources::RegistryCredentials;
use super::teller::{BuildStream, Teller, Words};
use super::{Builds, Running};
use crate::bridge::{Upload, UploadReader};
use crate::containers::new_id;
use crate::error::{EngineError, Result};

/// In which words a client wants to hear of its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildForm {
    /// Those of Docker's classic builder.
    Classic,
    /// Events.
    Events,
}

/// What a client asks for.
#[derive(Debug)]
pub struct BuildStart {
    /// The parameters.
    pub query: BuildQuery,
    /// What [`Builds::prepare`] returned.
    pub inputs: Option<String>,
    /// The name by which the client may cancel it.
    pub name: String,
    /// For the registries of base images.
    pub credentials: RegistryCredentials,
    /// The context.
    pub body: Upload,
    /// The words of the answer.
    pub form: BuildForm,
}

/// A build that is about to begin.
struct Job {
    request: BuildRequest,
    kept: Kept,
    remote: String,
    body: Option<Upload>,
    teller: Arc<Teller>,
    cancel: Cancel,
}

impl Builds {
    /// Begins a build. What is wrong before it has said anything is an error of the request.
    pub async fn start(self: &Arc<Self>, start: BuildStart) -> Result<BuildStream> {
        let mut request = start.query.parse()?;
        request.client = new_id()?.to_string();
        let (kept, body) = self.add_inputs(start.inputs.as_deref(), start.body, &mut request)?;
        self.sources.remember(&request.client, start.credentials);
        let volume = if start.query.quiet { Volume::Quiet } else { Volume::Normal };
        let words = match start.form {
            BuildForm::Classic => Words::Classic(std::sync::Mutex::new(Classic::new(volume))),
            BuildForm::Events => Words::Events,
        };
        let (teller, stream, spoken) = Teller::new(words);
        let (client, cancel) = (teller.client(), Cancel::default());
        let running = Running { name: start.name, cancel: cancel.clone() };
        self.running().insert(request.client.clone(), running);
        let job = Job {
            request,
            kept,
            remote: start.query.remote,
            body,
            teller: Arc::new(teller),
            cancel: cancel.clone(),
        };
        let watch = tokio::spawn(async move {
            client.closed().await;
            cancel.cancel();
        });
        let run = Arc::clone(self).run(job);
        tokio::spawn(async move {
            run.await;
            // It holds a sender, without whose end the client waits for more.
            watch.abort();
        });
        spoken.await.unwrap_or(Err(EngineError::Cancelled))?;
        Ok(stream)
    }

    fn add_inputs(
        &self,
        id: Option<&str>,
        body: Upload,
        request: &mut BuildRequest,
    ) -> Result<(Kept, Option<Upload>)> {
        let Some(id) = id else {
            return Ok((Kept::default(), Some(body)));
        };
        let prepared = self.inputs.take(id).ok_or_else(|| {
            EngineError::NotFound(format!(
                "no inputs {id} wait for a build: they are kept for a minute"
            ))
        })?;
        let body = prepared.has_archive().then_some(body);
        Ok((prepared.apply(request)?, body))
    }

    /// Waits for a turn, and gives the build a thread.
    async fn run(self: Arc<Self>, job: Job) {
        let client = job.request.client.clone();
        // Never closed.
        let turn = Arc::clone(&self.slots).acquire_owned().await.ok();
        let this = Arc::clone(&self);
        let runtime = Handle::current();
        let spawned = std::thread::Builder::new()
            .name("build".to_owned())
            .spawn(move || this.run_on_thread(job, (turn, runtime)));
        match spawned {
            Ok(thread) => {
                let ended = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
                if !matches!(ended, Ok(true)) {
                    tracing::error!("a build's thread ended by a panic");
                }
            }
            Err(error) => tracing::error!(%error, "cannot start a thread for a build"),
        }
        self.sources.forget(&client);
        self.running().remove(&client);
    }

    fn run_on_thread(
        self: Arc<Self>,
        job: Job,
        (turn, runtime): (Option<OwnedSemaphorePermit>, Handle),
    ) {
        let _turn = turn;
        let (teller, cancel) = (Arc::clone(&job.teller), job.cancel.clone());
        let client = job.request.client.clone();
        match self.build(job, &runtime) {
            Ok(built) => {
                if !built.results.is_empty() {
                    runtime.spawn(Arc::clone(&self).forget_results(built.id.clone()));
                }
                self.keep_results(&built.id, built.results);
                teller.finish();
            }
            Err(error) => {
                let is_cancelled = cancel.is_cancelled();
                tracing::debug!(
                    build = client,
                    is_cancelled,
                    error = error.message(),
                    "a build failed"
                );
                teller.fail(error);
            }
        }
    }

    fn build(&self, job: Job, runtime: &Handle) -> Result<Built> {
        let Job { mut request, kept, remote, body, teller, cancel, .. } = job;
        let folder = ContextFolder::create(&self.contexts, &request.client)?;
        if !remote.is_empty() {
            folder.fetch(&remote, (&self.sources, &cancel), &mut request)?;
        } else if let Some(body) = body
            && matches!(request.context, Context::None)
        {
            let dockerfile = request.dockerfile.clone();
            folder.receive(&mut UploadReader::new(body), &mut request)?;
            // One that came ahead is meant, also when the archive is nothing else.
            if matches!(dockerfile, DockerfileSource::Text { .. }) {
                request.dockerfile = dockerfile;
            }
        }
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let told = Tags { teller: &teller, builds: self, names: names(&request) };
        let built = self.builder.build(&request, &told, &cancel);
        drop(kept);
        let built = built?;
        let push = PushStep { builds: self, teller: &teller, cancel: &cancel, runtime };
        push.all(&request, built.steps)?;
        Ok(built)
    }
}

/// Passes on what a build tells, and tells of the names that its image got.
struct Tags<'a> {
    teller: &'a Teller,
    builds: &'a Builds,
    names: Vec<String>,
}

impl Progress for Tags<'_> {
    fn tell(&self, event: Event) {
        if let Event::Image { id, .. } = &event
            && let Ok(id) = id.parse::<ImageId>()
        {
            for name in &self.names {
                self.builds.images.tell("tag", &id, name);
            }
        }
        self.teller.tell(event);
    }
}

fn names(request: &BuildRequest) -> Vec<String> {
    let of_outputs = request.outputs.iter().flat_map(|output| &output.names);
    let mut names: Vec<String> =
        request.tags.iter().chain(of_outputs).map(Reference::familiar).collect();
    names.dedup();
    names
}
