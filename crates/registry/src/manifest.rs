//! Manifests and tags of a repository (distribution specification, "pulling manifests", "content discovery").

use std::sync::Arc;

use barge_oci::image::media_type;
use barge_types::Digest;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::Deserialize;

use crate::error::{RegistryError, Result};
use crate::hosts::{Capability, Endpoint, Role};
use crate::refusal::Refusal;
use crate::repository::{Repository, Selector};
use crate::session::{Ask, Fetched};
use crate::transport::Answer;
use crate::url::Url;

/// The specification's recommendation, which registries keep.
const MANIFEST: usize = 4 << 20;
const TAGS_PAGE: usize = 8 << 20;
/// More tags than this in one repository are refused.
const TAGS: usize = 1_000_000;
const DIGEST_HEADER: &str = "docker-content-digest";

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedManifest {
    /// Exactly as they came; their digest is right.
    pub bytes: Bytes,
    /// Of the answer, without parameters; where that says nothing, the manifest's own.
    pub media_type: String,
    /// SHA-256 of the bytes.
    pub digest: Digest,
}

/// What a manifest is, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// As the registry says; nobody has verified it.
    pub digest: Digest,
    /// Of the answer.
    pub media_type: String,
    /// In bytes; absent where the registry does not say it.
    pub size: Option<u64>,
}

impl Repository {
    /// A manifest, verified against the digest that was asked for and the one that the registry says.
    pub async fn manifest(&self, which: &Selector) -> Result<FetchedManifest> {
        let ask = self.manifest_ask(Method::GET, which);
        let mut wrong: Vec<Arc<Endpoint>> = Vec::new();
        loop {
            let fetched = self.session.fetch(&ask, MANIFEST, &self.notices).await;
            let Fetched { answer, body: bytes, endpoint } =
                fetched.map_err(|error| self.pull_error(error, which))?;
            let digest = digest_of(&bytes);
            let wanted = match which {
                Selector::Digest(digest) => Some(*digest),
                Selector::Tag(_) => said_digest(&answer)?,
            };
            let Some(expected) = wanted.filter(|wanted| *wanted != digest) else {
                let media_type = media_type_of(&answer, &bytes);
                return Ok(FetchedManifest { bytes, media_type, digest });
            };
            let error = RegistryError::WrongManifest { expected, got: digest };
            // What a mirror has got wrong, the next server may have right.
            let is_known = wrong.iter().any(|known| Arc::ptr_eq(known, &endpoint));
            if is_known || endpoint.role == Role::Server {
                return Err(error);
            }
            tracing::debug!(error = error.chain(), base = %endpoint.base, "next server");
            self.session.put_mirror_last(&endpoint).await?;
            wrong.push(endpoint);
        }
    }

    /// What a manifest is, by `HEAD`; none when it is not there.
    pub async fn manifest_digest(&self, which: &Selector) -> Result<Option<ManifestHead>> {
        let ask = self.manifest_ask(Method::HEAD, which);
        let answer = match self.session.ask(&ask, &self.notices).await {
            Ok((answer, _)) => answer,
            Err(RegistryError::Refused(refusal)) if refusal.status == 404 => return Ok(None),
            // What is wrong stands in the body, which the answer to HEAD lacks; some do not know HEAD at all.
            Err(RegistryError::Refused(_)) => return self.head_by_get(which).await,
            Err(error) => return Err(error),
        };
        let size = answer.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let media_type = media_type_of(&answer, &[]);
        match said_digest(&answer)? {
            Some(digest) => {
                answer.discard().await;
                Ok(Some(ManifestHead { digest, media_type, size }))
            }
            None => self.head_by_get(which).await,
        }
    }

    async fn head_by_get(&self, which: &Selector) -> Result<Option<ManifestHead>> {
        match self.manifest(which).await {
            Ok(FetchedManifest { bytes, media_type, digest }) => {
                Ok(Some(ManifestHead { digest, media_type, size: Some(bytes.len() as u64) }))
            }
            Err(RegistryError::NoSuchManifest { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn manifest_ask(&self, method: Method, which: &Selector) -> Ask {
        let capability = match which {
            Selector::Tag(_) => Capability::Resolve,
            Selector::Digest(_) => Capability::Pull,
        };
        let path = self.below(format_args!("manifests/{which}"));
        let mut ask = Ask::new(method, path, capability, &[200]);
        for accepted in [
            media_type::OCI_INDEX,
            media_type::OCI_MANIFEST,
            media_type::DOCKER_MANIFEST_LIST,
            media_type::DOCKER_MANIFEST,
        ] {
            ask.headers.append(header::ACCEPT, HeaderValue::from_static(accepted));
        }
        // So that what is none of these is refused by who knows why, and not by the registry.
        ask.headers.append(header::ACCEPT, HeaderValue::from_static("*/*;q=0.1"));
        ask
    }

    /// Puts a manifest; its blobs must be there. Gives the digest under which the registry has it.
    pub async fn put_manifest(
        &self,
        which: &Selector,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Digest> {
        let digest = digest_of(&bytes);
        let path = self.below(format_args!("manifests/{which}"));
        let mut ask = Ask::new(Method::PUT, path, Capability::Push, &[200, 201, 202]);
        let content_type =
            HeaderValue::from_str(media_type).map_err(|_| RegistryError::Answer {
                url: self.familiar.to_string(),
                reason: format!("{media_type:?} is no media type"),
            })?;
        ask.headers.insert(header::CONTENT_TYPE, content_type);
        ask.payload = bytes;
        let (answer, _) = self.session.ask(&ask, &self.notices).await?;
        let said = said_digest(&answer)?;
        answer.discard().await;
        match said {
            Some(got) if got != digest => {
                Err(RegistryError::WrongManifest { expected: digest, got })
            }
            Some(_) | None => Ok(digest),
        }
    }

    /// All tags, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let mut ask = Ask::new(Method::GET, self.below("tags/list"), Capability::Resolve, &[200]);
        ask.query.push(("n", "1000".to_owned()));
        let fetched = self.session.fetch(&ask, TAGS_PAGE, &self.notices).await;
        let Fetched { mut answer, mut body, .. } =
            fetched.map_err(|error| self.tags_error(error))?;
        let mut tags = Vec::new();
        loop {
            let page: TagsPage = serde_json::from_slice(&body)
                .map_err(|error| answer.useless(format!("a list of tags was expected: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > TAGS {
                return Err(answer.useless(format!("more than {TAGS} tags")));
            }
            let Some(next) = next_page(&answer)? else { return Ok(tags) };
            if next == answer.url {
                return Err(answer.useless("the next page is this page"));
            }
            Fetched { answer, body, .. } = self.tags_page(&ask, &next).await?;
        }
    }

    /// A page that a `Link` names, which must be on the same server.
    async fn tags_page(&self, first: &Ask, url: &Url) -> Result<Fetched> {
        let query = url.target().split_once('?').map_or("", |(_, query)| query);
        let mut ask = first.clone();
        ask.query.clear();
        ask.path = format!("{}?{query}", self.below("tags/list"));
        self.session
            .fetch(&ask, TAGS_PAGE, &self.notices)
            .await
            .map_err(|error| self.tags_error(error))
    }

    fn tags_error(&self, error: RegistryError) -> RegistryError {
        let RegistryError::Refused(source) = error else { return error };
        if source.status != 404 {
            return self.denied(RegistryError::Refused(source));
        }
        RegistryError::NoSuchRepository { repository: self.familiar.to_string(), source }
    }

    /// Docker's words for what `pull` is refused.
    fn pull_error(&self, error: RegistryError, which: &Selector) -> RegistryError {
        let RegistryError::Refused(source) = error else { return error };
        if source.has_code("NAME_UNKNOWN") {
            let repository = self.familiar.to_string();
            return RegistryError::NoSuchRepository { repository, source };
        }
        if source.has_code("MANIFEST_UNKNOWN") || source.status == 404 {
            let separator = match which {
                Selector::Tag(_) => ':',
                Selector::Digest(_) => '@',
            };
            let reference = format!("{}{separator}{which}", self.familiar);
            return RegistryError::NoSuchManifest { reference, source: manifest_unknown(source) };
        }
        self.denied(RegistryError::Refused(source))
    }

    pub(crate) fn denied(&self, error: RegistryError) -> RegistryError {
        let RegistryError::Refused(source) = error else { return error };
        if !source.has_code("DENIED") {
            return RegistryError::Refused(source);
        }
        RegistryError::PullDenied { repository: self.familiar.to_string(), source }
    }
}

#[derive(Deserialize)]
struct TagsPage {
    tags: Option<Vec<String>>,
}

/// A 404 without a body means the same.
fn manifest_unknown(refusal: Refusal) -> Refusal {
    if refusal.entries.is_empty() {
        refusal.with("MANIFEST_UNKNOWN", "manifest unknown")
    } else {
        refusal
    }
}

/// SHA-256 of some bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    let mut sum = [0; 32];
    sum.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    Digest::from_bytes(sum)
}

fn said_digest(answer: &Answer) -> Result<Option<Digest>> {
    match answer.header(DIGEST_HEADER) {
        None => Ok(None),
        // Another algorithm than SHA-256 is not wrong, it only says nothing here.
        Some(text) if !text.starts_with("sha256:") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|error| answer.useless(format!("Docker-Content-Digest: {error}"))),
    }
}

fn media_type_of(answer: &Answer, bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        media_type: String,
    }
    let said = answer.header(header::CONTENT_TYPE).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    let says_nothing =
        matches!(said, "" | "application/json" | "text/plain" | "application/octet-stream");
    let own = says_nothing.then(|| serde_json::from_slice::<Own>(bytes).ok()).flatten();
    own.map_or_else(|| said.to_owned(), |own| own.media_type)
}

/// `Link: </v2/x/tags/list?n=2&last=b>; rel="next"` (RFC 8288).
fn next_page(answer: &Answer) -> Result<Option<Url>> {
    let links = answer.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|value| value.split(", <")).find_map(|link| {
        let (target, parameters) = link.trim().trim_start_matches('<').split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            parameter.trim().strip_prefix("rel=").is_some_and(|rel| rel.trim_matches('"') == "next")
        });
        is_next.then_some(target)
    });
    let Some(next) = next else { return Ok(None) };
    let url = answer.url.join(next).map_err(|error| answer.useless(format!("Link: {error}")))?;
    if url.is_same_origin(&answer.url) {
        Ok(Some(url))
    } else {
        Err(answer.useless(format!("the next page is on another server, {url}")))
    }
}
