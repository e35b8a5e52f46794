//! Layers into images by way of archives, until the image store takes them in place.
//!
//! Each layer is written as an archive below the build's folder and goes in as a pulled one would: right, but every byte
//! is copied twice.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use barge_archive::DigestWriter;
use barge_image::{ImageError, ImageStore, LayerSpec, Publication};
use barge_oci::image::ImageConfig;
use barge_storage::LayerId;
use barge_types::{Digest, ImageId, Reference};

use super::Running;
use super::state::StageState;
use crate::error::{BuildError, Result};

/// A layer with its archive.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
    path: PathBuf,
}

/// Writes a layer's archive.
pub(crate) fn adopt(running: &Running<'_>, id: &LayerId) -> Result<Adopted> {
    let storage = &running.shop.parts.storage;
    let path = running.place.folder()?.join("layer.tar");
    let failed = || BuildError::io("write", &path);
    let file = File::create(&path).map_err(failed())?;
    let mut out = DigestWriter::new(BufWriter::new(file));
    let parent = storage.parent(id).map_err(BuildError::storage("look at a layer"))?;
    storage.diff(id, parent.as_ref(), &mut out).map_err(BuildError::storage("read a layer"))?;
    let (diff_id, size, mut inner) = out.finish();
    std::io::Write::flush(&mut inner).map_err(failed())?;
    Ok(Adopted { diff_id, size, path })
}

/// Makes an image of a stage's base and these layers.
pub(crate) fn publish(
    images: &Arc<ImageStore>,
    state: &StageState,
    adopted: &[Adopted],
    (config, references): (&ImageConfig, Vec<Reference>),
) -> Result<ImageId> {
    let failed = || BuildError::image("publish the image");
    let mut specs = Vec::new();
    for chain_id in state.base.iter().flat_map(|base| &base.chain_ids) {
        let layer = images.layer(chain_id).ok_or_else(|| {
            failed()(ImageError::Archive(format!("layer {chain_id} of the base is gone")))
        })?;
        let (diff_id, size) = (layer.diff_id, layer.tar_size);
        let blob = layer.blob.as_ref().map_or(diff_id, |blob| blob.digest);
        specs.push(LayerSpec { diff_id, blob, size, urls: Vec::new() });
    }
    let below = specs.len();
    specs.extend(adopted.iter().map(|layer| {
        let (diff_id, size) = (layer.diff_id, layer.size);
        LayerSpec { diff_id, blob: diff_id, size, urls: Vec::new() }
    }));
    let ingest = images.begin(specs).map_err(failed())?;
    for ticket in ingest.missing() {
        let layer = adopted.iter().find(|layer| layer.diff_id == ticket.spec().blob);
        let Some(layer) = layer else { continue };
        let file = File::open(&layer.path).map_err(BuildError::io("open", &layer.path))?;
        let open = ticket.open().map_err(failed())?;
        let mut file = file;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(open.have()))
            .map_err(BuildError::io("read", &layer.path))?;
        open.unpack(Box::new(file), &mut |_| {}).map_err(failed())?;
    }
    debug_assert!(below <= config.rootfs.diff_ids.len());
    let bytes = serde_json::to_vec(config)
        .map_err(std::io::Error::other)
        .map_err(BuildError::io("write", std::path::Path::new("the configuration")))?;
    let publication = Publication { config: bytes, manifest: None, index: None, references };
    ingest.publish(publication).map_err(failed())
}
