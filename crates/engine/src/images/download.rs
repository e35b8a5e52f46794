//! One image from a registry: its layers side by side, each downloaded, verified and unpacked in one stream.
//!
//! Bytes go from the connection through a short queue to the thread that unpacks, so that neither runs ahead: the memory
//! does not depend on the image's size. What several clients want at once is done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use barge_image::{ImageError, Ingest, LayerSpec, LayerTicket, ManifestBytes, Publication};
use barge_oci::image as oci;
use barge_registry::{Notice, Notices, Repository};
use barge_types::{Digest, ImageId, Reference};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::Images;
use super::progress::Progress;
use super::transfers::{Alive, Client, Work};
use crate::blocking;
use crate::bridge::{Piece, PieceReader};
use crate::error::{EngineError, Result};

/// The largest configuration that is read; Docker's limit of a manifest.
const CONFIG_LIMIT: usize = 4 << 20;
/// The largest piece that is handed on at once.
const PIECE: usize = 64 * 1024;

/// What a transfer is about: which name, which manifest as part of which index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    reference: Reference,
    manifest: Digest,
    index: Option<Digest>,
}

/// A manifest with the index that it was chosen from.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) digest: Digest,
    pub(super) manifest: ManifestBytes,
    /// With its digest.
    pub(super) index: Option<(Digest, ManifestBytes)>,
}

impl Wanted {
    /// What the reference stands for in its registry: the index, where there is one.
    fn name(&self) -> Digest {
        self.index.as_ref().map_or(self.digest, |(digest, _)| *digest)
    }
}

impl Images {
    /// Takes part in fetching an image and giving it its names.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        repository: &Repository,
        reference: &Reference,
        wanted: Wanted,
    ) -> Client<ImageId> {
        let key = Key {
            reference: reference.clone(),
            manifest: wanted.digest,
            index: wanted.index.as_ref().map(|(digest, _)| *digest),
        };
        let (images, repository) = (Arc::clone(self), repository.clone());
        let reference = reference.clone();
        let start = move |work| {
            let fetch = Fetch { images, repository, work };
            async move { fetch.image(wanted, reference).await }
        };
        self.pulls.join(key, start).await
    }
}

/// The short form of a digest that messages have.
pub(super) fn short(digest: &Digest) -> String {
    let mut hex = digest.hex();
    hex.truncate(12);
    hex
}

/// A transfer of an image.
#[derive(Debug)]
struct Fetch {
    images: Arc<Images>,
    repository: Repository,
    work: Work,
}

impl Fetch {
    async fn image(self, wanted: Wanted, reference: Reference) -> Result<ImageId> {
        let manifest: oci::Manifest =
            serde_json::from_slice(&wanted.manifest.bytes).map_err(|error| {
                EngineError::Invalid(format!("cannot read manifest {}: {error}", wanted.digest))
            })?;
        check_config_type(&manifest)?;
        let config_digest: Digest = parse_digest(&manifest.config.digest)?;
        let config = self.repository.small_blob(&config_digest, CONFIG_LIMIT).await?;
        let layers = layers(&manifest, &config)?;
        let is_known = self.images.store.image(&ImageId::new(config_digest)).is_ok();
        let store = Arc::clone(&self.images.store);
        let specs = layers.clone();
        // Held by its threads, too: what is given up is not removed under their hands.
        let ingest = Arc::new(self.blocking(move || Ok(store.begin(specs)?)).await?);
        if !is_known {
            for layer in layers.iter().take(ingest.existing()) {
                self.work.progress.layer(&short(&layer.blob), "Already exists");
            }
        }
        self.layers(&ingest).await?;
        let ingest = Arc::into_inner(ingest).ok_or(EngineError::Cancelled)?;
        let by_digest = format!("{}@{}", reference.repository(), wanted.name());
        let by_digest = by_digest.parse().map_err(|error| super::pull::invalid(&error))?;
        let references =
            if reference.digest().is_some() { vec![by_digest] } else { vec![reference, by_digest] };
        let publication = Publication {
            config: config.to_vec(),
            manifest: Some(wanted.manifest),
            index: wanted.index.map(|(_, index)| index),
            references,
        };
        self.blocking(move || Ok(ingest.publish(publication)?)).await
    }

    /// Work on a thread, which the transfer does not end before.
    async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let alive = self.work.alive.clone();
        blocking::run(move || {
            let _alive = alive;
            work()
        })
        .await
    }

    /// Fetches what is missing. The first failure ends the others, whose bytes stay for the next try.
    async fn layers(&self, ingest: &Arc<Ingest>) -> Result<()> {
        let tickets = ingest.missing();
        for ticket in &tickets {
            self.work.progress.layer(&short(&ticket.spec().blob), "Pulling fs layer");
        }
        let mut layers: FuturesUnordered<_> =
            tickets.into_iter().map(|ticket| self.layer(ingest, ticket)).collect();
        while let Some(layer) = layers.next().await {
            layer?;
        }
        Ok(())
    }

    async fn layer(&self, ingest: &Arc<Ingest>, ticket: LayerTicket) -> Result<()> {
        let id = short(&ticket.spec().blob);
        let downloads = &self.images.registries.downloads;
        let slot = match downloads.try_take() {
            Some(slot) => Some(slot),
            None => {
                self.work.progress.layer(&id, "Waiting");
                downloads.take().await
            }
        };
        let layer = Layer {
            repository: self.repository.notifying(retry_notices(&self.work.progress, &id)),
            progress: Arc::clone(&self.work.progress),
            digest: ticket.spec().blob,
            size: ticket.spec().size,
            urls: ticket.spec().urls.clone(),
            is_downloaded: Arc::default(),
            id,
        };
        let held = (Arc::clone(ingest), self.work.alive.clone());
        let (unpacking, pieces, have) = layer.unpack(ticket, held);
        let downloaded = match have.await {
            Ok(have) => layer.download(have, pieces).await,
            // The thread says why.
            Err(_) => Ok(()),
        };
        drop(slot);
        let unpacked = unpacking.await?;
        // A download that failed is why the thread failed.
        downloaded.and(unpacked)?;
        layer.progress.layer(&layer.id, "Pull complete");
        Ok(())
    }
}

/// One layer on its way.
#[derive(Debug)]
struct Layer {
    repository: Repository,
    progress: Arc<Progress>,
    digest: Digest,
    size: u64,
    /// Of a layer that the registry must not have.
    urls: Vec<String>,
    id: String,
    is_downloaded: Arc<AtomicBool>,
}

type Unpacking = tokio::task::JoinHandle<Result<()>>;

impl Layer {
    /// Starts the thread that keeps and unpacks what comes, and tells how much is here.
    fn unpack(
        &self,
        ticket: LayerTicket,
        held: (Arc<Ingest>, Alive),
    ) -> (Unpacking, mpsc::Sender<Piece>, oneshot::Receiver<u64>) {
        let (pieces, reader) = PieceReader::new();
        let (tell, have) = oneshot::channel();
        let (progress, id) = (Arc::clone(&self.progress), self.id.clone());
        let (is_downloaded, size) = (Arc::clone(&self.is_downloaded), self.size);
        let unpacking = tokio::task::spawn_blocking(move || {
            let _held = held;
            let layer = ticket.open()?;
            // Nobody listens any more: then the reader is at its end, too.
            tell.send(layer.have()).ok();
            let mut unpacked = |done| {
                if is_downloaded.load(Ordering::Relaxed) {
                    progress.bar(&id, "Extracting", (done, size));
                }
            };
            let digest = layer.spec().blob;
            layer.unpack(Box::new(reader), &mut unpacked).map_err(|error| explain(digest, error))
        });
        (unpacking, pieces, have)
    }

    /// Sends what is missing to the thread. A thread that has stopped ends it; it says itself why.
    async fn download(&self, have: u64, pieces: mpsc::Sender<Piece>) -> Result<()> {
        if have < self.size {
            let mut blob =
                self.repository.blob_or_elsewhere(&self.digest, have, &self.urls).await?;
            // A blob that has not as many bytes begins anew; the thread finds that it is too short.
            let mut done = have;
            let mut is_over = blob.start() != have;
            while let Some(bytes) = if is_over { None } else { blob.next().await } {
                let mut bytes = bytes?;
                done += bytes.len() as u64;
                self.progress.bar(&self.id, "Downloading", (done, self.size));
                while !bytes.is_empty() && !is_over {
                    let piece: Bytes = bytes.split_to(bytes.len().min(PIECE));
                    is_over = pieces.send(Piece::Bytes(piece)).await.is_err();
                }
            }
        }
        if pieces.send(Piece::End).await.is_ok() {
            self.progress.layer(&self.id, "Verifying Checksum");
            self.progress.layer(&self.id, "Download complete");
            self.is_downloaded.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Says of which layer the bytes are wrong, as dockerd does.
fn explain(digest: Digest, error: ImageError) -> EngineError {
    if matches!(error, ImageError::WrongDigest { .. } | ImageError::WrongDiffId { .. }) {
        EngineError::WrongLayer { digest, source: Box::new(error) }
    } else {
        error.into()
    }
}

/// The lines of a layer that waits for another try.
pub(super) fn retry_notices(progress: &Arc<Progress>, id: &str) -> Notices {
    let (progress, id) = (Arc::clone(progress), id.to_owned());
    Notices::new(move |notice| match notice {
        Notice::Retrying { in_seconds, .. } => {
            let unit = if in_seconds == 1 { "second" } else { "seconds" };
            progress.layer(&id, format!("Retrying in {in_seconds} {unit}"));
        }
    })
}

fn parse_digest(text: &str) -> Result<Digest> {
    text.parse().map_err(|error| EngineError::Invalid(format!("invalid digest {text:?}: {error}")))
}

/// Only what is a container's image; the beginning of the text is dockerd's.
fn check_config_type(manifest: &oci::Manifest) -> Result<()> {
    let found = manifest.config.media_type.as_str();
    if [oci::media_type::OCI_CONFIG, oci::media_type::DOCKER_CONFIG].contains(&found) {
        return Ok(());
    }
    let class = if found == "application/vnd.docker.plugin.v1+json" { "plugin" } else { "unknown" };
    Err(EngineError::Invalid(format!(
        "Encountered remote {found:?}({class}) when fetching: it is not the configuration of an image"
    )))
}

/// The layers by manifest and configuration, which have to agree.
fn layers(manifest: &oci::Manifest, config: &[u8]) -> Result<Vec<LayerSpec>> {
    let config: oci::ImageConfig = serde_json::from_slice(config)
        .map_err(|error| EngineError::Invalid(format!("invalid image configuration: {error}")))?;
    if !matches!(config.os.as_str(), "" | "linux") {
        return Err(EngineError::Invalid(format!(
            "image operating system {:?} cannot be used on this platform: operating system is not supported",
            config.os
        )));
    }
    let (descriptors, diff_ids) = (&manifest.layers, &config.rootfs.diff_ids);
    if descriptors.len() != diff_ids.len() {
        return Err(EngineError::Invalid(format!(
            "the manifest has {} layers and the configuration {}",
            descriptors.len(),
            diff_ids.len()
        )));
    }
    let spec = |(descriptor, diff_id): (&oci::Descriptor, &String)| {
        let size = u64::try_from(descriptor.size)
            .map_err(|_| EngineError::Invalid(format!("invalid size of {}", descriptor.digest)))?;
        Ok(LayerSpec {
            diff_id: parse_digest(diff_id)?,
            blob: parse_digest(&descriptor.digest)?,
            size,
            urls: descriptor.urls.clone(),
        })
    };
    descriptors.iter().zip(diff_ids).map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> oci::Manifest {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn artifacts_are_named() {
        let chart = manifest(
            r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"x","size":1},"layers":[]}"#,
        );
        let text = check_config_type(&chart).unwrap_err().to_string();
        let begin = "Encountered remote \"application/vnd.cncf.helm.config.v1+json\"(unknown)";
        assert!(text.starts_with(begin), "{text}");
    }

    #[test]
    fn manifest_and_configuration_have_to_agree() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let one = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"x","size":1}},"layers":[{{"digest":"{digest}","size":7}}]}}"#
        );
        let config = |ids: &str| {
            format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#)
        };
        let found = layers(&manifest(&one), config(&format!("{digest:?}")).as_bytes()).unwrap();
        assert_eq!((found.len(), found[0].size), (1, 7));
        assert!(layers(&manifest(&one), config("").as_bytes()).is_err());
        assert!(layers(&manifest(&one), config("\"x\"").as_bytes()).is_err());
        let windows = br#"{"os":"windows","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let text = layers(&manifest(&one), windows).unwrap_err().to_string();
        assert!(text.starts_with("image operating system \"windows\" cannot be used"), "{text}");
    }
}
