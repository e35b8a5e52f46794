//! `pull`: from a reference to images with names.
//!
//! The reference is looked up for each client, with its own credentials; the work on one image is shared
//! ([`super::download`]). A name that still means what is here costs one question.

use std::sync::Arc;

use barge_api_types::ProgressMessage;
use barge_image::{Image, ManifestBytes};
use barge_oci::image::{self as oci, media_type};
use barge_registry::{Access, Credentials, FetchedManifest, Repository, Selector};
use barge_types::{Digest, ImageId, Platform, Reference};

use super::download::Wanted;
use super::session::{self, Out, ProgressStream};
use super::{Images, platform};
use crate::error::{EngineError, Result};

/// What to pull, as the API has it.
#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    /// The repository, perhaps with tag or digest.
    pub name: String,
    /// A tag or a digest; empty for what `name` says, or else for all tags.
    pub tag: String,
    /// `os/architecture[/variant]`; this machine when empty.
    pub platform: String,
    /// For the registry.
    pub credentials: Option<Credentials>,
}

/// What was asked for, parsed.
#[derive(Debug)]
struct Pull {
    reference: Reference,
    has_all_tags: bool,
    platform: Option<Platform>,
    repository: Repository,
}

/// Whether something came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Some,
    None,
}

impl Images {
    /// Begins to pull. What is wrong before the registry has said anything is an error of the request.
    pub async fn pull(self: &Arc<Self>, request: PullRequest) -> Result<ProgressStream> {
        let pull = self.parse_pull(request)?;
        let this = Arc::clone(self);
        session::begin(|out| async move { this.pull_all(&pull, &out).await }).await
    }

    fn parse_pull(&self, request: PullRequest) -> Result<Pull> {
        let (reference, has_all_tags) = reference(&request.name, &request.tag)?;
        if reference.familiar_name() == "scratch" {
            return Err(EngineError::Forbidden("'scratch' is a reserved name".to_owned()));
        }
        let platform = match request.platform.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|error| invalid(&error))?),
        };
        let client = &self.registries.client;
        let repository = client.repository(&reference, request.credentials, Access::Pull);
        Ok(Pull { reference, has_all_tags, platform, repository })
    }

    async fn pull_all(self: &Arc<Self>, pull: &Pull, out: &Out) -> Result<()> {
        let references = if pull.has_all_tags {
            let tags = pull.repository.tags().await?;
            let named = tags.iter().map(|tag| pull.reference.with_tag(tag));
            named.collect::<std::result::Result<_, _>>().map_err(|error| invalid(&error))?
        } else {
            vec![pull.reference.clone()]
        };
        let mut news = News::None;
        for reference in &references {
            if self.pull_one(pull, reference, out).await? == News::Some {
                news = News::Some;
            }
        }
        let name = if pull.has_all_tags {
            pull.reference.familiar_name()
        } else {
            pull.reference.familiar()
        };
        self.tell_of("pull", &name, &pull.reference);
        let text = match news {
            News::Some => "Downloaded newer image",
            News::None => "Image is up to date",
        };
        out.status(format!("Status: {text} for {name}")).await;
        Ok(())
    }

    async fn pull_one(
        self: &Arc<Self>,
        pull: &Pull,
        reference: &Reference,
        out: &Out,
    ) -> Result<News> {
        let selector = Selector::of(reference);
        let head = pull.repository.manifest_digest(&selector).await?;
        if let Some(head) = head.filter(|head| self.is_current(reference, &head.digest, pull)) {
            say_from(out, reference).await;
            out.status(format!("Digest: {}", head.digest)).await;
            return Ok(News::None);
        }
        let found = pull.repository.manifest(&selector).await?;
        say_from(out, reference).await;
        let digest = found.digest;
        let wanted = choose(pull, found).await?;
        let before = self.named(reference, &digest);
        let transfer = self.fetch(&pull.repository, reference, wanted).await;
        out.follow(transfer.progress()).await;
        let id = transfer.outcome().await?;
        out.status(format!("Digest: {digest}")).await;
        if let (Some(wanted), Ok(image)) = (&pull.platform, self.store.image(&id))
            && let Some(found) = platform_of(&image).filter(|found| !platform::fits(found, wanted))
        {
            out.status(format!(
                "WARNING: image with reference {} was found but its platform ({found}) does not match the specified platform ({wanted})",
                reference.familiar()
            ))
            .await;
        }
        Ok(if before == Some(id) { News::None } else { News::Some })
    }

    /// The image that a reference means here, when it came from this manifest or index.
    fn named(&self, reference: &Reference, digest: &Digest) -> Option<ImageId> {
        let image = self.store.get(&reference.familiar()).ok()?;
        let name = format!("{}@{digest}", reference.familiar_name());
        image.repo_digests().contains(&name).then_some(image.id)
    }

    /// Whether what is here is what the registry has, for the platform that is meant.
    fn is_current(&self, reference: &Reference, digest: &Digest, pull: &Pull) -> bool {
        let host = Platform::host();
        let wanted = pull.platform.as_ref().unwrap_or(&host);
        self.named(reference, digest)
            .and_then(|id| self.store.image(&id).ok())
            .and_then(|image| platform_of(&image))
            .is_some_and(|found| platform::fits(&found, wanted))
    }
}

pub(super) fn invalid(error: &dyn std::fmt::Display) -> EngineError {
    EngineError::Invalid(error.to_string())
}

/// Name and tag as the API has them, and whether all tags are meant.
pub(super) fn reference(name: &str, tag: &str) -> Result<(Reference, bool)> {
    let text = match tag {
        "" => name.to_owned(),
        digest if digest.contains(':') => format!("{}@{digest}", untagged(name)),
        tag => format!("{}:{tag}", untagged(name)),
    };
    let reference: Reference = text.parse().map_err(|error| invalid(&error))?;
    Ok((reference, untagged(&text) == text))
}

/// The name without tag and digest.
fn untagged(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or_default();
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[last..].find(':') {
        Some(colon) => &name[..last + colon],
        None => name,
    }
}

async fn say_from(out: &Out, reference: &Reference) {
    let id = match reference.tag() {
        Some(tag) if reference.digest().is_none() => tag.to_owned(),
        _ => reference.familiar(),
    };
    let text = format!("Pulling from {}", reference.path());
    out.say(ProgressMessage { id, ..ProgressMessage::status(text) }).await;
}

pub(super) fn platform_of(image: &Image) -> Option<Platform> {
    let config = &image.config;
    let mut text = format!("{}/{}", config.os, config.architecture);
    if !config.variant.is_empty() {
        text = format!("{text}/{}", config.variant);
    }
    text.parse().ok()
}

/// The manifest of the platform that is meant.
async fn choose(pull: &Pull, found: FetchedManifest) -> Result<Wanted> {
    let kept = |found: &FetchedManifest| ManifestBytes {
        bytes: found.bytes.to_vec(),
        media_type: found.media_type.clone(),
    };
    if media_type::is_index(&found.media_type) {
        let index: oci::Index = serde_json::from_slice(&found.bytes)
            .map_err(|error| EngineError::Invalid(format!("cannot read index: {error}")))?;
        let platform = pull.platform.clone().unwrap_or_else(Platform::host);
        let entry = platform::choose(&index, &platform)?;
        let digest = entry.digest.parse().map_err(|error| invalid(&error))?;
        let manifest = pull.repository.manifest(&Selector::Digest(digest)).await?;
        check_type(&manifest, &pull.reference)?;
        let index = Some((found.digest, kept(&found)));
        return Ok(Wanted { digest, manifest: kept(&manifest), index });
    }
    check_type(&found, &pull.reference)?;
    Ok(Wanted { digest: found.digest, manifest: kept(&found), index: None })
}

fn check_type(found: &FetchedManifest, reference: &Reference) -> Result<()> {
    let kind = found.media_type.as_str();
    if media_type::is_manifest(kind) {
        return Ok(());
    }
    Err(EngineError::Invalid(
        if kind.starts_with("application/vnd.docker.distribution.manifest.v1+") {
            format!(
                "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the author of {} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/",
                reference.familiar()
            )
        } else {
            format!(
                "{} is not an image: its manifest has the media type {kind:?}",
                reference.familiar()
            )
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_tag_may_come_apart_and_no_tag_is_all() {
        let parsed = |name: &str, tag: &str| {
            let (reference, has_all_tags) = reference(name, tag).unwrap();
            (reference.familiar(), has_all_tags)
        };
        assert_eq!(parsed("a", "1"), ("a:1".to_owned(), false));
        assert_eq!(parsed("a:2", ""), ("a:2".to_owned(), false));
        assert_eq!(parsed("a:2", "1"), ("a:1".to_owned(), false));
        assert!(parsed("reg:5000/a", "").1);
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(parsed("a", &digest), (format!("a@{digest}"), false));
        assert_eq!(parsed(&format!("a@{digest}"), ""), (format!("a@{digest}"), false));
        assert!(reference("A", "1").is_err());
        assert!(reference("a", "b c").is_err());
    }
}
