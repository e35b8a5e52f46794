//! What `save` wrote, of Docker before and after 25 and of ours.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::facts::Facts;
use crate::files::{self, Files};
use crate::tar;

/// The images of an archive by their names, as facts.
pub(crate) fn images(archive: &[u8]) -> BTreeMap<String, Facts> {
    let entries = tar::entries(archive);
    let mut blobs: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.kind == b'0') {
        blobs.insert(&entry.path, &entry.content);
    }
    // Docker writes a layer that two images have as a link from one's folder to the other's.
    for entry in entries.iter().filter(|entry| entry.kind == b'2') {
        let target = entry.link.strip_prefix(b"../").unwrap_or(&entry.link);
        blobs.insert(&entry.path, blobs[target]);
    }
    let json = |path: &str| -> Value { serde_json::from_slice(blobs[path.as_bytes()]).unwrap() };
    let mut merged: BTreeMap<Vec<String>, Files> = BTreeMap::new();
    let mut images = BTreeMap::new();
    for image in json("manifest.json").as_array().unwrap() {
        let config = json(image["Config"].as_str().unwrap());
        let diff_ids: Vec<String> =
            serde_json::from_value(config["rootfs"]["diff_ids"].clone()).unwrap_or_default();
        let paths = image["Layers"].as_array().cloned().unwrap_or_default();
        let mut files = Files::new();
        for (number, path) in paths.iter().enumerate() {
            let chain = diff_ids[..=number].to_vec();
            files = merged
                .entry(chain)
                .or_insert_with(|| {
                    files::add_layer(&mut files, blobs[path.as_str().unwrap().as_bytes()]);
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
