//! The archives of layers: as they are kept, or made of the driver's files when somebody asks.
//!
//! A layer that a build made has none until an image with it is saved or pushed. What is made then has the bytes that the
//! diff id was made of, or is an error: files on the disk that somebody changed are noticed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Write};

use barge_archive::compression::{Compression, Decoder, Encoder};
use barge_archive::{DigestReader, DigestWriter};
use barge_storage::{Holes, LayerId, PackOptions, Packed};
use barge_types::{Digest, ImageId};

use crate::error::{ImageError, Result};
use crate::layers::{BlobFormat, Layer, LayerBlob, LayerSource};
use crate::store::ImageStore;

/// How a layer of a build is packed. With a bound for times the bytes are the same on every machine, which holes would
/// not be.
pub(crate) fn pack_options(latest: Option<i64>) -> PackOptions {
    let holes = if latest.is_some() { Holes::Filled } else { Holes::Kept };
    PackOptions { latest, holes }
}

impl ImageStore {
    /// Writes what a layer of the driver changes in the one that it stands on.
    pub(crate) fn pack(
        &self,
        cache_id: &LayerId,
        options: &PackOptions,
        out: &mut dyn Write,
    ) -> Result<Packed> {
        let failed = || ImageError::storage("read a layer");
        let parent = self.driver.parent(cache_id).map_err(failed())?;
        self.driver.pack(cache_id, parent.as_ref(), options, out).map_err(failed())
    }

    /// Writes the plain archive of a layer, and checks it as it passes.
    pub(crate) fn write_plain(&self, layer: &Layer, out: &mut dyn Write) -> Result<()> {
        match &layer.blob {
            Some(blob) => self.unpack_blob(layer, blob, out),
            None => self.pack_files(layer, out),
        }
    }

    fn unpack_blob(&self, layer: &Layer, blob: &LayerBlob, out: &mut dyn Write) -> Result<()> {
        let plain = Decoder::new(self.content.open_blob(&blob.digest)?)?;
        let mut plain = DigestReader::new(plain.take(layer.tar_size));
        io::copy(&mut plain, out).map_err(ImageError::io("copy a layer from", &self.folder))?;
        let (got, _, _) = plain.finish();
        if got == layer.diff_id {
            return Ok(());
        }
        let what = format!("blob {}", blob.digest);
        Err(ImageError::WrongDigest { what, expected: layer.diff_id, got })
    }

    fn pack_files(&self, layer: &Layer, out: &mut dyn Write) -> Result<()> {
        let latest = match layer.source {
            LayerSource::Build { latest } => latest,
            LayerSource::Archive => None,
        };
        let mut out = DigestWriter::new(out);
        self.pack(&layer.cache_id, &pack_options(latest), &mut out)?;
        let (got, _, _) = out.finish();
        if got == layer.diff_id {
            return Ok(());
        }
        let (layer, expected) = (layer.cache_id.clone(), layer.diff_id);
        Err(ImageError::Changed { layer, expected, got })
    }

    /// Bytes of all that is kept of some images beside their files: configurations, manifests, layers' archives.
    #[must_use]
    pub fn bytes_kept_for(&self, images: &HashSet<ImageId>) -> u64 {
        let blobs: HashSet<Digest> = {
            let state = self.read();
            let own = images.iter().flat_map(|id| state.index.blobs_of(id));
            let chains = images.iter().filter_map(|id| state.known.get(id));
            let layers = chains.flat_map(|known| &known.chain_ids);
            let layers = layers.filter_map(|chain_id| state.layers.get(chain_id)?.blob.as_ref());
            own.chain(layers.map(|blob| blob.digest)).collect()
        };
        blobs.iter().map(|blob| self.content.size(blob)).sum()
    }

    /// The archive that a layer of the driver has already in a form that every engine reads.
    #[must_use]
    pub fn gzip_archive(&self, cache_id: &LayerId) -> Option<(Digest, File)> {
        let digest = {
            let state = self.read();
            let layers = state.layers.values().filter(|layer| layer.cache_id == *cache_id);
            let mut blobs = layers.filter_map(|layer| layer.blob.as_ref());
            blobs.find(|blob| blob.format == BlobFormat::Gzip)?.digest
        };
        // Its image may be removed just now.
        Some((digest, self.content.open_blob(&digest).ok()?))
    }

    /// The blob of a layer in a form that every engine reads. What is not there, or packed by ourselves, becomes gzip, for
    /// good.
    pub(crate) fn gzipped(&self, chain_id: &Digest) -> Result<LayerBlob> {
        let missing = || ImageError::Damaged {
            image: "to be pushed".to_owned(),
            missing: format!("layer {chain_id}"),
        };
        let layer = self.layer(chain_id).ok_or_else(missing)?;
        if let Some(blob) = &layer.blob
            && blob.format != BlobFormat::Zstd
        {
            return Ok(blob.clone());
        }
        let mut writer = self.content.writer()?;
        let mut encoder = Encoder::new(&mut writer, Compression::Gzip)?;
        self.write_plain(&layer, &mut encoder)?;
        encoder.finish()?;
        writer.flush().map_err(ImageError::io("pack a layer in", &self.folder))?;
        let _changing = self.changing();
        let (digest, size) = writer.commit()?;
        let packed = LayerBlob { digest, size, format: BlobFormat::Gzip };
        let before = self.layer(chain_id).ok_or_else(missing)?;
        let layer = Layer { blob: Some(packed.clone()), ..before.clone() };
        self.layer_folder.save(&layer)?;
        self.write().layers.insert(*chain_id, layer);
        if let Some(before) = before.blob
            && before.digest != packed.digest
        {
            self.remove_blob_if_unneeded(&before.digest)?;
        }
        Ok(packed)
    }
}
