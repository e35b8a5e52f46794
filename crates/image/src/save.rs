//! `save`: images as one archive, an OCI layout with Docker's `manifest.json` beside it, as Docker
//! writes since 25.
//!
//! An image that came with a manifest goes out with it, its layers packed as they came. The layers
//! of others go out plain, byte for byte as they were when their diff id was made. Everything is
//! looked up and held before the first byte is written, so that a wrong name is an answer and not
//! half an archive.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read as _, Write};

use barge_archive::tar::{EntryKind, Header, Writer};
use barge_archive::{ArchiveError, DigestReader, Digester};
use barge_oci::image::{Descriptor, ImageLayout, Manifest, media_type};
use barge_types::{Digest, ImageId, Reference};
use serde::Serialize;

use crate::attest::{Attestation, index_with};
use crate::error::{ImageError, Result};
use crate::export::ArchiveForm;
use crate::ingest::ManifestBytes;
use crate::layers::{BlobFormat, Layer, LayerBlob};
use crate::manifests::PushBlob;
use crate::platforms::{index_of, platform_of};
use crate::resolve::Found;
use crate::store::{Held, ImageStore};

/// Images that are looked up, to be written.
#[derive(Debug)]
pub struct Save<'a> {
    pub(crate) store: &'a ImageStore,
    pub(crate) images: Vec<Saved>,
    /// Images of several platforms that are listed by an index of their own.
    pub(crate) groups: Vec<Group>,
    pub(crate) form: ArchiveForm,
}

/// Images of several platforms under the same names.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) images: Vec<ImageId>,
    pub(crate) references: Vec<Reference>,
}

#[derive(Debug)]
pub(crate) struct Saved {
    image: Held,
    references: Vec<Reference>,
    config: Vec<u8>,
    layers: Vec<Layer>,
    /// What it came with, when all that it names is here.
    kept: Option<Kept>,
    /// Of its manifest, when it came with none.
    annotations: BTreeMap<String, String>,
    /// What is said of it.
    said: Option<Attestation>,
}

/// An image as an index lists it.
#[derive(Debug)]
struct Listed {
    image: Descriptor,
    said: Option<Attestation>,
}

#[derive(Debug)]
struct Kept {
    manifest: ManifestBytes,
    layers: Vec<PushBlob>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
    layer_sources: BTreeMap<String, Descriptor>,
}

impl ImageStore {
    /// Looks images up. A name with a tag saves that name, one without all tags of its repository,
    /// an id no name.
    pub fn save(&self, names: &[&str]) -> Result<Save<'_>> {
        let mut chosen: Vec<(ImageId, Vec<Reference>)> = Vec::new();
        for name in names {
            for (id, reference) in self.chosen(name)? {
                match chosen.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, references)) => references.extend(reference),
                    None => chosen.push((id, reference.into_iter().collect())),
                }
            }
        }
        let groups = self.groups_of(&chosen);
        for other in groups.iter().flat_map(|group| &group.images) {
            if chosen.iter().all(|(known, _)| known != other) {
                chosen.push((*other, Vec::new()));
            }
        }
        let images = chosen.into_iter().map(|(id, references)| self.saved(&id, references));
        let images = images.collect::<Result<_>>()?;
        Ok(Save { store: self, images, groups, form: ArchiveForm::Docker })
    }

    /// The names that mean images of several platforms.
    fn groups_of(&self, chosen: &[(ImageId, Vec<Reference>)]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for reference in chosen.iter().flat_map(|(_, references)| references) {
            let images = self.platforms(reference);
            match groups.iter_mut().find(|group| group.images == images) {
                _ if images.is_empty() => {}
                Some(group) => group.references.push(reference.clone()),
                None => groups.push(Group { images, references: vec![reference.clone()] }),
            }
        }
        groups
    }

    pub(crate) fn saved(&self, id: &ImageId, mut references: Vec<Reference>) -> Result<Saved> {
        references.sort();
        references.dedup();
        let image = self.hold(&id.to_string())?;
        let layer = |chain_id| self.layer(chain_id);
        let layers: Vec<Layer> = image.chain_ids.iter().filter_map(layer).collect();
        let kept = self
            .with_kept_manifest(&image)?
            .map(|(manifest, _, _, layers)| Kept { manifest, layers });
        let is_here =
            |kept: &Kept| kept.layers.iter().all(|blob| self.content.contains(&blob.digest));
        let kept = kept.filter(is_here);
        let (config, annotations) = (self.config_bytes(id)?, self.annotations(id));
        let said = self.attestation(id)?;
        Ok(Saved { config, image, references, layers, kept, annotations, said })
    }

    fn chosen(&self, name: &str) -> Result<Vec<(ImageId, Option<Reference>)>> {
        if let Ok(reference) = name.parse::<Reference>() {
            let has_tag = reference.tag().is_some_and(|tag| name.ends_with(&format!(":{tag}")));
            if !has_tag && reference.digest().is_none() {
                let repository = reference.repository();
                let state = self.read();
                let of_repository: Vec<_> = state
                    .index
                    .references()
                    .filter(|(known, id)| {
                        known.repository() == repository
                            && known.digest().is_none()
                            && state.known.contains_key(id)
                    })
                    .map(|(known, id)| (*id, Some(known.clone())))
                    .collect();
                if !of_repository.is_empty() {
                    return Ok(of_repository);
                }
            }
        }
        Ok(match self.resolve(name)? {
            Found::ById(id) => vec![(id, None)],
            Found::ByName(reference, id) => {
                vec![(id, Some(reference).filter(|reference| reference.digest().is_none()))]
            }
        })
    }
}

impl Save<'_> {
    /// What is written, by its ids.
    pub fn ids(&self) -> impl Iterator<Item = &ImageId> {
        self.images.iter().map(|saved| &saved.image.id)
    }

    /// Writes the archive.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let mut tar = Writer::new(out);
        let mut written = HashSet::new();
        for folder in ["blobs/", "blobs/sha256/"] {
            let header = Header::new(folder, EntryKind::Directory);
            tar.append_bytes(&header, &[]).map_err(ImageError::ReadArchive)?;
        }
        let mut index = index_of(Vec::new());
        let mut items = Vec::new();
        let mut manifests = HashMap::new();
        for saved in &self.images {
            self.write_layers(saved, (&mut tar, &mut written))?;
            blob(&mut tar, &mut written, &saved.config)?;
            let (manifest, kind) = match &saved.kept {
                Some(kept) => (kept.manifest.bytes.clone(), kept.manifest.media_type.clone()),
                None => (to_json(&saved.manifest())?, media_type::OCI_MANIFEST.to_owned()),
            };
            let digest = blob(&mut tar, &mut written, &manifest)?;
            let described = described(&kind, digest, manifest.len() as u64);
            let listed = Listed {
                image: saved.on_platform(described.clone()),
                said: saved.said.as_ref().map(|said| said.of_manifest(digest)).transpose()?,
            };
            let own = listed.write(described, (&mut tar, &mut written))?;
            index.manifests.extend(self.listed(saved, &own));
            manifests.insert(saved.image.id, listed);
            items.push(saved.item());
        }
        for group in &self.groups {
            let list = group.index(&manifests)?;
            let digest = blob(&mut tar, &mut written, &list)?;
            let described = described(media_type::OCI_INDEX, digest, list.len() as u64);
            index
                .manifests
                .extend(listed(&group.references.iter().collect::<Vec<_>>(), &described));
        }
        file(&mut tar, "index.json", &to_json(&index)?)?;
        if self.form == ArchiveForm::Docker {
            file(&mut tar, "manifest.json", &to_json(&items)?)?;
        }
        file(&mut tar, "oci-layout", &to_json(&ImageLayout::default())?)?;
        let repositories = self.repositories();
        if self.form == ArchiveForm::Docker && !repositories.is_empty() {
            file(&mut tar, "repositories", &to_json(&repositories)?)?;
        }
        tar.finish().map_err(ImageError::ReadArchive)?;
        Ok(())
    }

    fn write_layers<W: Write>(
        &self,
        saved: &Saved,
        (tar, written): (&mut Writer<W>, &mut HashSet<Digest>),
    ) -> Result<()> {
        for blob in saved.kept.iter().flat_map(|kept| &kept.layers) {
            if written.insert(blob.digest) {
                self.write_packed(tar, blob)?;
            }
        }
        if saved.kept.is_some() {
            return Ok(());
        }
        for layer in &saved.layers {
            if !written.insert(layer.diff_id) {
                continue;
            }
            let mut header = Header::new(blob_name(&layer.diff_id), EntryKind::Regular);
            header.size = layer.tar_size;
            tar.append_written(&header, |out| self.store.write_plain(layer, out))?;
        }
        Ok(())
    }

    /// A layer as it came.
    fn write_packed<W: Write>(&self, tar: &mut Writer<W>, blob: &PushBlob) -> Result<()> {
        let mut bytes =
            DigestReader::new(self.store.content.open_blob(&blob.digest)?.take(blob.size));
        let mut header = Header::new(blob_name(&blob.digest), EntryKind::Regular);
        header.size = blob.size;
        tar.append(&header, &mut bytes).map_err(ImageError::ReadArchive)?;
        let (got, _, _) = bytes.finish();
        if got == blob.digest {
            return Ok(());
        }
        let what = format!("blob {}", blob.digest);
        Err(ImageError::WrongDigest { what, expected: blob.digest, got })
    }

    /// An image's manifest once for each name that is only its own; without any, once unless an index names it.
    fn listed(&self, saved: &Saved, manifest: &Descriptor) -> Vec<Descriptor> {
        let is_alone =
            |name: &&Reference| self.groups.iter().all(|group| !group.references.contains(name));
        let own: Vec<&Reference> = saved.references.iter().filter(is_alone).collect();
        let is_grouped = self.groups.iter().any(|group| group.images.contains(&saved.image.id));
        if own.is_empty() && is_grouped { Vec::new() } else { listed(&own, manifest) }
    }

    /// The oldest table of contents: repository → tag → topmost layer. Nothing reads it but what is
    /// older than Docker 1.10.
    fn repositories(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for saved in &self.images {
            let Some(top) = saved.layers.last() else {
                continue;
            };
            for reference in &saved.references {
                repositories
                    .entry(reference.familiar_name())
                    .or_default()
                    .insert(reference.tag().unwrap_or_default().to_owned(), top.diff_id.hex());
            }
        }
        repositories
    }
}

impl Saved {
    fn manifest(&self) -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            config: described(
                media_type::OCI_CONFIG,
                self.image.id.digest(),
                self.config.len() as u64,
            ),
            layers: self.layers.iter().map(described_layer).collect(),
            annotations: self.annotations.clone(),
            ..Manifest::default()
        }
    }

    /// What the manifest is for, in an index.
    fn on_platform(&self, manifest: Descriptor) -> Descriptor {
        Descriptor { platform: Some(platform_of(&self.image)), ..manifest }
    }

    /// Sends its layers compressed with gzip.
    pub(crate) fn gzip(&mut self, store: &ImageStore) -> Result<()> {
        if self.said.is_some() && self.kept.is_some() {
            // They are: something was said of them.
            return Ok(());
        }
        let mut layers = Vec::new();
        for (chain_id, diff_id) in self.image.chain_ids.iter().zip(&self.image.diff_ids) {
            let LayerBlob { digest, size, format } = store.gzipped(chain_id)?;
            let kind = match format {
                BlobFormat::Plain => media_type::OCI_LAYER,
                BlobFormat::Gzip | BlobFormat::Zstd => media_type::OCI_LAYER_GZIP,
            };
            layers.push(PushBlob {
                digest,
                size,
                media_type: kind.to_owned(),
                diff_id: *diff_id,
                repositories: Vec::new(),
                urls: Vec::new(),
            });
        }
        let described = |blob: &PushBlob| described(&blob.media_type, blob.digest, blob.size);
        let manifest =
            Manifest { layers: layers.iter().map(described).collect(), ..self.manifest() };
        let (bytes, media_type) = (to_json(&manifest)?, manifest.media_type);
        self.kept = Some(Kept { manifest: ManifestBytes { bytes, media_type }, layers });
        Ok(())
    }

    /// Writes its manifest anew, its layers plain.
    pub(crate) fn plain(&mut self) {
        self.kept = None;
    }

    fn item(&self) -> Item {
        let described: Vec<Descriptor> = match &self.kept {
            Some(kept) => kept
                .layers
                .iter()
                .map(|blob| described(&blob.media_type, blob.digest, blob.size))
                .collect(),
            None => self.layers.iter().map(described_layer).collect(),
        };
        let diff_ids = self.image.diff_ids.iter().map(ToString::to_string);
        Item {
            config: blob_name(&self.image.id.digest()),
            repo_tags: self.references.iter().map(Reference::familiar).collect(),
            layers: described
                .iter()
                .map(|layer| layer.digest.replacen("sha256:", "blobs/sha256/", 1))
                .collect(),
            layer_sources: diff_ids.zip(described).collect(),
        }
    }
}

/// The manifest once for each name, or once without one.
fn listed(names: &[&Reference], manifest: &Descriptor) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![manifest.clone()];
    }
    let named = |reference: &&Reference| {
        let mut named = manifest.clone();
        let tag = reference.tag().unwrap_or_default().to_owned();
        named.annotations = BTreeMap::from([
            ("io.containerd.image.name".to_owned(), reference.to_string()),
            ("org.opencontainers.image.ref.name".to_owned(), tag),
        ]);
        named
    };
    names.iter().map(named).collect()
}

impl Group {
    fn index(&self, manifests: &HashMap<ImageId, Listed>) -> Result<Vec<u8>> {
        let members = || self.images.iter().filter_map(|id| manifests.get(id));
        let images = members().map(|listed| listed.image.clone()).collect();
        let said: Vec<Attestation> = members().filter_map(|listed| listed.said.clone()).collect();
        if said.is_empty() {
            return to_json(&index_of(images));
        }
        Ok(index_with(images, &said)?.bytes)
    }
}

impl Listed {
    /// Writes what is said of the image; returns what names the image by itself: its manifest, or the index of both.
    fn write<W: Write>(
        &self,
        manifest: Descriptor,
        (tar, written): (&mut Writer<W>, &mut HashSet<Digest>),
    ) -> Result<Descriptor> {
        let Some(said) = &self.said else { return Ok(manifest) };
        for named in &said.blobs {
            blob(tar, written, &named.bytes)?;
        }
        blob(tar, written, &said.manifest)?;
        let index = index_with(vec![self.image.clone()], std::slice::from_ref(said))?;
        let digest = blob(tar, written, &index.bytes)?;
        Ok(described(&index.media_type, digest, index.bytes.len() as u64))
    }
}

fn described(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_string(),
        size: i64::try_from(size).unwrap_or(i64::MAX),
        ..Descriptor::default()
    }
}

fn described_layer(layer: &Layer) -> Descriptor {
    described(media_type::OCI_LAYER, layer.diff_id, layer.tar_size)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(ImageError::json("the archive's table of contents"))
}

fn blob<W: Write>(
    tar: &mut Writer<W>,
    written: &mut HashSet<Digest>,
    bytes: &[u8],
) -> Result<Digest> {
    let digest = Digester::of(bytes);
    if written.insert(digest) {
        file(tar, &blob_name(&digest), bytes)?;
    }
    Ok(digest)
}

fn file<W: Write>(tar: &mut Writer<W>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new(name, EntryKind::Regular);
    header.size = bytes.len() as u64;
    let done: std::result::Result<(), ArchiveError> = tar.append_bytes(&header, bytes);
    done.map_err(ImageError::ReadArchive)
}
