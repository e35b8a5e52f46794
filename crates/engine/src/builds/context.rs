//! Contexts that are not a folder of the client: archives, a lone Dockerfile, files and repositories of the web. Each is
//! put into a folder of its own, which goes with the build.

use std::fs;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};

use barge_archive::DigestReader;
use barge_builder::files::{Received, receive_context};
use barge_builder::provenance::Material;
use barge_builder::request::{Context, DockerfileSource};
use barge_builder::runner::Cancel;
use barge_builder::sources::{GitAccess, GitWant, Sources as _};
use barge_builder::{BuildError, BuildRequest};

use super::request::DOCKERFILE;
use super::sources::{BuildSources, is_repository};
use crate::error::{EngineError, Result};

/// A context's folder; removed when it is dropped.
#[derive(Debug)]
pub(super) struct ContextFolder(PathBuf);

impl ContextFolder {
    /// For the build of this name.
    pub(super) fn create(contexts: &Path, build: &str) -> Result<Self> {
        let path = contexts.join(build);
        fs::create_dir_all(&path).map_err(EngineError::io("create", &path))?;
        Ok(Self(path))
    }

    /// Takes an archive, compressed or not, or a Dockerfile alone.
    pub(super) fn receive(&self, body: &mut dyn Read, request: &mut BuildRequest) -> Result<()> {
        let received = receive_context(body, &self.0).map_err(BuildError::from)?;
        request.context = self.context(&self.0);
        if received == Received::Dockerfile {
            request.dockerfile = DockerfileSource::InContext(DOCKERFILE.to_owned());
        }
        Ok(())
    }

    /// Fetches what `remote` says (Docker's API): a repository, an archive, or a Dockerfile.
    pub(super) fn fetch(
        &self,
        remote: &str,
        (sources, cancel): (&BuildSources, &Cancel),
        request: &mut BuildRequest,
    ) -> Result<()> {
        if is_repository(remote) {
            return self.check_out(remote, (sources, cancel), request);
        }
        if !remote.starts_with("http://") && !remote.starts_with("https://") {
            return Err(EngineError::Invalid(format!(
                "invalid remote context {remote:?}: expected http://, https:// or a git repository"
            )));
        }
        let path = self.0.with_extension("download");
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(EngineError::io("create", &path))?;
        // Not seen any more, and gone with this function.
        fs::remove_file(&path).map_err(EngineError::io("remove", &path))?;
        sources.fetch(remote, None, (&mut file, cancel))?;
        file.rewind().map_err(EngineError::io("read", &path))?;
        let mut read = DigestReader::new(&mut file);
        io::copy(&mut read, &mut io::sink()).map_err(EngineError::io("read", &path))?;
        request.origin = Some(Material::file(remote, &read.finish().0));
        file.rewind().map_err(EngineError::io("read", &path))?;
        self.receive(&mut file, request)
    }

    /// `https://….git#reference:folder`.
    fn check_out(
        &self,
        remote: &str,
        (sources, cancel): (&BuildSources, &Cancel),
        request: &mut BuildRequest,
    ) -> Result<()> {
        let (url, fragment) = remote.split_once('#').unwrap_or((remote, ""));
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let reference = Some(reference).filter(|reference| !reference.is_empty());
        let want = GitWant { url, reference, access: GitAccess::new(request, url) };
        let commit = sources.git(&want, &self.0, cancel).map_err(|source| {
            EngineError::Conflict(format!("unable to prepare context: {source}"))
        })?;
        request.origin = Some(Material::repository(url, reference, &commit));
        if !request.keeps_git_folders() {
            // What a repository says of itself is no part of the context, as in Docker.
            let own = self.0.join(".git");
            fs::remove_dir_all(&own).map_err(EngineError::io("remove", &own))?;
        }
        let path = self.inside(folder)?;
        request.context = self.context(&path);
        Ok(())
    }

    /// A folder in the repository, which may not be a link out of it.
    fn inside(&self, folder: &str) -> Result<PathBuf> {
        let wrong = || EngineError::Invalid(format!("no folder {folder:?} in the repository"));
        let root = fs::canonicalize(&self.0).map_err(EngineError::io("find", &self.0))?;
        let path = root.join(folder.trim_start_matches('/'));
        let path = fs::canonicalize(path).map_err(|_| wrong())?;
        if path.starts_with(&root) && path.is_dir() { Ok(path) } else { Err(wrong()) }
    }

    fn context(&self, path: &Path) -> Context {
        // Unpacked anew for each build: there is nothing to remember of its files.
        Context::Folder { path: path.to_owned(), identity: String::new() }
    }
}

impl Drop for ContextFolder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes what killed builds left.
pub(super) fn sweep(contexts: &Path) -> Result<()> {
    fs::create_dir_all(contexts).map_err(EngineError::io("create", contexts))?;
    for entry in fs::read_dir(contexts).map_err(EngineError::io("read", contexts))? {
        remove(&entry.map_err(EngineError::io("read", contexts))?.path());
    }
    Ok(())
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::warn!(folder = %path.display(), %error, "cannot remove a build's context");
    }
}
