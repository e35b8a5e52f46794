//! Uploads blobs (distribution specification, "pushing blobs"): is it there, can it be mounted from another repository,
//! else `POST`, `PATCH`, `PUT`.
//!
//! A blob goes out in one `PATCH`, as Docker sends it. After a failure the registry is asked how much it has (`GET` of
//! the upload) and the rest follows; one that no longer knows the upload gets it from the beginning. Small blobs, and
//! registries that refuse `PATCH`, get everything with the `PUT`.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use barge_types::Digest;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, header};
use tokio::sync::mpsc;

use crate::error::{Failure, RegistryError, Result};
use crate::hosts::{Capability, Endpoint};
use crate::payload::{Payload, Sent, Upload};
use crate::repository::Repository;
use crate::session::{Ask, accepted};
use crate::transport::{Answer, Downgrade, Request};
use crate::url::{Scheme, Url};

/// Up to this size the bytes go with the `PUT`, which saves a request.
const SMALL: u64 = 256 << 10;
const CHUNK: usize = 128 << 10;
/// Chunks that are read ahead of the network.
const AHEAD: usize = 4;
/// So often an upload is begun anew because the registry has lost it.
const RESTARTS: u32 = 3;
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Opens a blob at an offset in bytes. May be called again after a failure; runs, and is read, on a thread that may
/// block.
pub type BlobSource = Arc<dyn Fn(u64) -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// Is told how many bytes of the blob the registry was given so far. The number goes back when some must be sent again.
pub type OnUploaded = Arc<dyn Fn(u64) + Send + Sync>;

/// A blob that a repository shall have.
#[derive(Clone)]
pub struct BlobUpload {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Repositories of the same registry (their paths, `library/debian`) that probably have it, the best first.
    pub mount_from: Vec<String>,
    /// The bytes.
    pub open: BlobSource,
}

impl std::fmt::Debug for BlobUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobUpload")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("mount_from", &self.mount_from)
            .finish_non_exhaustive()
    }
}

/// How the repository came to have a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It had it.
    Existed,
    /// From another repository of the registry.
    Mounted {
        /// That repository's path.
        from: String,
    },
    /// It was sent.
    Uploaded,
}

/// An upload that the registry knows.
#[derive(Clone)]
struct Place {
    endpoint: Arc<Endpoint>,
    url: Url,
    /// What the registry has of it.
    offset: u64,
}

enum Begun {
    Mounted(String),
    At(Place),
}

/// Whether the registry takes `PATCH`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Streamed,
    Whole,
}

/// One push and where it stands.
struct Push<'a> {
    repository: &'a Repository,
    upload: &'a BlobUpload,
    on_uploaded: OnUploaded,
    place: Option<Place>,
    manner: Manner,
}

impl Repository {
    /// Gives the repository a blob, by the cheapest way there is.
    pub async fn push_blob(&self, upload: &BlobUpload, on_uploaded: OnUploaded) -> Result<Pushed> {
        // Not of a mirror: what that has does not help the registry.
        if self.has_blob_for(&upload.digest, Capability::Push).await?.is_some() {
            return Ok(Pushed::Existed);
        }
        let manner = if upload.size <= SMALL { Manner::Whole } else { Manner::Streamed };
        let mut push = Push { repository: self, upload, on_uploaded, place: None, manner };
        let mut retrying = self.session.retrying(&self.notices);
        let mut restarts = 0;
        let mut mount_from = upload.mount_from.as_slice();
        loop {
            let before = push.place.as_ref().map_or(0, |place| place.offset);
            let error = match push.attempt(mount_from).await {
                Ok(pushed) => return Ok(pushed),
                Err(error) => error,
            };
            mount_from = &[];
            if push.place.as_ref().is_some_and(|place| place.offset > before) {
                retrying.progressed();
            }
            match push.lost(&error) {
                Lost::No => self.session.after(error, &mut retrying).await?,
                Lost::Token | Lost::Place if restarts < RESTARTS => restarts += 1,
                Lost::Token | Lost::Place => return Err(error),
            }
        }
    }
}

enum Lost {
    No,
    /// It expired while the blob went out.
    Token,
    /// The registry does not know the upload, or has another idea of it.
    Place,
}

impl Push<'_> {
    async fn attempt(&mut self, mount_from: &[String]) -> Result<Pushed> {
        let known = match &self.place {
            Some(place) => self.status(place.clone()).await?,
            None => None,
        };
        // Only now: an upload whose state could not be asked is asked again.
        self.place = None;
        let place = match known {
            Some(place) => place,
            None => match self.begin(mount_from).await? {
                Begun::Mounted(from) => return Ok(Pushed::Mounted { from }),
                Begun::At(place) => place,
            },
        };
        self.place = Some(place.clone());
        let mut place = place;
        while place.offset < self.upload.size
            && (self.manner == Manner::Streamed || place.offset > 0)
        {
            match self.patch(&place).await {
                Ok(next) if next.offset > place.offset => place = next,
                Ok(next) => {
                    let url = next.url.to_string();
                    let reason = "it took none of the bytes that were sent".to_owned();
                    return Err(RegistryError::Answer { url, reason });
                }
                Err(RegistryError::Refused(refusal))
                    if place.offset == 0
                        && matches!(refusal.status.as_u16(), 405 | 411 | 415 | 501) =>
                {
                    tracing::debug!(%refusal, "no PATCH, all with the PUT");
                    self.manner = Manner::Whole;
                }
                Err(error) => return Err(error),
            }
            self.place = Some(place.clone());
        }
        self.put(&place).await?;
        Ok(Pushed::Uploaded)
    }

    /// What an error says about the upload's state.
    fn lost(&mut self, error: &RegistryError) -> Lost {
        let RegistryError::Refused(refusal) = error else { return Lost::No };
        match refusal.status.as_u16() {
            401 => {
                if let Some(place) = &self.place {
                    self.repository.session.asker.forget_tokens(&place.endpoint, &[]);
                }
                Lost::Token
            }
            404 | 416 if self.place.is_some() => {
                self.place = None;
                Lost::Place
            }
            400 if refusal.has_code("BLOB_UPLOAD_INVALID") || refusal.has_code("RANGE_INVALID") => {
                self.place = None;
                Lost::Place
            }
            _ => Lost::No,
        }
    }

    /// `POST`, with each of the repositories that it may be mounted from.
    async fn begin(&self, mount_from: &[String]) -> Result<Begun> {
        let repository = self.repository;
        for from in mount_from {
            let mut ask = self.post();
            ask.query.push(("mount", self.upload.digest.to_string()));
            ask.query.push(("from", from.clone()));
            ask.scopes.push(format!("repository:{from}:pull"));
            match repository.session.ask(&ask, &repository.notices).await {
                Ok((answer, _)) if answer.status == 201 => {
                    answer.discard().await;
                    return Ok(Begun::Mounted(from.clone()));
                }
                // An ordinary upload has begun: it is used, the other repositories are hardly better.
                Ok((answer, endpoint)) => return begun(answer, endpoint).await,
                Err(RegistryError::Refused(refusal)) => {
                    tracing::debug!(%refusal, from, "cannot mount");
                }
                Err(error) => return Err(error),
            }
        }
        let (answer, endpoint) = repository.session.ask(&self.post(), &repository.notices).await?;
        if answer.status == 201 {
            return Err(answer.useless("201 for an upload that has only begun"));
        }
        begun(answer, endpoint).await
    }

    fn post(&self) -> Ask {
        let path = self.repository.below("blobs/uploads/");
        Ask::new(Method::POST, path, Capability::Push, &[201, 202])
    }

    /// How much the registry has; none when it has lost the upload.
    async fn status(&self, place: Place) -> Result<Option<Place>> {
        let request = Request::new(Method::GET, place.url.clone());
        let answer = self.repository.session.asker.ask(&place.endpoint, request, &[]).await?;
        match accepted(answer, &[200, 202, 204]).await {
            Ok(answer) => {
                let next = moved(&answer, &place)?;
                answer.discard().await;
                Ok(next.filter(|next| next.offset <= self.upload.size))
            }
            Err(RegistryError::Refused(refusal))
                if refusal.status.is_client_error() && refusal.status != 429 =>
            {
                tracing::debug!(%refusal, "the upload is lost");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn patch(&self, place: &Place) -> Result<Place> {
        let mut request = Request::new(Method::PATCH, place.url.clone());
        request.headers.insert(header::CONTENT_TYPE, OCTETS);
        if place.offset > 0 {
            let range = format!("{}-{}", place.offset, self.upload.size - 1);
            request
                .headers
                .extend(HeaderValue::from_str(&range).map(|range| (header::CONTENT_RANGE, range)));
        }
        let answer = self.send(place, request).await?;
        let answer = accepted(answer, &[200, 201, 202, 204]).await?;
        let next = moved(&answer, place)?;
        answer.discard().await;
        // Who says nothing about it took everything.
        Ok(match next {
            Some(next) if next.offset > 0 => next,
            Some(next) => Place { offset: self.upload.size, ..next },
            None => Place { offset: self.upload.size, ..place.clone() },
        })
    }

    /// Ends the upload, with the bytes that are missing.
    async fn put(&self, place: &Place) -> Result<()> {
        let url = place.url.with_query("digest", &self.upload.digest.to_string());
        let mut request = Request::new(Method::PUT, url);
        request.headers.insert(header::CONTENT_TYPE, OCTETS);
        let answer = self.send(place, request).await?;
        accepted(answer, &[201, 202, 204]).await?.discard().await;
        Ok(())
    }

    /// Sends a request with what the registry does not have yet.
    async fn send(&self, place: &Place, mut request: Request) -> Result<Answer> {
        let sent = Arc::new(Sent::default());
        let size = self.upload.size - place.offset;
        if size > 0 {
            let position = AtomicU64::new(place.offset);
            let on_uploaded = Arc::clone(&self.on_uploaded);
            on_uploaded(place.offset);
            request.payload = Payload::Upload(Upload {
                chunks: chunks(Arc::clone(&self.upload.open), place.offset),
                size,
                sent: Arc::clone(&sent),
                on_sent: Arc::new(move |bytes| {
                    on_uploaded(position.fetch_add(bytes, Ordering::Relaxed) + bytes);
                }),
            });
        }
        let session = &self.repository.session;
        request.answer_within = Some(session.live.config.deadlines.commit);
        let asked = session.asker.ask(&place.endpoint, request, &[]).await;
        match sent.take_failure() {
            Some(source) => Err(RegistryError::Source { digest: self.upload.digest, source }),
            None => asked,
        }
    }
}

async fn begun(answer: Answer, endpoint: Arc<Endpoint>) -> Result<Begun> {
    let Some(location) = answer.header(header::LOCATION) else {
        return Err(answer.useless("an upload without Location"));
    };
    let url = located(&answer, location, &endpoint)?;
    answer.discard().await;
    Ok(Begun::At(Place { endpoint, url, offset: 0 }))
}

/// An upload's address. It does not leave TLS: a registry behind a proxy that ends TLS names itself without it and is
/// meant with it; anybody else is refused.
fn located(answer: &Answer, location: &str, endpoint: &Endpoint) -> Result<Url> {
    let url = answer
        .url
        .join(location)
        .map_err(|error| answer.useless(format!("the upload's Location: {error}")))?;
    let leaves_tls = answer.url.scheme() == Scheme::Https && url.scheme() == Scheme::Http;
    if !leaves_tls {
        return Ok(url);
    }
    let is_itself =
        url.host() == answer.url.host() && [80, answer.url.port()].contains(&url.port());
    match endpoint.downgrade {
        _ if is_itself => Ok(url.over_tls(answer.url.port())),
        Downgrade::Allowed => Ok(url),
        Downgrade::Refused => Err(Failure::Downgrade(url).on(&answer.method, &answer.url)),
    }
}

/// Where the upload goes on, as `Location` and `Range: 0-<last byte>` say. None where `Range` is missing; `0-0`, which
/// registries say of an empty upload too, counts as empty.
fn moved(answer: &Answer, place: &Place) -> Result<Option<Place>> {
    let url = match answer.header(header::LOCATION) {
        None => place.url.clone(),
        Some(location) => located(answer, location, &place.endpoint)?,
    };
    let Some(range) = answer.header(header::RANGE) else { return Ok(None) };
    let last = range.trim().trim_start_matches("bytes=").strip_prefix("0-");
    let last: u64 = last
        .and_then(|last| last.parse().ok())
        .ok_or_else(|| answer.useless(format!("the upload's Range is {range:?}")))?;
    let offset = if last == 0 { 0 } else { last.saturating_add(1) };
    Ok(Some(Place { url, offset, endpoint: Arc::clone(&place.endpoint) }))
}

/// Reads a blob on a thread that may block.
fn chunks(open: BlobSource, offset: u64) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut reader = match open(offset) {
            Ok(reader) => reader,
            // Nobody listens when the request has failed meanwhile.
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        let mut buffer = BytesMut::new();
        loop {
            buffer.resize(CHUNK, 0);
            let chunk = match reader.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(buffer.split_to(length).freeze()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}
