//! An OCI image layout: `index.json`, manifests, blobs.

use barge_oci::image::{Descriptor, Index, Manifest, media_type};
use barge_types::{Digest, Platform, Reference};

use super::archive::Archive;
use super::{Plan, PlannedConfig, PlannedLayer};
use crate::attest::{Attestation, is_about};
use crate::error::{ImageError, Result};
use crate::ingest::ManifestBytes;

/// Indexes within indexes, deeper than anyone nests them.
const DEPTH: usize = 4;
/// The whole name, as containerd and Docker write it.
const NAME: &str = "io.containerd.image.name";
/// A name or only a tag, as the specification has it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What is taken of an index.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    platform: &'a Platform,
    only: Only,
    /// How many indexes may be within it.
    depth: usize,
}

/// The only image of an index, when it is for another platform.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    /// Taken: whoever loads an archive wants what is in it.
    Taken,
    /// Left: somebody asked for a platform.
    Left,
}

pub(super) fn plan(archive: &Archive) -> Result<Vec<Plan>> {
    let index = index(archive)?;
    let host = Platform::host();
    let wanted = Wanted { platform: &host, only: Only::Taken, depth: DEPTH };
    let mut plans: Vec<Plan> = Vec::new();
    for descriptor in index.manifests.iter().filter(|descriptor| is_image(descriptor)) {
        let reference = name_of(descriptor);
        let mut plan = plan_one(archive, descriptor, wanted)?;
        plan.references.extend(reference);
        plans.push(plan);
    }
    Ok(plans)
}

fn index(archive: &Archive) -> Result<Index> {
    let text = archive.read("index.json", None)?;
    serde_json::from_slice(&text).map_err(ImageError::json("index.json"))
}

/// Which image of a layout is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutName {
    /// A tag, or a whole name; `latest`, or the only image, when there is no digest either.
    pub tag: Option<String>,
    /// Of a manifest or an index, which counts before the tag.
    pub digest: Option<Digest>,
}

/// One image of a layout, for a platform; it gets no name.
pub(super) fn plan_named(
    archive: &Archive,
    name: &LayoutName,
    platform: &Platform,
) -> Result<Plan> {
    let index = index(archive)?;
    let descriptor = match name.digest {
        Some(digest) => by_digest(archive, &index, digest)?,
        None => by_tag(&index, name.tag.as_deref())?,
    };
    plan_one(archive, &descriptor, Wanted { platform, only: Only::Left, depth: DEPTH })
}

/// By the tag; a layout with one image alone need not have one when nobody asks for it.
fn by_tag(index: &Index, asked: Option<&str>) -> Result<Descriptor> {
    let tag = asked.unwrap_or("latest");
    let mut images = index.manifests.iter().filter(|descriptor| is_image(descriptor));
    let is_named = |descriptor: &&Descriptor| {
        [REF_NAME, NAME].iter().any(|key| {
            descriptor.annotations.get(*key).is_some_and(|name| {
                name == tag || name.rsplit_once(':').is_some_and(|(_, last)| last == tag)
            })
        })
    };
    if let Some(found) = images.clone().find(is_named) {
        return Ok(found.clone());
    }
    match (images.next(), images.next()) {
        (Some(only), None) if asked.is_none() => Ok(only.clone()),
        _ => Err(ImageError::archive(format!("no image with the tag {tag} is in it"))),
    }
}

/// By the digest, also of what is only within an index.
fn by_digest(archive: &Archive, index: &Index, digest: Digest) -> Result<Descriptor> {
    let text = digest.to_string();
    if let Some(found) = index.manifests.iter().find(|descriptor| descriptor.digest == text) {
        return Ok(found.clone());
    }
    let entry = format!("blobs/sha256/{}", digest.hex());
    let bytes = archive.read(&entry, Some(digest))?;
    let is_index =
        serde_json::from_slice::<Manifests>(&bytes).is_ok_and(|it| it.manifests.is_some());
    let media_type = if is_index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    Ok(Descriptor {
        media_type: media_type.to_owned(),
        digest: text,
        size,
        ..Descriptor::default()
    })
}

/// What an index has and a manifest has not.
#[derive(serde::Deserialize)]
struct Manifests {
    manifests: Option<serde_json::Value>,
}

/// A name, when the annotations have a whole one: a tag alone names nothing.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let annotation = |key: &str| descriptor.annotations.get(key);
    let name = annotation(NAME)
        .or_else(|| annotation(REF_NAME).filter(|name| name.contains(['/', ':'])))?;
    name.parse().ok().filter(|name: &Reference| name.digest().is_none())
}

/// Attestations are listed beside the images they are about.
fn is_image(descriptor: &Descriptor) -> bool {
    let is_unknown = |platform: &barge_oci::image::Platform| platform.os == "unknown";
    !descriptor.annotations.contains_key("vnd.docker.reference.type")
        && !descriptor.platform.as_ref().is_some_and(is_unknown)
}

fn plan_one(archive: &Archive, descriptor: &Descriptor, wanted: Wanted<'_>) -> Result<Plan> {
    let bytes = read_blob(archive, descriptor)?;
    if !media_type::is_index(&descriptor.media_type) {
        return plan_manifest(archive, bytes, &descriptor.media_type);
    }
    let index: Index =
        serde_json::from_slice(&bytes).map_err(ImageError::json(descriptor.digest.clone()))?;
    let Some(depth) = wanted.depth.checked_sub(1) else {
        return Err(ImageError::archive("its indexes are nested too deep"));
    };
    let chosen = choose(archive, &index, wanted)?;
    let mut plan = plan_one(archive, chosen, Wanted { depth, ..wanted })?;
    // What is said of an image is no part of it: one that is not whole is as if there were none.
    if plan.said.is_none() {
        plan.said = said_of(archive, &index, chosen).unwrap_or_default();
    }
    plan.index = Some(ManifestBytes { bytes, media_type: descriptor.media_type.clone() });
    Ok(plan)
}

/// Finds for images that the other table of contents describes the manifests that this one has. Whatever cannot be read
/// here is not needed: the images are whole without it.
pub(super) fn add_manifests(archive: &Archive, plans: &mut [Plan]) {
    let Ok(listed) = plan(archive) else { return };
    for plan in plans {
        let is_same = |other: &&mut Plan| match (&other.config, &plan.config) {
            (PlannedConfig::Bytes(one), PlannedConfig::Bytes(other_one)) => one == other_one,
            (PlannedConfig::ToBeMade(_), _) | (_, PlannedConfig::ToBeMade(_)) => false,
        };
        let has_layers = |other: &&mut Plan| {
            let entries = |plan: &Plan| -> Vec<String> {
                plan.layers.iter().map(|layer| layer.entry.clone()).collect()
            };
            entries(other) == entries(plan)
        };
        let mut candidates = listed.clone();
        if let Some(found) = candidates.iter_mut().filter(is_same).find(has_layers) {
            plan.manifest = found.manifest.take();
            plan.index = found.index.take();
            plan.said = found.said.take();
        }
    }
}

/// What an index says of one of its images, when all of it is in the archive.
fn said_of(archive: &Archive, index: &Index, image: &Descriptor) -> Result<Option<Attestation>> {
    let mut entries = index.manifests.iter();
    let Some(entry) = entries.find(|entry| is_about(entry, &image.digest)) else { return Ok(None) };
    let (_, about) = entry_of(image)?;
    let manifest = read_blob(archive, entry)?;
    Attestation::read(about, manifest, &mut |named| read_blob(archive, named)).map(Some)
}

/// The image for a platform, among those that are in the archive; the only one also when it does not say what it is for.
fn choose<'a>(archive: &Archive, index: &'a Index, wanted: Wanted<'_>) -> Result<&'a Descriptor> {
    let Wanted { platform: wanted, only, .. } = wanted;
    let is_there = |descriptor: &&Descriptor| {
        is_image(descriptor)
            && entry_of(descriptor).is_ok_and(|(entry, _)| archive.contains(&entry))
    };
    let there: Vec<&Descriptor> = index.manifests.iter().filter(is_there).collect();
    let fits = |descriptor: &&&Descriptor| {
        descriptor.platform.as_ref().is_some_and(|platform| {
            platform.os == wanted.os() && platform.architecture == wanted.architecture()
        })
    };
    let fits_whole = |descriptor: &&&Descriptor| {
        let variant = descriptor.platform.as_ref().map(|platform| platform.variant.as_str());
        fits(descriptor) && variant.unwrap_or_default() == wanted.variant().unwrap_or_default()
    };
    let best = there.iter().find(fits_whole).or_else(|| there.iter().find(fits));
    let is_taken = |descriptor: &Descriptor| only == Only::Taken || descriptor.platform.is_none();
    match (best, there.as_slice()) {
        (Some(descriptor), _) => Ok(descriptor),
        (None, [descriptor]) if is_taken(descriptor) => Ok(descriptor),
        _ => Err(ImageError::archive(format!("no image for {wanted} is in it"))),
    }
}

fn plan_manifest(archive: &Archive, bytes: Vec<u8>, media_type: &str) -> Result<Plan> {
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(ImageError::json("a manifest"))?;
    let kind = manifest.config.media_type.as_str();
    if !matches!(kind, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) {
        return Err(ImageError::archive(format!("{kind:?} is no configuration of an image")));
    }
    let config = read_blob(archive, &manifest.config)?;
    let layers = manifest.layers.iter().map(|layer| {
        let (entry, digest) = entry_of(layer)?;
        check_size(archive, &entry, layer)?;
        Ok(PlannedLayer { entry, blob: Some(digest) })
    });
    // Layers that come plain are packed, so that what this manifest names will not be here.
    let is_plain = |layer: &Descriptor| {
        matches!(layer.media_type.as_str(), media_type::OCI_LAYER | media_type::DOCKER_LAYER)
    };
    let is_kept = !manifest.layers.iter().any(is_plain);
    Ok(Plan {
        config: PlannedConfig::Bytes(config),
        references: Vec::new(),
        layers: layers.collect::<Result<_>>()?,
        manifest: is_kept.then(|| ManifestBytes { bytes, media_type: media_type.to_owned() }),
        index: None,
        said: None,
    })
}

fn entry_of(descriptor: &Descriptor) -> Result<(String, Digest)> {
    let digest: Digest = descriptor
        .digest
        .parse()
        .map_err(|error: barge_types::DigestError| ImageError::archive(error.to_string()))?;
    Ok((format!("blobs/sha256/{}", digest.hex()), digest))
}

fn read_blob(archive: &Archive, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let (entry, digest) = entry_of(descriptor)?;
    check_size(archive, &entry, descriptor)?;
    archive.read(&entry, Some(digest))
}

fn check_size(archive: &Archive, entry: &str, descriptor: &Descriptor) -> Result<()> {
    let size = archive.size(entry)?;
    if u64::try_from(descriptor.size) == Ok(size) {
        Ok(())
    } else {
        let wanted = descriptor.size;
        Err(ImageError::archive(format!("{entry} has {size} bytes and should have {wanted}")))
    }
}
