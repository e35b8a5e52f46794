//! What a build needs from elsewhere: base images and files of the network.

use std::fs::File;
use std::path::Path;

use barge_image::Held;
use barge_types::{Digest, Platform};

use crate::runner::{Cancel, RunError};

/// Gets things that are not here yet. The engine implements it; calls block.
pub trait Sources: Send + Sync {
    /// The image of a name, pulled when it is not here or when a newer one is asked for. `told` gets bytes so far and in all of each layer.
    ///
    /// # Errors
    /// In the words of `pull`.
    fn image(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(&str, u64, u64),
        cancel: &Cancel,
    ) -> Result<Held, RunError>;

    /// Downloads `http(s)://…` into an open file; says what the server told of it. With what it told before (`known`) it is
    /// asked for a change only: `None` when there is none.
    ///
    /// # Errors
    /// No such host, a status that is no success, a certificate that nobody signed.
    fn download(
        &self,
        url: &str,
        known: Option<&Downloaded>,
        into: &mut File,
        cancel: &Cancel,
    ) -> Result<Option<Downloaded>, RunError>;

    /// Checks a repository out (`git` of the host, in a folder that is empty) and says the commit. `reference` is a branch, tag or commit, or
    /// nothing for the default branch.
    ///
    /// # Errors
    /// No `git` program, no such repository or reference.
    fn git(
        &self,
        url: &str,
        reference: Option<&str>,
        into: &Path,
        cancel: &Cancel,
    ) -> Result<String, RunError>;
}

/// Which image.
#[derive(Clone, Copy, Debug)]
pub struct ImageWant<'a> {
    /// As it stands in the Dockerfile, variables expanded.
    pub reference: &'a str,
    /// The daemon's own when absent.
    pub platform: Option<&'a Platform>,
    /// Whether to look for a newer one.
    pub pull: Pull,
    /// [`crate::BuildRequest::client`].
    pub client: &'a str,
}

/// When base images are pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// When they are not here.
    #[default]
    WhenMissing,
    /// Always (`--pull`).
    Always,
}

/// What a server told of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// The name it wants the file to have (`Content-Disposition`), or the last part of the path.
    pub name: String,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`, in seconds since the epoch.
    pub modified: Option<i64>,
    /// Of the bytes.
    pub digest: Option<Digest>,
}
