//! What can go wrong with a registry. Texts that Docker's clients match on are kept word for word.
//!
//! Nothing here prints its source: the edge joins the chain with `: `, which gives Docker's lines, as
//! `Get "https://reg/v2/": http: server gave HTTP response to HTTPS client`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use barge_types::{Digest, ErrorKind};
use http::StatusCode;

use crate::config::ConfigError;
use crate::refusal::Refusal;
use crate::url::{Url, UrlError};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, RegistryError>;

/// A registry was not asked, or did not answer what was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file below `certs.d` cannot be read.
    #[error("cannot read {path}", path = .path.display())]
    ReadFile {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file below `certs.d` says nothing that makes sense.
    #[error("invalid {path}: {reason}", path = .path.display())]
    BadFile {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The name of a registry is no host.
    #[error("invalid registry endpoint {host:?}")]
    Host {
        /// As it was written.
        host: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// What is to be downloaded has no address that makes sense.
    #[error("invalid URL {url:?}")]
    BadUrl {
        /// As it was written.
        url: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// Nobody may be asked for this: `hosts.toml` gives no host the capability.
    #[error("no host of {host} may be used to {capability}: see its hosts.toml")]
    NoHost {
        /// The registry.
        host: String,
        /// `pull`, `resolve` or `push`.
        capability: &'static str,
    },
    /// A server that an image names for one of its layers does not have it.
    #[error("{url} answered {status}")]
    Elsewhere {
        /// As the image names it.
        url: String,
        /// Its answer.
        status: StatusCode,
    },
    /// A request brought no answer.
    #[error("{method} \"{url}\"")]
    Request {
        /// As Go writes it: `Get`, `Head`, …
        method: &'static str,
        /// What was asked.
        url: String,
        /// Why.
        source: Failure,
    },
    /// The tag or digest is not there.
    #[error("manifest for {reference} not found")]
    NoSuchManifest {
        /// As people write it.
        reference: String,
        /// The registry's words.
        source: Refusal,
    },
    /// The repository is not there, or not for this account.
    #[error(
        "pull access denied for {repository}, repository does not exist or may require 'docker login'"
    )]
    PullDenied {
        /// As people write it.
        repository: String,
        /// The registry's words.
        source: Refusal,
    },
    /// The repository is not there.
    #[error("repository {repository} not found")]
    NoSuchRepository {
        /// As people write it.
        repository: String,
        /// The registry's words.
        source: Refusal,
    },
    /// The registry refuses, in its own words.
    #[error(transparent)]
    Refused(Refusal),
    /// A manifest is not the one that was asked for.
    #[error("manifest verification failed for digest {expected}: got {got}")]
    WrongManifest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// A small blob is not the one that was asked for.
    #[error("image config verification failed for digest {expected}: got {got}")]
    WrongBlob {
        /// What was asked for.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// An answer is not what the specification says.
    #[error("{url} gave an invalid answer: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The bytes of a blob that is to be pushed cannot be read.
    #[error("cannot read {digest} to push it")]
    Source {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// `POST /auth` was refused.
    #[error("login attempt to {url} failed with status: {status}")]
    Login {
        /// The registry's `/v2/`.
        url: String,
        /// Its answer.
        status: StatusCode,
    },
    /// A search's limit is out of range.
    #[error("limit {0} is outside the range of [1, 100]")]
    SearchLimit(u32),
    /// A search's term has a scheme.
    #[error("invalid repository name: repository name ({0}) should not have a scheme")]
    SearchTerm(String),
    /// The search endpoint gave another status.
    #[error("Unexpected status code {}", .0.as_u16())]
    SearchStatus(StatusCode),
}

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The name has no address.
    #[error("dial tcp: lookup {host}: no such host")]
    Lookup {
        /// The name.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// No connection; the text ends as Go's does.
    #[error("dial tcp {address}: {reason}")]
    Dial {
        /// Address and port.
        address: String,
        /// As `connect: connection refused`.
        reason: String,
    },
    /// The server does not speak TLS.
    #[error(
        "http: server gave HTTP response to HTTPS client (to use a registry without TLS, add {registry:?} to \"insecure-registries\" in daemon.json and reload the daemon)"
    )]
    NotTls {
        /// As `insecure-registries` would name it.
        registry: String,
    },
    /// The server's certificate is not trusted.
    #[error("tls: failed to verify certificate: x509: {reason}")]
    Certificate {
        /// Go's words for it.
        reason: String,
    },
    /// No TLS with this server.
    #[error("tls: handshake with {host} failed")]
    Tls {
        /// Host and port.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The proxy does not let through.
    #[error("proxy {proxy} does not connect to {host}: {reason}")]
    Proxy {
        /// The proxy's address, without its password.
        proxy: String,
        /// Where to.
        host: String,
        /// Its answer.
        reason: String,
    },
    /// The connection ended before the answer did.
    #[error("the connection was closed before the answer was complete")]
    Closed(#[source] hyper::Error),
    /// What came is no HTTP.
    #[error("malformed HTTP response")]
    Malformed(#[source] hyper::Error),
    /// Nothing moved for too long.
    #[error("{what} for {} seconds", .after.as_secs_f64())]
    Stalled {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// A body is longer or shorter than the server said, or than what it said before.
    #[error("the body has the wrong length: {0}")]
    Length(String),
    /// The local side of an upload failed.
    #[error("the blob cannot be read")]
    Source(#[source] io::Error),
    /// A circle of redirects.
    #[error("stopped after {0} redirects")]
    Redirects(usize),
    /// A redirect from TLS to none.
    #[error("refused to follow a redirect from https to {0}")]
    Downgrade(Url),
    /// An image names a server without TLS for one of its layers.
    #[error("refused to ask without TLS: \"insecure-registries\" in daemon.json does not name it")]
    Plain,
    /// A `Location` that leads nowhere.
    #[error("the answer's Location is wrong")]
    Location(#[source] UrlError),
    /// A redirect without `Location`.
    #[error("the answer has no Location")]
    NoLocation,
    /// The registry wants a name and a password, and there are none.
    #[error("no basic auth credentials")]
    NoCredentials,
    /// A token service without TLS for a registry with it.
    #[error("refused to send credentials to {0}, which has no TLS")]
    TokenDowngrade(Url),
    /// The token service's answer is useless.
    #[error("{0}")]
    Token(String),
    /// The token service refuses.
    #[error(transparent)]
    TokenRefused(Refusal),
    /// The settings for a server make no sense.
    #[error(transparent)]
    Settings(Box<RegistryError>),
    /// A value cannot stand in a request.
    #[error("cannot make the request")]
    Invalid(#[source] http::Error),
}

impl Failure {
    /// Go's form of the error of a `connect`.
    pub(crate) fn dial(address: String, error: &io::Error) -> Self {
        let known = [
            (io::ErrorKind::ConnectionRefused, "connect: connection refused"),
            (io::ErrorKind::TimedOut, "i/o timeout"),
            (io::ErrorKind::NetworkUnreachable, "connect: network is unreachable"),
            (io::ErrorKind::HostUnreachable, "connect: no route to host"),
        ];
        let reason = known
            .iter()
            .find(|(kind, _)| *kind == error.kind())
            .map_or_else(|| format!("connect: {error}"), |(_, text)| (*text).to_owned());
        Self::Dial { address, reason }
    }

    /// Sorts an error of the connection.
    pub(crate) fn of_connection(error: hyper::Error) -> Self {
        if error.is_parse() { Self::Malformed(error) } else { Self::Closed(error) }
    }

    /// Whether the same may succeed in a moment.
    fn is_transient(&self) -> bool {
        // Cut in the handshake, not refused in it.
        if let Self::Tls { source, .. } = self {
            return [
                io::ErrorKind::UnexpectedEof,
                io::ErrorKind::ConnectionReset,
                io::ErrorKind::BrokenPipe,
            ]
            .contains(&source.kind());
        }
        matches!(
            self,
            Self::Lookup { .. }
                | Self::Dial { .. }
                | Self::Closed(_)
                | Self::Stalled { .. }
                | Self::Length(_)
        )
    }

    /// Whether no connection came about at all.
    pub(crate) const fn is_before_connection(&self) -> bool {
        matches!(
            self,
            Self::Lookup { .. }
                | Self::Dial { .. }
                | Self::NotTls { .. }
                | Self::Certificate { .. }
                | Self::Tls { .. }
                | Self::Proxy { .. }
        )
    }

    pub(crate) fn on(self, method: &http::Method, url: &Url) -> RegistryError {
        RegistryError::Request { method: go_name(method), url: url.to_string(), source: self }
    }
}

/// Go writes methods of failed requests with one capital.
fn go_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "Get",
        "HEAD" => "Head",
        "POST" => "Post",
        "PUT" => "Put",
        "PATCH" => "Patch",
        _ => "Request",
    }
}

impl RegistryError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchManifest { .. }
            | Self::PullDenied { .. }
            | Self::NoSuchRepository { .. } => ErrorKind::NotFound,
            Self::Config(_)
            | Self::Host { .. }
            | Self::BadUrl { .. }
            | Self::SearchLimit(_)
            | Self::SearchTerm(_) => ErrorKind::InvalidParameter,
            Self::Refused(refusal) => refusal.kind(),
            Self::Request { source, .. } => source.kind(),
            Self::Login { status, .. } if *status == StatusCode::UNAUTHORIZED => {
                ErrorKind::Unauthorized
            }
            Self::ReadFile { .. }
            | Self::BadFile { .. }
            | Self::NoHost { .. }
            | Self::WrongManifest { .. }
            | Self::WrongBlob { .. }
            | Self::Answer { .. }
            | Self::Source { .. }
            | Self::Login { .. }
            | Self::Elsewhere { .. }
            | Self::SearchStatus(_) => ErrorKind::System,
        }
    }

    /// The whole chain in one line, as people see it.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }

    /// Whether the same may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Request { source: Failure::TokenRefused(refusal), .. }
            | Self::Refused(refusal) => refusal.is_transient(),
            Self::Request { source, .. } => source.is_transient(),
            Self::SearchStatus(status) | Self::Elsewhere { status, .. } => {
                is_transient_status(*status)
            }
            Self::Config(_)
            | Self::ReadFile { .. }
            | Self::BadFile { .. }
            | Self::Host { .. }
            | Self::BadUrl { .. }
            | Self::NoHost { .. }
            | Self::NoSuchManifest { .. }
            | Self::PullDenied { .. }
            | Self::NoSuchRepository { .. }
            | Self::WrongManifest { .. }
            | Self::WrongBlob { .. }
            | Self::Answer { .. }
            | Self::Source { .. }
            | Self::Login { .. }
            | Self::SearchLimit(_)
            | Self::SearchTerm(_) => false,
        }
    }

    /// Whether no HTTP answer came, so that another way to the same server makes sense.
    pub(crate) const fn is_before_connection(&self) -> bool {
        matches!(self, Self::Request { source, .. } if source.is_before_connection())
    }

    /// How long the server asks to wait.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        if let Self::Request { source: Failure::TokenRefused(refusal), .. }
        | Self::Refused(refusal) = self
        {
            refusal.retry_after
        } else {
            None
        }
    }
}

impl Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            // As dockerd has it: at 401 the stock client asks for a name and a password, also where
            // nobody is there to type them.
            Self::NoCredentials => ErrorKind::System,
            Self::TokenRefused(refusal) => refusal.kind(),
            Self::Settings(error) => error.kind(),
            Self::Lookup { .. } | Self::Dial { .. } | Self::Closed(_) | Self::Proxy { .. } => {
                ErrorKind::Unavailable
            }
            Self::Stalled { .. } => ErrorKind::Deadline,
            Self::NotTls { .. }
            | Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::Malformed(_)
            | Self::Length(_)
            | Self::Source(_)
            | Self::Redirects(_)
            | Self::Downgrade(_)
            | Self::Plain
            | Self::Location(_)
            | Self::NoLocation
            | Self::TokenDowngrade(_)
            | Self::Token(_)
            | Self::Invalid(_) => ErrorKind::System,
        }
    }
}

/// 408, 429 and the 5xx that are about now and not about the request.
pub(crate) fn is_transient_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_that_was_cut_may_succeed_next_time() {
        let of = |kind: io::ErrorKind| Failure::Tls { host: "h:1".into(), source: kind.into() };
        assert!(of(io::ErrorKind::UnexpectedEof).is_transient());
        assert!(!of(io::ErrorKind::InvalidData).is_transient());
    }
}
