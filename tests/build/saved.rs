//! Images in archives: what `save` writes, of Docker before and after 25 and of ours, and what `--output` makes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::facts::Facts;
use crate::files::{self, Files};
use crate::tar::{self, Entry};

/// An archive's files by their paths.
struct Blobs<'a>(BTreeMap<&'a [u8], &'a [u8]>);

impl<'a> Blobs<'a> {
    fn of(entries: &'a [Entry<'a>]) -> Self {
        let mut blobs: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.kind == b'0') {
            blobs.insert(&entry.path, &entry.content);
        }
        // Docker writes a layer that two images have as a link from one's folder to the other's.
        for entry in entries.iter().filter(|entry| entry.kind == b'2') {
            let target = entry.link.strip_prefix(b"../").unwrap_or(&entry.link);
            blobs.insert(&entry.path, blobs[target]);
        }
        Self(blobs)
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(self.0[path.as_bytes()]).unwrap()
    }

    /// What an OCI descriptor points at.
    fn described(&self, descriptor: &Value) -> Value {
        self.json(&path_of(descriptor))
    }
}

fn path_of(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
}

/// The images of an archive by their names, as facts.
pub(crate) fn images(archive: &[u8]) -> BTreeMap<String, Facts> {
    let entries = tar::entries(archive);
    let blobs = Blobs::of(&entries);
    let mut merged: BTreeMap<Vec<String>, Files> = BTreeMap::new();
    let mut images = BTreeMap::new();
    for image in blobs.json("manifest.json").as_array().unwrap() {
        let config = blobs.json(image["Config"].as_str().unwrap());
        let diff_ids: Vec<String> =
            serde_json::from_value(config["rootfs"]["diff_ids"].clone()).unwrap_or_default();
        let mut files = Files::new();
        for (number, path) in image["Layers"].as_array().into_iter().flatten().enumerate() {
            let chain = diff_ids[..=number].to_vec();
            files = merged
                .entry(chain)
                .or_insert_with(|| {
                    files::add_layer(&mut files, blobs.0[path.as_str().unwrap().as_bytes()]);
                    files
                })
                .clone();
        }
        for name in image["RepoTags"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap().trim_end_matches(":latest").to_owned();
            images.insert(name, Facts::of_image(&config, &files));
        }
    }
    images
}

/// The image of an archive that has one and needs no name: by `index.json` where there is one.
pub(crate) fn lone_image(archive: &[u8]) -> Facts {
    let entries = tar::entries(archive);
    let blobs = Blobs::of(&entries);
    let mut files = Files::new();
    let config = if blobs.0.contains_key(&b"index.json"[..]) {
        let manifest = blobs.described(&blobs.json("index.json")["manifests"][0]);
        for layer in manifest["layers"].as_array().unwrap() {
            files::add_layer(&mut files, blobs.0[path_of(layer).as_bytes()]);
        }
        blobs.described(&manifest["config"])
    } else {
        let image = &blobs.json("manifest.json")[0];
        for layer in image["Layers"].as_array().unwrap() {
            files::add_layer(&mut files, blobs.0[layer.as_str().unwrap().as_bytes()]);
        }
        blobs.json(image["Config"].as_str().unwrap())
    };
    Facts::of_image(&config, &files)
}
