//! A build context is received, and what came of it is chosen, copied and unpacked.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use barge_builder::files::{Archives, Placement, Received, TransferRequest, Tree, receive_context};

/// Receives `data` beside a folder that nothing may reach; panics when a promise is broken.
pub fn check(data: &[u8]) {
    let place = tempfile::tempdir().expect("a folder");
    let (context, layer) = (place.path().join("context"), place.path().join("layer"));
    let outside = place.path().join("outside");
    for folder in [&context, &layer, &outside] {
        fs::create_dir(folder).expect("a folder");
    }
    fs::write(outside.join("word"), "secret").expect("a file");
    let before = fs::metadata(outside.join("word")).expect("the file");
    match receive_context(&mut &*data, &context) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(count(&context), 0, "something is left after {error}");
        }
        Ok(Received::Dockerfile) => {
            assert_eq!(count(&context), 1);
            let text = fs::read(context.join("Dockerfile")).expect("the Dockerfile");
            if let Ok(text) = String::from_utf8(text) {
                // Right or wrong, it is read.
                barge_dockerfile::parse("Dockerfile", &text).ok();
            }
        }
        Ok(Received::Archive) => {
            look(&context, 0);
            copy(&context, &layer);
            look(&layer, 0);
        }
    }
    let after = fs::metadata(outside.join("word")).expect("the file is still there");
    assert_eq!((after.mode(), after.nlink(), after.mtime()), (before.mode(), 1, before.mtime()));
    assert_eq!(fs::read(outside.join("word")).expect("the file"), b"secret");
    assert_eq!(count(&outside), 1, "something was put outside");
    assert_eq!(count(place.path()), 3, "something was made outside");
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

/// No devices, and nothing deeper than any path.
fn look(folder: &Path, depth: u32) {
    assert!(depth < 4096, "deeper than any path");
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("its kind");
        assert!(!kind.is_block_device() && !kind.is_char_device(), "a device: {entry:?}");
        if kind.is_dir() {
            look(&entry.path(), depth + 1);
        }
    }
}

/// As `ADD . /to/` does; what is chosen twice is the same twice.
fn copy(context: &Path, layer: &Path) {
    let Ok(tree) = Tree::made(context, "the build context") else {
        return;
    };
    let sources = ["/".to_owned()];
    let request = TransferRequest { sources: &sources, ..TransferRequest::default() };
    let Ok(selection) = tree.select(&request) else {
        return;
    };
    let Ok(digest) = selection.digest() else {
        return;
    };
    for archives in [Archives::Copied, Archives::Unpacked] {
        let placement = Placement { destination: "/to/", archives, ..Placement::default() };
        // Refused or copied: both are fine.
        selection.copy(layer, &placement).ok();
    }
    assert_eq!(selection.digest().expect("what was read before"), digest);
}
