//! Arbitrary bytes never panic and never leave anything.

use super::archives::{compressed, docker_save, tar};
use super::*;
use barge_archive::compression::Compression;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

fn whole() -> Vec<u8> {
    docker_save(&[&tar(&[("a", b"1"), ("b", &[9; 700])])], &["box:1"])
}

/// Runs a check on many values with one store: what one case leaves the next one would trip over.
fn for_all<S: Strategy>(strategy: &S, check: impl Fn(&Ground, S::Value)) {
    let ground = ground();
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let run = |value| {
        check(&ground, value);
        Ok(())
    };
    TestRunner::new(config).run(strategy, run).unwrap();
}

/// Loads and imports; what is taken is removed again.
fn feed(ground: &Ground, bytes: &[u8]) {
    let store = &ground.store;
    if let Ok(loaded) = ground.load(bytes) {
        for image in loaded {
            // Two images of one archive may be the same.
            store.remove(&image.id.to_string(), Removal::Force, &UnusedImages).ok();
        }
    }
    if let Ok(id) = store.import(stream(bytes.to_vec()), None, &ImportOptions::default()) {
        store.remove(&id.to_string(), Removal::Force, &UnusedImages).unwrap();
    }
    assert!(store.list().is_empty());
    let mut left = ground.everything();
    left.remove("image/vfs/index.json");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn any_bytes() {
    for_all(&prop::collection::vec(any::<u8>(), 0..2000), |ground, bytes| feed(ground, &bytes));
}

#[test]
fn a_whole_archive_with_some_bytes_changed() {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 1..6);
    for_all(&changes, |ground, changes| {
        let mut bytes = whole();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        feed(ground, &bytes);
    });
}

#[test]
fn a_compressed_archive_cut_anywhere() {
    for format in [Compression::Gzip, Compression::Zstd] {
        for_all(&any::<Index>(), |ground, at| {
            let bytes = compressed(&whole(), format);
            feed(ground, &bytes[..at.index(bytes.len())]);
        });
    }
}

#[test]
fn any_documents_in_an_archive() {
    for document in ["manifest.json", "index.json", "repositories"] {
        for_all(&".{0,200}", |ground, text| {
            feed(ground, &tar(&[(document, text.as_bytes())]));
        });
    }
}

#[test]
fn any_changes() {
    let line = "(ENV|LABEL|EXPOSE|CMD|HEALTHCHECK|VOLUME|WORKDIR|ONBUILD|USER) .{0,40}";
    for_all(&prop::collection::vec(line, 1..4), |_, lines| {
        let mut config = barge_oci::image::ContainerConfig::default();
        apply_changes(&mut config, &lines).ok();
    });
}
