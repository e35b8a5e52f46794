//! What is said of a build's results: of images in their index, of files in a document beside them.

use std::fs::File;

use barge_image::{Predicate, Said, statement};
use barge_types::{ImageId, Platform, Reference};

use super::Running;
use super::graph::Graph;
use super::platform_files::{Joiner, Split};
use super::state::StageState;
use crate::error::{BuildError, Result};
use crate::provenance::{Document, Evidence, Facts, Material, ProvenanceOptions, package_url};
use crate::request::{Output, OutputKind};

/// What the stages came to, for each platform, and what they were made from.
#[derive(Clone, Copy)]
pub(crate) struct Results<'a> {
    pub(crate) states: &'a [StageState],
    pub(crate) evidence: &'a [Evidence],
}

impl Graph<'_> {
    /// Remembers an image that something is made from.
    pub(super) fn note_image(&self, name: &str, image: &barge_image::Held) {
        // By what a registry knows it by; one that is only here is known by its configuration.
        let images = &self.running.shop.parts.images;
        let kept = images.manifests(&image.id).into_iter().next();
        let digest = kept.map(|kept| kept.index.map_or(kept.digest, |index| index.digest));
        let digest = digest.unwrap_or_else(|| image.id.digest());
        let platform = image_platform(image);
        let uri = match name.parse::<Reference>() {
            Ok(reference) if image.references.contains(&reference) => {
                package_url(&reference, &platform)
            }
            // By its id, or from a layout.
            Ok(_) | Err(_) => format!("pkg:oci/_@{digest}"),
        };
        let digest =
            name.parse::<Reference>().ok().and_then(|name| name.digest()).unwrap_or(digest);
        self.note(|evidence| evidence.materials.insert(Material::image(uri, &digest)));
    }
}

fn image_platform(image: &barge_image::Held) -> Platform {
    let mut text = format!("{}/{}", image.config.os, image.config.architecture);
    if !image.config.variant.is_empty() {
        text = format!("{text}/{}", image.config.variant);
    }
    text.parse().unwrap_or_else(|_| Platform::host())
}

impl Running<'_> {
    /// What is said of an image.
    fn predicates(&self, evidence: &Evidence) -> Vec<Predicate> {
        let found = evidence.documents.iter().map(|document| document.predicate.clone());
        let provenance = self.request.provenance.iter();
        found.chain(provenance.map(|options| self.provenance(options, evidence))).collect()
    }

    /// What is said of files, in a document each.
    fn documents(&self, evidence: &Evidence) -> Vec<Document> {
        let provenance = self.request.provenance.iter();
        let beside = provenance.filter(|options| !options.is_inline_only);
        let provenance = beside.map(|options| Document {
            name: options.filename.clone(),
            predicate: self.provenance(options, evidence),
        });
        evidence.documents.iter().cloned().chain(provenance).collect()
    }

    fn provenance(&self, options: &ProvenanceOptions, evidence: &Evidence) -> Predicate {
        let (started, finished, invocation) = match self.epoch() {
            Some(_) => (self.created(), self.created(), None),
            None => (self.started.to_string(), self.created(), Some(self.place.id.as_str())),
        };
        let facts = Facts {
            request: self.request,
            options,
            evidence,
            dockerfile: &self.source.text,
            invocation,
            times: (started, finished),
        };
        facts.predicate()
    }

    /// Whether anything is to be said of images.
    pub(super) fn is_attested(&self) -> bool {
        self.request.provenance.is_some() || self.request.sbom.is_some()
    }

    /// Says of the images, one for each platform, what is to be said.
    pub(super) fn attest(&self, images: &[ImageId], results: Results<'_>) -> Result<()> {
        let mut all = Vec::new();
        for (number, (image, evidence)) in images.iter().zip(results.evidence).enumerate() {
            let platform = self.platform(number);
            let names = self.all_names();
            let subjects = names.iter().map(|name| package_url(name, &platform)).collect();
            all.push(Said { image: *image, subjects, predicates: self.predicates(evidence) });
        }
        let images = &self.shop.parts.images;
        images.attest(&all).map(drop).map_err(BuildError::image("say how the image was built"))
    }

    /// Nothing is said of the images, although an earlier build of the same had something to say.
    pub(super) fn forget_attestations(&self, images: &[ImageId]) -> Result<()> {
        let store = &self.shop.parts.images;
        store
            .forget_attestations(images)
            .map_err(BuildError::image("forget what was said of an image"))
    }

    /// The platform with this number.
    pub(super) fn platform(&self, number: usize) -> Platform {
        self.request.platforms.get(number).cloned().unwrap_or_else(Platform::host)
    }

    /// The names of the build and of its outputs.
    fn all_names(&self) -> Vec<Reference> {
        let mut names = self.request.tags.clone();
        names.extend(self.request.outputs.iter().flat_map(|output| output.names.iter().cloned()));
        names.sort();
        names.dedup();
        names
    }

    /// Whether anything is to be said beside files.
    pub(super) fn is_attested_beside(&self) -> bool {
        let provenance = self.request.provenance.as_ref();
        self.request.sbom.is_some() || provenance.is_some_and(|options| !options.is_inline_only)
    }

    /// Adds the files of a platform, and what is said of them.
    pub(super) fn join<W: std::io::Write>(
        &self,
        joiner: &mut Joiner<W>,
        (number, archive): (usize, File),
        results: Results<'_>,
    ) -> Result<()> {
        let platform = self.platform(number);
        let subjects = joiner.add(&platform, archive)?;
        let Some(evidence) = results.evidence.get(number) else { return Ok(()) };
        for Document { name, predicate } in self.documents(evidence) {
            let text = statement(&predicate, subjects.clone())
                .map_err(BuildError::image("say how files were made"))?;
            let name = match joiner.split() {
                Split::Together if results.states.len() > 1 => with_platform(&name, &platform),
                Split::Together | Split::Folders => name,
            };
            joiner.document((&platform, &name), &text, self.epoch())?;
        }
        Ok(())
    }
}

/// `provenance.linux_amd64.json`.
fn with_platform(name: &str, platform: &Platform) -> String {
    let platform = platform.to_string().replace('/', "_");
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.{platform}.{extension}"),
        None => format!("{name}.{platform}"),
    }
}

/// Whether an output's form has no place for what is said of it.
pub(crate) fn is_silent(output: &Output) -> bool {
    output.kind == OutputKind::Docker
}
