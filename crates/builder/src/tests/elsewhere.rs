//! Caches that are elsewhere: written by one daemon, read by another.

use super::workshop;
use std::collections::BTreeSet;
use std::path::Path;

use barge_archive::compression::{Compression, detect};

use crate::request::{CacheExport, CacheMode, CacheRemote};

const LINES: &str = "FROM busybox AS made\nRUN --mount=type=cache,target=/c echo in-mount >/c/f && echo a >/a\n\
                     FROM busybox\nRUN echo b >/b\nWORKDIR /w\nCOPY --from=made /a /\n";

fn to(folder: &Path, mode: CacheMode, compression: Compression) -> Vec<CacheExport> {
    vec![CacheExport { to: CacheRemote::Folder(folder.to_owned()), mode, compression }]
}

/// The formats of what a folder holds.
fn formats(folder: &Path) -> BTreeSet<&'static str> {
    let blobs = std::fs::read_dir(folder.join("blobs")).unwrap();
    blobs.map(|blob| detect(&std::fs::read(blob.unwrap().path()).unwrap()).name()).collect()
}

#[test]
fn the_mode_says_which_stages_and_the_compression_how() {
    let elsewhere = tempfile::tempdir().unwrap();
    let writer = workshop();
    let mut request = writer.request(LINES);
    for (compression, name) in [
        (Compression::Gzip, "gzip"),
        (Compression::Zstd, "zstd"),
        (Compression::None, Compression::None.name()),
    ] {
        let folder = elsewhere.path().join(name);
        request.cache.to = to(&folder, CacheMode::Max, compression);
        writer.image(&request);
        assert_eq!(formats(&folder), [name].into());
    }
    let folder = elsewhere.path().join("min");
    request.cache.to = to(&folder, CacheMode::Min, Compression::Zstd);
    writer.image(&request);
    drop(writer);
    for (name, runs) in [("gzip", 0), ("zstd", 0), ("min", 1)] {
        let reader = workshop();
        let mut request = reader.request(LINES);
        request.cache.from = vec![CacheRemote::Folder(elsewhere.path().join(name))];
        let image = reader.image(&request);
        assert_eq!(reader.runs(), runs, "{name}");
        assert_eq!(reader.text(&image, "b"), "b\n");
    }
}

#[test]
fn a_folder_carries_layers_and_cache_mounts_to_another_daemon() {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = CacheRemote::Folder(elsewhere.path().to_owned());
    let writer = workshop();
    let mut request = writer.request(LINES);
    request.cache.to = to(elsewhere.path(), CacheMode::Max, Compression::Gzip);
    let image = writer.image(&request);
    let diff_ids = writer.config(&image).rootfs.diff_ids;
    drop(writer);

    let reader = workshop();
    let mut request = reader.request(LINES);
    request.cache.from = vec![folder];
    let image = reader.image(&request);
    assert_eq!(reader.runs(), 0);
    assert_eq!(reader.config(&image).rootfs.diff_ids, diff_ids);
    assert_eq!(reader.text(&image, "a"), "a\n");
    // The mount comes when a step needs it.
    let mut request =
        reader.request("FROM busybox\nRUN --mount=type=cache,target=/c cat /c/f >/from-mount\n");
    request.cache.from = vec![CacheRemote::Folder(elsewhere.path().to_owned())];
    let image = reader.image(&request);
    assert_eq!(reader.text(&image, "from-mount"), "in-mount\n");
}

#[test]
fn what_is_damaged_is_made_anew() {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = CacheRemote::Folder(elsewhere.path().to_owned());
    let writer = workshop();
    let mut request = writer.request("FROM busybox\nRUN echo b >/b\n");
    request.cache.to = to(elsewhere.path(), CacheMode::Max, Compression::Gzip);
    writer.image(&request);
    drop(writer);
    for entry in std::fs::read_dir(elsewhere.path().join("blobs")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(path, bytes).unwrap();
    }
    let reader = workshop();
    let mut request = reader.request("FROM busybox\nRUN echo b >/b\n");
    request.cache.from = vec![folder];
    let image = reader.image(&request);
    assert_eq!(reader.runs(), 1);
    assert_eq!(reader.text(&image, "b"), "b\n");
}

#[test]
fn an_image_can_say_what_its_layers_were_made_from() {
    let workshop = workshop();
    let mut request = workshop.request("FROM busybox\nRUN echo b >/b\nRUN echo c >/c\n");
    request.cache.to = vec![CacheExport {
        to: CacheRemote::Inline,
        mode: CacheMode::Min,
        compression: Compression::None,
    }];
    request.tags = vec!["cached".parse().unwrap()];
    workshop.image(&request);
    assert_eq!(workshop.runs(), 2);
    let all = crate::PruneOptions { all: true, ..crate::PruneOptions::default() };
    assert_eq!(workshop.builder.prune(&all).unwrap().ids.len(), 2);
    request.cache.to.clear();
    request.tags.clear();
    request.cache.from = vec![CacheRemote::Image("cached".to_owned())];
    let image = workshop.image(&request);
    assert_eq!(workshop.runs(), 0);
    assert_eq!(workshop.text(&image, "c"), "c\n");
}
