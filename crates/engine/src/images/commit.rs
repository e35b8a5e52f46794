//! `commit`: a container becomes an image.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use barge_api_types::ContainerConfig;
use barge_image::Commit;
use barge_oci::image::{ContainerConfig as ImageContainerConfig, Healthcheck};
use barge_storage::{LayerId, StorageDriver, StorageError};

use super::Images;
use super::import::reference;
use crate::blocking;
use crate::containers::{CommitSource, to_the_end};
use crate::error::{EngineError, Result};

/// Whether the container's processes stand still meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPause {
    /// They do.
    Pause,
    /// They go on, and files may be caught in the middle of a change.
    GoOn,
}

/// What to commit, and as what.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The container.
    pub container: String,
    /// The repository; none for an image without a name.
    pub repo: String,
    /// The tag, `latest` when empty.
    pub tag: String,
    /// Who made it.
    pub author: String,
    /// For the history.
    pub comment: String,
    /// Instructions of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
    /// Whether processes stand still meanwhile.
    pub pause: CommitPause,
    /// Replaces the container's configuration; what it leaves out is the container's.
    pub config: Option<ContainerConfig>,
}

impl Images {
    /// Makes the image and says its id.
    pub async fn commit(self: &Arc<Self>, request: CommitRequest) -> Result<String> {
        let name = reference(&request.repo, &request.tag)?;
        let CommitSource { image, config: own, container } =
            self.containers.commit_source(&request.container)?;
        let created_by = own.cmd.clone().unwrap_or_default().join(" ");
        let own = image_config(&own)?;
        let config = match &request.config {
            Some(given) => merged(image_config(given)?, own),
            None => own,
        };
        let commit = Commit {
            config,
            changes: request.changes,
            author: request.author,
            comment: request.comment.clone(),
            created_by,
            reference: name.clone(),
        };
        let this = Arc::clone(self);
        let source = Arc::clone(&container);
        let work = blocking::run(move || {
            let parent = this.store.hold(&image)?;
            let storage = Arc::clone(&this.containers.storage);
            let diff = DiffReader::start(storage, source.layer.clone())?;
            let id = this.store.commit(&parent, commit, Box::new(diff))?;
            let shown = name.as_ref().map_or_else(String::new, barge_types::Reference::familiar);
            if name.is_some() {
                this.tell("tag", &id, &shown);
            }
            let id = id.to_string();
            let facts =
                [("comment", request.comment), ("imageID", id.clone()), ("imageRef", shown)];
            this.containers.tell_commit(&source, &facts);
            Ok(id)
        });
        let containers = Arc::clone(&self.containers);
        // A client that goes away leaves nobody frozen.
        to_the_end(async move {
            match request.pause {
                CommitPause::Pause => containers.while_frozen(&container, work).await,
                CommitPause::GoOn => work.await,
            }
        })
        .await
    }
}

/// The fields that images have; the others (`Hostname` …) go along as they are.
fn image_config(config: &ContainerConfig) -> Result<ImageContainerConfig> {
    let convert = || serde_json::to_value(config).and_then(serde_json::from_value);
    convert().map_err(|source| EngineError::Record { path: "the configuration".to_owned(), source })
}

/// A given configuration with the container's where it says nothing.
fn merged(given: ImageContainerConfig, own: ImageContainerConfig) -> ImageContainerConfig {
    let or = |given: String, own: String| if given.is_empty() { own } else { given };
    let has_command = given.cmd.as_ref().is_some_and(|cmd| !cmd.is_empty());
    // One of no words keeps the container's away and leaves the command alone.
    let has_words = given.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let given_keys: Vec<String> = given.env.iter().map(|entry| key(entry)).collect();
    let mut env = given.env;
    env.extend(own.env.into_iter().filter(|entry| !given_keys.contains(&key(entry))));
    ImageContainerConfig {
        user: or(given.user, own.user),
        exposed_ports: own.exposed_ports.into_iter().chain(given.exposed_ports).collect(),
        env,
        cmd: if has_command || has_words { given.cmd } else { own.cmd },
        entrypoint: given.entrypoint.or(own.entrypoint),
        volumes: own.volumes.into_iter().chain(given.volumes).collect(),
        working_dir: or(given.working_dir, own.working_dir),
        labels: own.labels.into_iter().chain(given.labels).collect(),
        stop_signal: or(given.stop_signal, own.stop_signal),
        stop_timeout: given.stop_timeout.or(own.stop_timeout),
        healthcheck: merged_check(given.healthcheck, own.healthcheck),
        on_build: given.on_build,
        shell: if given.shell.is_empty() { own.shell } else { given.shell },
        args_escaped: given.args_escaped,
        extra: given.extra,
    }
}

/// Fields of a given check that say nothing are the container's.
fn merged_check(given: Option<Healthcheck>, own: Option<Healthcheck>) -> Option<Healthcheck> {
    let (Some(given), Some(own)) = (&given, &own) else {
        return given.or(own);
    };
    let or = |given: i64, own: i64| if given == 0 { own } else { given };
    Some(Healthcheck {
        test: if given.test.is_empty() { own.test.clone() } else { given.test.clone() },
        interval: or(given.interval, own.interval),
        timeout: or(given.timeout, own.timeout),
        start_period: or(given.start_period, own.start_period),
        start_interval: or(given.start_interval, own.start_interval),
        retries: or(given.retries, own.retries),
    })
}

/// The archive of a layer's changes, written by a thread of its own into a pipe.
struct DiffReader {
    pipe: io::PipeReader,
    writer: Option<JoinHandle<std::result::Result<(), StorageError>>>,
}

impl DiffReader {
    fn start(storage: Arc<dyn StorageDriver>, layer: LayerId) -> Result<Self> {
        let fail = || EngineError::io("make", "a pipe");
        let (pipe, mut out) = io::pipe().map_err(fail())?;
        let write = move || {
            let parent = storage.parent(&layer)?;
            storage.diff(&layer, parent.as_ref(), &mut out)
        };
        let writer = std::thread::Builder::new().name("diff".to_owned()).spawn(write);
        Ok(Self { pipe, writer: Some(writer.map_err(fail())?) })
    }
}

impl Read for DiffReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.pipe.read(buffer)?;
        if count == 0
            && !buffer.is_empty()
            && let Some(writer) = self.writer.take()
        {
            // The end of the pipe is the end of the archive only if the writer says so.
            let written = writer.join().map_err(|_| io::Error::other("the writer panicked"))?;
            written.map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_given_configuration_leaves_out_is_the_containers() {
        let own = ImageContainerConfig {
            env: vec!["A=1".into(), "B=2".into()],
            cmd: Some(vec!["sh".into()]),
            user: "me".into(),
            ..ImageContainerConfig::default()
        };
        let given = ImageContainerConfig {
            env: vec!["A=3".into()],
            working_dir: "/w".into(),
            ..ImageContainerConfig::default()
        };
        let merged = merged(given, own.clone());
        assert_eq!(merged.env, ["A=3", "B=2"]);
        assert_eq!(
            (merged.cmd, merged.user, merged.working_dir.as_str()),
            (own.cmd.clone(), own.user.clone(), "/w")
        );
        let given = ImageContainerConfig {
            entrypoint: Some(vec!["x".into()]),
            ..ImageContainerConfig::default()
        };
        assert_eq!(super::merged(given, own).cmd, None);
    }
}
