//! What builds get from elsewhere: images by the daemon's pull, files of the web, repositories by the host's `git`.

mod cache;
mod download;
mod git;
mod image;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use barge_builder::runner::{Cancel, RunError};
use barge_builder::sources::{
    CacheFiles, CacheName, Downloaded, GitWant, ImageNews, ImageWant, Sources,
};
use barge_image::Held;
use barge_registry::Credentials;
use barge_types::{Digest, Reference};
use tokio::runtime::Handle;

use crate::error::{EngineError, Result};
use crate::images::Images;

pub(super) use git::is_repository;

/// How often it is looked whether a build was cancelled while nothing else happens.
const GLANCE: Duration = Duration::from_millis(50);

/// Credentials of one client, by registry as `config.json` names it.
pub type RegistryCredentials = HashMap<String, Credentials>;

/// Gets things for builds.
#[derive(Debug)]
pub(crate) struct BuildSources {
    images: Arc<Images>,
    runtime: Handle,
    /// By the name of the build.
    credentials: Mutex<HashMap<String, Arc<RegistryCredentials>>>,
}

impl BuildSources {
    pub(crate) fn new(images: Arc<Images>, runtime: Handle) -> Self {
        Self { images, runtime, credentials: Mutex::default() }
    }

    fn all_credentials(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<String, Arc<RegistryCredentials>>> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Credentials for one build, until [`Self::forget`].
    pub(super) fn remember(&self, build: &str, credentials: RegistryCredentials) {
        self.all_credentials().insert(build.to_owned(), Arc::new(credentials));
    }

    pub(super) fn forget(&self, build: &str) {
        self.all_credentials().remove(build);
    }

    /// What a build's client knows of the registry of a reference.
    pub(super) fn credentials(&self, build: &str, reference: &Reference) -> Option<Credentials> {
        let known = self.all_credentials().get(build).cloned()?;
        let domain = reference.domain();
        // Clients name Docker's own registry by its index.
        let names: &[&str] = match domain {
            "docker.io" => &["https://index.docker.io/v1/", "index.docker.io", "docker.io"],
            other => &[other],
        };
        names.iter().find_map(|name| known.get(*name)).cloned()
    }

    /// Waits for something that may last, unless the build ends before.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>, cancel: &Cancel) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                outcome = work => outcome,
                () = cancelled(cancel) => Err(EngineError::Cancelled),
            }
        })
    }
}

/// Until a build is cancelled.
pub(super) async fn cancelled(cancel: &Cancel) {
    let mut looks = tokio::time::interval(GLANCE);
    while !cancel.is_cancelled() {
        looks.tick().await;
    }
}

impl Sources for BuildSources {
    fn image(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(ImageNews<'_>),
        cancel: &Cancel,
    ) -> std::result::Result<Held, RunError> {
        Ok(self.base_image(want, told, cancel)?)
    }

    fn download(
        &self,
        url: &str,
        known: Option<&Downloaded>,
        into: &mut File,
        cancel: &Cancel,
    ) -> std::result::Result<Option<Downloaded>, RunError> {
        Ok(self.fetch(url, known, (into, cancel))?)
    }

    fn git(
        &self,
        want: &GitWant<'_>,
        into: &Path,
        cancel: &Cancel,
    ) -> std::result::Result<String, RunError> {
        Ok(git::check_out(want, into, cancel)?)
    }

    fn put_cache(
        &self,
        to: &CacheName<'_>,
        cache: &CacheFiles,
        cancel: &Cancel,
    ) -> std::result::Result<(), RunError> {
        Ok(self.push_cache(to, cache, cancel)?)
    }

    fn cache_index(
        &self,
        from: &CacheName<'_>,
        cancel: &Cancel,
    ) -> std::result::Result<Option<Vec<u8>>, RunError> {
        Ok(self.read_cache(from, cancel)?)
    }

    fn cache_archive(
        &self,
        from: &CacheName<'_>,
        (digest, into): (&Digest, &mut File),
        cancel: &Cancel,
    ) -> std::result::Result<(), RunError> {
        Ok(self.fetch_archive(from, (digest, into), cancel)?)
    }
}
