//! Which images there are and what they are called: one file, so that one rename publishes an image
//! with its names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use barge_types::{Digest, ImageId, Reference};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{ImageError, Result};
use crate::manifests::KeptManifest;

/// The version of the file's form.
const VERSION: u32 = 1;

/// What is kept of an image beside its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// When it last got a name, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_tagged: Option<String>,
    /// The image that it was committed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<ImageId>,
    /// Of the manifests that are written of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// The manifests that it came with or was pushed with, kept as blobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) manifests: Vec<KeptManifest>,
}

#[derive(Serialize, Deserialize)]
struct IndexRecord {
    version: u32,
    images: BTreeMap<String, ImageRecord>,
    references: BTreeMap<Reference, ImageId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    platforms: BTreeMap<Reference, Vec<ImageId>>,
}

/// Images and references.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    images: BTreeMap<ImageId, ImageRecord>,
    references: BTreeMap<Reference, ImageId>,
    names: HashMap<ImageId, BTreeSet<Reference>>,
    /// The images of names that have several, one for each platform. All of them have the name, one of them it means.
    platforms: BTreeMap<Reference, Vec<ImageId>>,
}

impl Index {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ImageError::io("read", path)(error)),
        };
        let what = || path.display().to_string();
        let record: IndexRecord =
            serde_json::from_slice(&text).map_err(ImageError::json(what()))?;
        let mut index = Self::default();
        for (id, image) in record.images {
            let id =
                id.parse().map_err(|_| ImageError::archive(format!("bad id in {}", what())))?;
            index.images.insert(id, image);
        }
        for (reference, id) in record.references {
            index.point(reference, id);
        }
        for (reference, images) in record.platforms {
            index.join(&reference, images);
        }
        Ok(index)
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let record = IndexRecord {
            version: VERSION,
            images: self.images.iter().map(|(id, image)| (id.to_string(), image.clone())).collect(),
            references: self.references.clone(),
            platforms: self.platforms.clone(),
        };
        let text = serde_json::to_vec(&record).map_err(ImageError::json("the image index"))?;
        durable::write(path, &text)
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &ImageId> {
        self.images.keys()
    }

    pub(crate) fn image(&self, id: &ImageId) -> Option<&ImageRecord> {
        self.images.get(id)
    }

    pub(crate) fn insert(&mut self, id: ImageId) {
        self.images.entry(id).or_default();
    }

    /// Remembers a manifest of an image; one that is known gets the index that names it now. One that something is said
    /// of comes first: it is the one that goes out.
    pub(crate) fn add_manifest(&mut self, id: &ImageId, kept: Option<KeptManifest>) {
        let (Some(record), Some(mut kept)) = (self.images.get_mut(id), kept) else { return };
        let manifests = &mut record.manifests;
        if let Some(at) = manifests.iter().position(|known| known.digest == kept.digest) {
            let known = &mut manifests[at];
            if kept.attestation.is_none() {
                if kept.index.is_some() {
                    *known = KeptManifest { attestation: known.attestation.take(), ..kept };
                }
                return;
            }
            kept.index = kept.index.or_else(|| known.index.take());
            manifests.remove(at);
        }
        let at = if kept.attestation.is_some() { 0 } else { manifests.len() };
        manifests.insert(at, kept);
    }

    /// Forgets the manifests of an image that something is said of.
    pub(crate) fn forget_attestations(&mut self, id: &ImageId) {
        if let Some(record) = self.images.get_mut(id) {
            record.manifests.retain(|known| known.attestation.is_none());
        }
    }

    /// Remembers what an image was committed on.
    pub(crate) fn set_parent(&mut self, id: &ImageId, parent: Option<ImageId>) {
        if let (Some(record), Some(parent)) = (self.images.get_mut(id), parent) {
            record.parent = Some(parent);
        }
    }

    /// Replaces the annotations of an image's manifests, when there is a word on them.
    pub(crate) fn set_annotations(
        &mut self,
        id: &ImageId,
        annotations: Option<&BTreeMap<String, String>>,
    ) {
        if let (Some(record), Some(annotations)) = (self.images.get_mut(id), annotations) {
            record.annotations.clone_from(annotations);
        }
    }

    /// The images that were committed on one.
    pub(crate) fn children(&self, id: &ImageId) -> Vec<ImageId> {
        let of = |(_, record): &(&ImageId, &ImageRecord)| record.parent == Some(*id);
        self.images.iter().filter(of).map(|(child, _)| *child).collect()
    }

    /// The blobs that are kept for images: configurations, manifests, indexes.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.images.keys().flat_map(|id| self.blobs_of(id))
    }

    /// The same for one image.
    pub(crate) fn blobs_of(&self, id: &ImageId) -> impl Iterator<Item = Digest> {
        let record = self.images.get(id);
        let manifests = record.into_iter().flat_map(|record| &record.manifests);
        record.map(|_| id.digest()).into_iter().chain(manifests.flat_map(KeptManifest::blobs))
    }

    /// Removes an image and its names.
    pub(crate) fn remove(&mut self, id: &ImageId) {
        self.images.remove(id);
        for images in self.platforms.values_mut() {
            images.retain(|image| image != id);
        }
        for reference in self.names.remove(id).into_iter().flatten() {
            if self.references.get(&reference) == Some(id) {
                self.untag(&reference);
            }
        }
    }

    pub(crate) fn target(&self, reference: &Reference) -> Option<ImageId> {
        self.references.get(reference).copied()
    }

    pub(crate) fn references(&self) -> impl Iterator<Item = (&Reference, &ImageId)> {
        self.references.iter()
    }

    /// The names of an image, sorted.
    pub(crate) fn names(&self, id: &ImageId) -> Vec<Reference> {
        self.names.get(id).map(|names| names.iter().cloned().collect()).unwrap_or_default()
    }

    /// Gives an image a name; returns the image that had it before.
    pub(crate) fn tag(&mut self, reference: &Reference, id: ImageId, now: &str) -> Option<ImageId> {
        if let Some(image) = self.images.get_mut(&id) {
            image.last_tagged = Some(now.to_owned());
        }
        self.point(reference.clone(), id)
    }

    /// Gives an image a name that no person gave it.
    pub(crate) fn name(&mut self, reference: Reference, id: ImageId) {
        self.point(reference, id);
    }

    /// Gives a name to the images of several platforms beside the one that it means.
    pub(crate) fn join(&mut self, reference: &Reference, images: Vec<ImageId>) {
        for image in &images {
            self.names.entry(*image).or_default().insert(reference.clone());
        }
        self.platforms.insert(reference.clone(), images);
    }

    /// The images of a name that has several.
    pub(crate) fn platforms(&self, reference: &Reference) -> Vec<ImageId> {
        self.platforms.get(reference).cloned().unwrap_or_default()
    }

    fn point(&mut self, reference: Reference, id: ImageId) -> Option<ImageId> {
        let before = self.untag(&reference);
        self.names.entry(id).or_default().insert(reference.clone());
        self.references.insert(reference, id);
        before.filter(|before| *before != id)
    }

    /// Takes a name away; returns the image that had it.
    pub(crate) fn untag(&mut self, reference: &Reference) -> Option<ImageId> {
        let id = self.references.remove(reference)?;
        for image in self.platforms.remove(reference).into_iter().flatten().chain([id]) {
            if let Some(names) = self.names.get_mut(&image) {
                names.remove(reference);
            }
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ImageId {
        ImageId::new(Digest::from_bytes([n; 32]))
    }

    #[test]
    fn an_index_survives_the_disk() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("index.json");
        assert_eq!(Index::load(&path).unwrap().images().count(), 0);
        let mut index = Index::default();
        index.insert(id(1));
        let name: Reference = "box:1".parse().unwrap();
        index.tag(&name, id(1), "2024-01-01T00:00:00Z");
        index.save(&path).unwrap();
        let index = Index::load(&path).unwrap();
        assert_eq!(index.target(&name), Some(id(1)));
        assert_eq!(index.names(&id(1)), [name]);
        assert_eq!(
            index.image(&id(1)).unwrap().last_tagged.as_deref(),
            Some("2024-01-01T00:00:00Z")
        );
    }

    #[test]
    fn a_name_moves_and_the_old_image_stays() {
        let mut index = Index::default();
        index.insert(id(1));
        index.insert(id(2));
        let name: Reference = "box".parse().unwrap();
        assert_eq!(index.tag(&name, id(1), ""), None);
        assert_eq!(index.tag(&name, id(1), ""), None);
        assert_eq!(index.tag(&name, id(2), ""), Some(id(1)));
        assert!(index.names(&id(1)).is_empty());
        assert_eq!(index.images().count(), 2);
        index.remove(&id(2));
        assert_eq!(index.target(&name), None);
    }
}
