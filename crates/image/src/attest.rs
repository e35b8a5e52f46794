//! Attestations: what is said of an image, in a manifest of its own that an index names beside the image's.
//!
//! The form is BuildKit's (its "image attestation storage"): each statement is a layer, the configuration is that of an
//! image of nothing, and the index says which manifest it is about. A statement has that manifest's digest in it, so that
//! it is made anew where the same image goes out with another manifest.

use std::collections::BTreeMap;

use barge_archive::Digester;
use barge_oci::image::{Descriptor, Index, Manifest, Platform, media_type};
use barge_types::{Digest, ImageId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::content::ContentStore;
use crate::error::{ImageError, Result};
use crate::ingest::ManifestBytes;
use crate::manifests::{KeptManifest, OCI, describe};
use crate::platforms::{index_of, platform_of};
use crate::store::ImageStore;

const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What reads BuildKit's attestations looks for.
const STATEMENT: &str = "https://in-toto.io/Statement/v0.1";

/// Something that is said, before it is known of which manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// What kind of thing it is: an address.
    pub kind: String,
    /// The thing.
    pub body: serde_json::Value,
}

/// All that is said of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The image.
    pub image: ImageId,
    /// What the statements call it; `_` when there is nothing.
    pub subjects: Vec<String>,
    /// One statement for each.
    pub predicates: Vec<Predicate>,
}

/// What a statement is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// By algorithm, in hexadecimal digits.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// Something with this digest.
    #[must_use]
    pub fn new(name: &str, digest: &Digest) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), digest.hex())]);
        Self { name: name.to_owned(), digest }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
    predicate: Box<RawValue>,
}

/// An in-toto statement as a document.
///
/// # Errors
/// [`ImageError::Json`].
pub fn statement(predicate: &Predicate, subject: Vec<Subject>) -> Result<Vec<u8>> {
    let failed = || ImageError::json("a statement");
    let statement = Statement {
        kind: STATEMENT.to_owned(),
        predicate_type: predicate.kind.clone(),
        subject,
        predicate: serde_json::value::to_raw_value(&predicate.body).map_err(failed())?,
    };
    serde_json::to_vec_pretty(&statement).map_err(failed())
}

/// A manifest of statements that is kept as a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAttestation {
    /// Its name in the content store.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// What it names: its configuration and its statements.
    pub blobs: Vec<Digest>,
}

/// What a manifest of statements names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttestationBlob {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

/// A manifest of statements with all that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attestation {
    /// The manifest of the image.
    about: Digest,
    pub(crate) manifest: Vec<u8>,
    pub(crate) digest: Digest,
    /// The configuration, then the statements.
    pub(crate) blobs: Vec<AttestationBlob>,
}

impl Attestation {
    fn new(about: Digest, said: &Said) -> Result<Self> {
        let none = ["_".to_owned()];
        let names = if said.subjects.is_empty() { &none[..] } else { &said.subjects };
        let subjects = || names.iter().map(|name| Subject::new(name, &about)).collect();
        let statements = said
            .predicates
            .iter()
            .map(|predicate| Ok((predicate.kind.clone(), statement(predicate, subjects())?)));
        Self::of(about, statements.collect::<Result<_>>()?)
    }

    /// Of statements with their kinds.
    fn of(about: Digest, statements: Vec<(String, Vec<u8>)>) -> Result<Self> {
        let mut layers = Vec::new();
        let mut blobs = Vec::new();
        for (kind, bytes) in statements {
            let digest = Digester::of(&bytes);
            layers.push(Descriptor {
                annotations: BTreeMap::from([(PREDICATE_TYPE.to_owned(), kind)]),
                ..describe(IN_TOTO, digest, bytes.len() as u64)
            });
            blobs.push(AttestationBlob { media_type: IN_TOTO.to_owned(), digest, bytes });
        }
        let diff_ids: Vec<String> = blobs.iter().map(|blob| blob.digest.to_string()).collect();
        let config = json!({
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).map_err(ImageError::json("a configuration"))?;
        let digest = Digester::of(&config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            config: describe(media_type::OCI_CONFIG, digest, config.len() as u64),
            layers,
            ..Manifest::default()
        };
        let media_type = media_type::OCI_CONFIG.to_owned();
        blobs.insert(0, AttestationBlob { media_type, digest, bytes: config });
        let manifest =
            serde_json::to_vec_pretty(&manifest).map_err(ImageError::json("a manifest"))?;
        Ok(Self { about, digest: Digester::of(&manifest), manifest, blobs })
    }

    /// Reads what a manifest of statements names.
    pub(crate) fn read(
        about: Digest,
        manifest: Vec<u8>,
        read: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let parsed: Manifest =
            serde_json::from_slice(&manifest).map_err(ImageError::json("an attestation"))?;
        let mut blobs = Vec::new();
        for named in std::iter::once(&parsed.config).chain(&parsed.layers) {
            let bytes = read(named)?;
            let media_type = named.media_type.clone();
            blobs.push(AttestationBlob { media_type, digest: Digester::of(&bytes), bytes });
        }
        Ok(Self { about, digest: Digester::of(&manifest), manifest, blobs })
    }

    /// The same of another manifest of the same image.
    pub(crate) fn of_manifest(&self, digest: Digest) -> Result<Self> {
        if digest == self.about {
            return Ok(self.clone());
        }
        let mut statements = Vec::new();
        for blob in self.blobs.iter().filter(|blob| blob.media_type == IN_TOTO) {
            let failed = || ImageError::json("a statement");
            let mut statement: Statement = serde_json::from_slice(&blob.bytes).map_err(failed())?;
            for subject in &mut statement.subject {
                *subject = Subject::new(&subject.name, &digest);
            }
            let bytes = serde_json::to_vec_pretty(&statement).map_err(failed())?;
            statements.push((statement.predicate_type, bytes));
        }
        Self::of(digest, statements)
    }

    /// As an index lists it.
    pub(crate) fn listed(&self) -> Descriptor {
        let unknown = || "unknown".to_owned();
        Descriptor {
            annotations: BTreeMap::from([
                (REFERENCE_DIGEST.to_owned(), self.about.to_string()),
                (REFERENCE_TYPE.to_owned(), ATTESTATION.to_owned()),
            ]),
            platform: Some(Platform {
                architecture: unknown(),
                os: unknown(),
                ..Platform::default()
            }),
            ..describe(media_type::OCI_MANIFEST, self.digest, self.manifest.len() as u64)
        }
    }

    /// Stores it.
    pub(crate) fn keep(&self, content: &ContentStore) -> Result<KeptAttestation> {
        let blobs = self.blobs.iter().map(|blob| content.put(&blob.bytes));
        Ok(KeptAttestation {
            blobs: blobs.collect::<Result<_>>()?,
            digest: content.put(&self.manifest)?,
            size: self.manifest.len() as u64,
        })
    }
}

/// Whether an index's entry says something of another one.
pub(crate) fn is_about(entry: &Descriptor, digest: &str) -> bool {
    let is = |key: &str, value: &str| entry.annotations.get(key).is_some_and(|it| it == value);
    is(REFERENCE_TYPE, ATTESTATION) && is(REFERENCE_DIGEST, digest)
}

/// The index of images and of what is said of them, byte for byte the same wherever it is written.
pub(crate) fn index_with(
    images: Vec<Descriptor>,
    attestations: &[Attestation],
) -> Result<ManifestBytes> {
    let said = attestations.iter().map(Attestation::listed);
    let index = index_of(images.into_iter().chain(said).collect());
    bytes_of(&index)
}

/// An index as it goes out.
pub(crate) fn bytes_of(index: &Index) -> Result<ManifestBytes> {
    let bytes = serde_json::to_vec_pretty(index).map_err(ImageError::json("an index"))?;
    Ok(ManifestBytes { bytes, media_type: index.media_type.clone() })
}

impl ImageStore {
    /// Says something of images that were built together, one for each platform: makes their manifests, the statements
    /// about them and the index of all, and keeps them as if the images had come with them. What was said of them before
    /// is forgotten. Returns the digest of the index.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`]; whatever the disk says.
    pub fn attest(&self, all: &[Said]) -> Result<Digest> {
        let mut made = Vec::new();
        let mut entries = Vec::new();
        let mut attestations = Vec::new();
        for said in all {
            let image = self.hold(&said.image.to_string())?;
            let (manifest, digest, _, _) = self.new_manifest(&image, &OCI)?;
            let size = manifest.bytes.len() as u64;
            let platform = Some(platform_of(&image));
            entries.push(Descriptor { platform, ..describe(&manifest.media_type, digest, size) });
            attestations.push(Attestation::new(digest, said)?);
            made.push((image, manifest));
        }
        let index = index_with(entries, &attestations)?;
        let digest = Digester::of(&index.bytes);
        let _changing = self.changing();
        let mut kept = Vec::new();
        let mut before = Vec::new();
        for ((image, manifest), attestation) in made.iter().zip(&attestations) {
            for known in self.manifests(&image.id) {
                before.extend(known.blobs());
            }
            let one =
                KeptManifest::keep(&self.content, Some(manifest.clone()), Some(index.clone()))?;
            let attestation = attestation.keep(&self.content)?;
            let one = one.map(|one| KeptManifest { attestation: Some(attestation), ..one });
            kept.push((image.id, one));
        }
        self.change_index(|index| {
            for (id, kept) in kept {
                index.forget_attestations(&id);
                index.add_manifest(&id, kept);
            }
        })?;
        for blob in before {
            self.remove_blob_if_unneeded(&blob)?;
        }
        Ok(digest)
    }

    /// Nothing is said of these images any more.
    ///
    /// # Errors
    /// A file cannot be written or removed.
    pub fn forget_attestations(&self, images: &[ImageId]) -> Result<()> {
        let is_attested =
            |id: &&ImageId| self.manifests(id).iter().any(|known| known.attestation.is_some());
        if !images.iter().any(|id| is_attested(&id)) {
            return Ok(());
        }
        let _changing = self.changing();
        let attested: Vec<&ImageId> = images.iter().filter(is_attested).collect();
        let before: Vec<Digest> = attested
            .iter()
            .flat_map(|id| self.manifests(id))
            .flat_map(|known| known.blobs().collect::<Vec<_>>())
            .collect();
        self.change_index(|index| attested.iter().for_each(|id| index.forget_attestations(id)))?;
        for blob in before {
            self.remove_blob_if_unneeded(&blob)?;
        }
        Ok(())
    }

    /// What is said of an image, with the manifest that it is said of.
    pub(crate) fn attestation(&self, id: &ImageId) -> Result<Option<Attestation>> {
        for kept in self.manifests(id) {
            let Some(attestation) = &kept.attestation else { continue };
            let manifest = self.content.read(&attestation.digest)?;
            let read = &mut |named: &Descriptor| {
                let digest: Digest =
                    named.digest.parse().map_err(|error: barge_types::DigestError| {
                        ImageError::archive(error.to_string())
                    })?;
                self.content.read(&digest)
            };
            return Attestation::read(kept.digest, manifest, read).map(Some);
        }
        Ok(None)
    }
}
