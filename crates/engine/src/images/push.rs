//! `push`: an image's blobs that the registry lacks, side by side, then its manifest under its tags.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use barge_api_types::{OciPlatform, ProgressDetail, ProgressMessage};
use barge_image::{ManifestBytes, PushBlob, PushImage, PushIndex};
use barge_registry::{Access, BlobUpload, Credentials, OnUploaded, Pushed, Repository, Selector};
use barge_types::{Digest, Platform, Reference};
use futures_util::stream::{FuturesUnordered, TryStreamExt as _};
use serde_json::json;

use super::download::{retry_notices, short};
use super::progress::Progress;
use super::pull::{invalid, platform_of, reference};
use super::session::{self, Out, ProgressStream};
use super::{Images, platform};
use crate::blocking;
use crate::error::{EngineError, Result};

/// What to push, as the API has it.
#[derive(Clone, Debug, Default)]
pub struct PushRequest {
    /// The repository, perhaps with a tag.
    pub name: String,
    /// A tag; empty for what `name` says, or else for all tags that are here.
    pub tag: String,
    /// The platform that the image has to be for, as text or as JSON of the specification; any when empty.
    pub platform: String,
    /// For the registry.
    pub credentials: Option<Credentials>,
}

impl Images {
    /// Begins to push.
    pub async fn push(self: &Arc<Self>, request: PushRequest) -> Result<ProgressStream> {
        let (reference, has_all_tags) = reference(&request.name, &request.tag)?;
        let platform = parse_platform(&request.platform)?;
        let client = &self.registries.client;
        let repository = client.repository(&reference, request.credentials, Access::PullAndPush);
        let this = Arc::clone(self);
        session::begin(|out| async move {
            let full = reference.repository();
            out.status(format!("The push refers to repository [{full}]")).await;
            let references = this.to_push(&reference, has_all_tags)?;
            for reference in &references {
                let name = this.name_for_platform(reference, platform.as_ref())?;
                let load = {
                    let (this, reference) = (Arc::clone(&this), reference.clone());
                    move || this.load_for(&name, &reference)
                };
                let load = blocking::run(load).await?;
                this.push_one(&repository, (reference, load), &out).await?;
            }
            let name = if has_all_tags { reference.familiar_name() } else { reference.familiar() };
            this.tell_of("push", &name, &reference);
            Ok(())
        })
        .await
    }

    /// The names that are meant and here; the errors' texts are dockerd's.
    fn to_push(&self, wanted: &Reference, has_all_tags: bool) -> Result<Vec<Reference>> {
        if wanted.digest().is_some() {
            return Err(EngineError::Invalid("cannot push a digest reference".to_owned()));
        }
        let repository = wanted.repository();
        let mut here: Vec<Reference> =
            self.store.list().into_iter().flat_map(|image| image.references).collect();
        here.retain(|name| name.digest().is_none() && name.repository() == repository);
        here.sort_by(|left, right| left.tag().cmp(&right.tag()));
        if here.is_empty() {
            let name = wanted.familiar_name();
            return Err(EngineError::NotFound(format!(
                "An image does not exist locally with the tag: {name}"
            )));
        }
        if has_all_tags {
            return Ok(here);
        }
        here.retain(|name| name == wanted);
        if here.is_empty() {
            let name = wanted.familiar();
            return Err(EngineError::NotFound(format!("tag does not exist: {name}")));
        }
        Ok(here)
    }

    /// What to push of a name: of all platforms that it has, or of the one that is wanted.
    fn name_for_platform(
        &self,
        reference: &Reference,
        wanted: Option<&Platform>,
    ) -> Result<String> {
        let name = reference.familiar();
        let Some(wanted) = wanted else { return Ok(name) };
        for id in self.store.platforms(reference) {
            let found = platform_of(&self.store.image(&id)?);
            if found.is_some_and(|found| platform::fits(&found, wanted)) {
                return Ok(id.to_string());
            }
        }
        match platform_of(&self.store.get(&name)?) {
            Some(found) if !platform::fits(&found, wanted) => Err(EngineError::NotFound(format!(
                "image with reference {name} was found but its platform ({found}) does not match the specified platform ({wanted})",
            ))),
            // By its id: without what is said of it, as Docker has it.
            Some(_) | None => Ok(self.store.get(&name)?.id.to_string()),
        }
    }

    fn load_for(&self, name: &str, reference: &Reference) -> Result<Load> {
        if name == reference.familiar()
            && let Some(all) = self.store.export_platforms(reference)?
        {
            return Ok(Load::All(all));
        }
        Ok(Load::One(Box::new(self.store.export_for_push(name)?)))
    }

    async fn push_one(
        self: &Arc<Self>,
        repository: &Repository,
        (reference, load): (&Reference, Load),
        out: &Out,
    ) -> Result<()> {
        let progress = Progress::new();
        let push = Push { images: self, repository, reference, progress: &progress };
        let blobs = async {
            let outcome = push.parts(&load).await;
            progress.done();
            outcome
        };
        let (outcome, ()) = tokio::join!(blobs, out.follow(&progress));
        outcome?;
        let tag = reference.tag().unwrap_or("latest");
        let manifest = load.manifest();
        let (kind, bytes) = (&manifest.media_type, manifest.bytes.clone());
        let size = bytes.len();
        let selector = Selector::Tag(tag.to_owned());
        let digest = repository.put_manifest(&selector, kind, bytes.into()).await?;
        let (this, name) = (Arc::clone(self), reference.clone());
        blocking::run(move || {
            match &load {
                Load::One(image) => this.store.record_push(image, &name)?,
                Load::All(all) => this.store.record_push_of_platforms(all, &name)?,
            }
            Ok(())
        })
        .await?;
        out.status(format!("{tag}: digest: {digest} size: {size}")).await;
        let aux = json!({"Tag": tag, "Digest": digest.to_string(), "Size": size});
        out.say(ProgressMessage {
            progress_detail: Some(ProgressDetail::default()),
            aux: Some(aux),
            ..ProgressMessage::default()
        })
        .await;
        Ok(())
    }
}

/// Text or JSON.
fn parse_platform(text: &str) -> Result<Option<Platform>> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = if text.starts_with('{') {
        let platform: OciPlatform = serde_json::from_str(text)
            .map_err(|error| EngineError::Invalid(format!("failed to parse platform: {error}")))?;
        let OciPlatform { os, architecture, variant, .. } = platform;
        format!("{os}/{architecture}/{variant}").trim_end_matches('/').to_owned()
    } else {
        text.to_owned()
    };
    text.parse().map(Some).map_err(|error| invalid(&error))
}

/// What goes out under a tag.
#[derive(Debug)]
enum Load {
    One(Box<PushImage>),
    /// The images of several platforms.
    All(PushIndex),
}

impl Load {
    /// What the tag is to mean.
    fn manifest(&self) -> &ManifestBytes {
        match self {
            Self::One(image) => &image.manifest,
            Self::All(all) => &all.manifest,
        }
    }
}

/// One image on its way out.
#[derive(Debug)]
struct Push<'a> {
    images: &'a Arc<Images>,
    repository: &'a Repository,
    reference: &'a Reference,
    progress: &'a Arc<Progress>,
}

impl Push<'_> {
    /// Everything that the manifest under the tag names.
    async fn parts(&self, load: &Load) -> Result<()> {
        let all = match load {
            Load::One(image) => return self.blobs(image).await,
            Load::All(all) => all,
        };
        for image in &all.images {
            self.blobs(image).await?;
            let ManifestBytes { bytes, media_type } = image.manifest.clone();
            let selector = Selector::Digest(image.digest);
            self.repository.put_manifest(&selector, &media_type, bytes.into()).await?;
        }
        for said in &all.attestations {
            for blob in &said.blobs {
                self.blob(blob, &short(&blob.digest), Arc::new(|_| {})).await?;
            }
            let ManifestBytes { bytes, media_type } = said.manifest.clone();
            let selector = Selector::Digest(said.digest);
            self.repository.put_manifest(&selector, &media_type, bytes.into()).await?;
        }
        Ok(())
    }

    /// The layers side by side, then the configuration.
    async fn blobs(&self, image: &PushImage) -> Result<()> {
        let mut seen = BTreeSet::new();
        // The topmost first, as dockerd.
        let layers: Vec<&PushBlob> =
            image.layers.iter().rev().filter(|layer| seen.insert(layer.digest)).collect();
        for layer in &layers {
            self.progress.layer(&short(&layer.diff_id), "Preparing");
        }
        let layers: FuturesUnordered<_> =
            layers.into_iter().map(|layer| self.layer(layer)).collect();
        layers.try_collect::<()>().await?;
        let id = short(&image.config.digest);
        self.blob(&image.config, &id, Arc::new(|_| {})).await.map(|_| ())
    }

    async fn layer(&self, layer: &PushBlob) -> Result<()> {
        let id = short(&layer.diff_id);
        let uploads = &self.images.registries.uploads;
        let _slot = match uploads.try_take() {
            Some(slot) => Some(slot),
            None => {
                self.progress.layer(&id, "Waiting");
                uploads.take().await
            }
        };
        if !layer.urls.is_empty() && !self.images.store.content().contains(&layer.digest) {
            self.progress.layer(&id, "Skipped foreign layer");
            return Ok(());
        }
        let (progress, name, size) = (Arc::clone(self.progress), id.clone(), layer.size);
        let uploaded = move |bytes| progress.bar(&name, "Pushing", (bytes, size));
        let status = match self.blob(layer, &id, Arc::new(uploaded)).await? {
            Pushed::Existed => "Layer already exists".to_owned(),
            Pushed::Mounted { from } => format!("Mounted from {from}"),
            Pushed::Uploaded => "Pushed".to_owned(),
        };
        self.progress.layer(&id, status);
        Ok(())
    }

    async fn blob(&self, blob: &PushBlob, id: &str, uploaded: OnUploaded) -> Result<Pushed> {
        let upload = BlobUpload {
            digest: blob.digest,
            size: blob.size,
            mount_from: self.sources(&blob.repositories),
            open: self.source(blob.digest),
        };
        let repository = self.repository.notifying(retry_notices(self.progress, id));
        Ok(repository.push_blob(&upload, uploaded).await?)
    }

    /// Other repositories of the same registry.
    fn sources(&self, repositories: &[String]) -> Vec<String> {
        let (domain, own) = (self.reference.domain(), self.reference.path());
        let names = repositories.iter().filter_map(|name| name.parse::<Reference>().ok());
        names
            .filter(|name| name.domain() == domain && name.path() != own)
            .map(|name| name.path().to_owned())
            .collect()
    }

    fn source(&self, digest: Digest) -> barge_registry::BlobSource {
        let store = Arc::clone(&self.images.store);
        Arc::new(move |offset| {
            use std::io::Seek as _;
            let mut file = store.content().open_blob(&digest).map_err(std::io::Error::other)?;
            file.seek(std::io::SeekFrom::Start(offset))?;
            Ok(Box::new(file) as Box<dyn Read + Send>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_text_or_json() {
        let parsed =
            |text: &str| parse_platform(text).unwrap().map(|platform| platform.to_string());
        assert_eq!(parsed(""), None);
        assert_eq!(parsed("linux/arm64"), Some("linux/arm64".to_owned()));
        let json = r#"{"os":"linux","architecture":"arm","variant":"v7"}"#;
        assert_eq!(parsed(json), Some("linux/arm/v7".to_owned()));
        let json = r#"{"os":"linux","architecture":"amd64"}"#;
        assert_eq!(parsed(json), Some("linux/amd64".to_owned()));
        assert!(parse_platform("{").is_err());
    }
}
