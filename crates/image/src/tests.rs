//! The store as a whole, on the `vfs` driver: images come in, go out and go away, and nothing is
//! left half done.

mod archives;
mod attested;
mod built;
mod crash;
mod exported;
mod import;
mod ingest;
mod load;
mod names;
mod oci;
mod properties;
mod remove;
mod save;
mod skopeo;
mod together;

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_storage::{MountOptions, StorageDriver};
use barge_types::{ImageId, Reference};

use super::*;
use crate::unpack::LayerStream;

/// A data root with a store.
struct Ground {
    root: tempfile::TempDir,
    driver: Arc<dyn StorageDriver>,
    store: Arc<ImageStore>,
}

fn ground() -> Ground {
    open(tempfile::tempdir().unwrap())
}

fn open(root: tempfile::TempDir) -> Ground {
    open_with(root, "vfs")
}

/// As a daemon opens its store.
fn open_with(root: tempfile::TempDir, driver: &str) -> Ground {
    let driver = barge_storage::open(root.path(), Some(driver)).unwrap();
    let store = Arc::new(ImageStore::open(root.path(), Arc::clone(&driver)).unwrap());
    driver.sweep(&store.layer_ids()).unwrap();
    store.sweep(&UnusedImages).unwrap();
    driver.flush();
    Ground { root, driver, store }
}

fn stream(bytes: Vec<u8>) -> LayerStream {
    Box::new(Cursor::new(bytes))
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

impl Ground {
    /// The daemon ends and starts again.
    fn reopen(self) -> Self {
        let Self { root, driver, store } = self;
        let name = driver.name();
        drop((store, driver));
        open_with(root, name)
    }

    fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>> {
        self.store.load(&mut &archive[..], &mut |_| {})
    }

    fn import(&self, layer: Vec<u8>, reference: &str) -> ImageId {
        self.store.import(stream(layer), Some(&name(reference)), &ImportOptions::default()).unwrap()
    }

    /// The text of a file of an image.
    fn text(&self, image: &str, path: &str) -> String {
        let image = self.store.get(image).unwrap();
        let top = image.top_layer.unwrap();
        let root = self.driver.mount(&top, &MountOptions::default()).unwrap();
        let text = fs::read_to_string(root.join(path)).unwrap();
        self.driver.unmount(&top).unwrap();
        text
    }

    /// Every file of the store and every layer of the driver.
    fn everything(&self) -> BTreeSet<String> {
        self.driver.flush();
        let mut found = BTreeSet::new();
        for folder in ["content", "image"] {
            files_below(self.root.path(), &self.root.path().join(folder), &mut found);
        }
        found.retain(|path| !path.ends_with("/reserve"));
        let layers = self.driver.list().unwrap();
        found.extend(layers.iter().map(|layer| format!("layer {layer}")));
        found
    }

    fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.store.list().iter().flat_map(Image::repo_tags).collect();
        tags.sort();
        tags
    }
}

fn files_below(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
}
