//! `repositories` alone: archives of Docker before 1.10, where an image is a chain of folders with
//! `json` and `layer.tar`.

use std::collections::BTreeMap;

use barge_oci::image::{ContainerConfig, History, ImageConfig};
use barge_types::{Digest, Reference};
use serde::Deserialize;

use super::archive::Archive;
use super::{Plan, PlannedConfig, PlannedLayer};
use crate::error::{ImageError, Result};

/// More layers than any driver stacks.
const LAYERS: usize = 512;

/// A layer's `json`.
#[derive(Deserialize)]
struct V1Image {
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    container_config: Option<ContainerConfig>,
    #[serde(default)]
    config: Option<ContainerConfig>,
}

pub(super) fn plan(archive: &Archive) -> Result<Vec<Plan>> {
    let text = archive.read("repositories", None)?;
    let repositories: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(&text).map_err(ImageError::json("repositories"))?;
    let mut names: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for (repository, tags) in repositories {
        for (tag, id) in tags {
            let reference = format!("{repository}:{tag}").parse()?;
            names.entry(id).or_default().push(reference);
        }
    }
    names.into_iter().map(|(id, references)| plan_image(archive, &id, references)).collect()
}

fn plan_image(archive: &Archive, id: &str, references: Vec<Reference>) -> Result<Plan> {
    let mut chain = Vec::new();
    let mut next = Some(id.to_owned());
    while let Some(id) = next {
        if Digest::from_hex(&id).is_err() {
            return Err(ImageError::archive(format!("image ID {id:?} is invalid")));
        }
        if chain.len() == LAYERS {
            return Err(ImageError::archive("its images have too many layers"));
        }
        let text = archive.read(&format!("{id}/json"), None)?;
        let image: V1Image =
            serde_json::from_slice(&text).map_err(ImageError::json(format!("{id}/json")))?;
        next = image.parent.clone().filter(|parent| !parent.is_empty());
        chain.push((id, image));
    }
    chain.reverse();
    let layers = chain
        .iter()
        .map(|(id, _)| PlannedLayer { entry: format!("{id}/layer.tar"), blob: None })
        .collect();
    let history = chain.iter().map(|(_, image)| step(image)).collect();
    let Some((_, top)) = chain.pop() else {
        return Err(ImageError::archive("an image has no layers"));
    };
    let config = ImageConfig {
        created: top.created,
        author: top.author,
        architecture: if top.architecture.is_empty() {
            "amd64".to_owned()
        } else {
            top.architecture
        },
        os: if top.os.is_empty() { "linux".to_owned() } else { top.os },
        comment: top.comment,
        config: top.config,
        history,
        ..ImageConfig::default()
    };
    let config = PlannedConfig::ToBeMade(Box::new(config));
    Ok(Plan { config, references, layers, manifest: None, index: None, said: None })
}

fn step(image: &V1Image) -> History {
    let command = image.container_config.as_ref().and_then(|config| config.cmd.as_ref());
    History {
        created: image.created.clone(),
        created_by: command.map(|words| words.join(" ")).unwrap_or_default(),
        author: image.author.clone(),
        comment: image.comment.clone(),
        ..History::default()
    }
}
