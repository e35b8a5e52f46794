//! What a build needs from elsewhere: base images and files of the network.

use std::fs::File;
use std::path::{Path, PathBuf};

use barge_image::Held;
use barge_types::{Digest, Platform};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::request::BuildRequest;
use crate::runner::{Cancel, RunError};

/// Gets things that are not here yet. The engine implements it; calls block.
pub trait Sources: Send + Sync {
    /// The image of a name, pulled when it is not here or when a newer one is asked for. `told` hears that it
    /// is there before it is fetched, and then how that goes on.
    ///
    /// # Errors
    /// In the words of `pull`.
    fn image(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(ImageNews<'_>),
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

    /// Checks a repository out (`git` of the host, in a folder that is empty) and says the commit.
    ///
    /// # Errors
    /// No `git` program, no such repository or reference.
    fn git(&self, want: &GitWant<'_>, into: &Path, cancel: &Cancel) -> Result<String, RunError>;

    /// Puts a cache into a registry.
    ///
    /// # Errors
    /// In the words of `push`.
    fn put_cache(
        &self,
        to: &CacheName<'_>,
        cache: &CacheFiles,
        cancel: &Cancel,
    ) -> Result<(), RunError>;

    /// What describes the cache of a name; `None` when nothing, or something else, has that name.
    ///
    /// # Errors
    /// In the words of `pull`.
    fn cache_index(
        &self,
        from: &CacheName<'_>,
        cancel: &Cancel,
    ) -> Result<Option<Vec<u8>>, RunError>;

    /// Downloads an archive of a cache into an open file. Whoever reads it verifies it.
    ///
    /// # Errors
    /// In the words of `pull`.
    fn cache_archive(
        &self,
        from: &CacheName<'_>,
        wanted: (&Digest, &mut File),
        cancel: &Cancel,
    ) -> Result<(), RunError>;
}

/// A cache in a registry.
#[derive(Clone, Copy, Debug)]
pub struct CacheName<'a> {
    /// `[HOST/]NAME[:TAG]`.
    pub reference: &'a str,
    /// [`BuildRequest::client`].
    pub client: &'a str,
}

/// A cache as files.
#[derive(Clone, Debug, Default)]
pub struct CacheFiles {
    /// What describes it.
    pub index: Vec<u8>,
    /// Its archives.
    pub archives: Vec<(Digest, PathBuf)>,
}

/// Which repository.
#[derive(Clone, Debug)]
pub struct GitWant<'a> {
    /// Without what is behind `#`.
    pub url: &'a str,
    /// A branch, tag or commit; nothing for the default branch.
    pub reference: Option<&'a str>,
    /// How to get at it.
    pub access: GitAccess,
}

/// What a build's client lends for repositories; never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GitAccess {
    /// The value of `Authorization`, for the web.
    pub authorization: Option<String>,
    /// The socket of an agent, for ssh.
    pub agent: Option<PathBuf>,
}

impl std::fmt::Debug for GitAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GitAccess(…)")
    }
}

impl GitAccess {
    /// What a request has for an address: the secrets `GIT_AUTH_HEADER` and `GIT_AUTH_TOKEN`, first those that have the
    /// host's name behind a dot, and the agent `default`, as BuildKit knows them.
    #[must_use]
    pub fn new(request: &BuildRequest, url: &str) -> Self {
        let web = ["https://", "http://", "github.com/"];
        if !web.iter().any(|start| url.starts_with(start)) {
            let is_ssh = url.starts_with("ssh://") || !url.contains("://");
            let agent = request.ssh.get("default").filter(|_| is_ssh).cloned();
            return Self { authorization: None, agent };
        }
        let text = |name: &str| {
            let text = String::from_utf8(request.secrets.get(name)?.0.clone()).ok()?;
            let text = text.trim().to_owned();
            // Nothing of it begins a header of its own.
            (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
        };
        let host = host_of(url);
        let of = |end: &str| {
            let token = || {
                let token = text(&format!("GIT_AUTH_TOKEN{end}"))?;
                Some(format!("Basic {}", STANDARD.encode(format!("x-access-token:{token}"))))
            };
            text(&format!("GIT_AUTH_HEADER{end}")).or_else(token)
        };
        Self { authorization: of(&format!(".{host}")).or_else(|| of("")), agent: None }
    }
}

/// `host[:port]` of an address of the web.
fn host_of(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Secret;

    #[test]
    fn secrets_of_a_host_come_before_those_of_all() {
        let request = |secrets: &[(&str, &str)]| BuildRequest {
            secrets: secrets
                .iter()
                .map(|(name, text)| ((*name).to_owned(), Secret(text.as_bytes().to_vec())))
                .collect(),
            ssh: [("default".to_owned(), PathBuf::from("/agent"))].into(),
            ..BuildRequest::default()
        };
        let header = |secrets: &[(&str, &str)], url: &str| {
            GitAccess::new(&request(secrets), url).authorization
        };
        let all = [("GIT_AUTH_TOKEN", "t\n"), ("GIT_AUTH_HEADER.h:1", "Bearer x")];
        let basic = format!("Basic {}", STANDARD.encode("x-access-token:t"));
        assert_eq!(header(&all, "https://u@h:1/r.git").unwrap(), "Bearer x");
        assert_eq!(header(&all, "https://h/r.git"), Some(basic));
        assert_eq!(header(&[("GIT_AUTH_HEADER", "a\r\nb: c")], "https://h/r.git"), None);
        assert_eq!(header(&all, "git@h:r.git"), None);
        let host = [("GIT_AUTH_HEADER.github.com", "Bearer y")];
        assert_eq!(header(&host, "github.com/a/b").unwrap(), "Bearer y");
        let agent = |url: &str| GitAccess::new(&request(&all), url).agent.is_some();
        assert!(agent("git@h:r.git") && agent("ssh://git@h/r.git"));
        assert!(!agent("https://h/r.git") && !agent("git://h/r.git"));
        let shown = format!("{:?}", GitAccess::new(&request(&all), "https://h:1/r.git"));
        assert_eq!(shown, "GitAccess(…)");
    }
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

/// How an image comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageNews<'a> {
    /// It is there to be had. Not told of one that is here.
    Found,
    /// A layer of it: bytes so far and in all.
    Advanced {
        /// Which layer.
        what: &'a str,
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
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
