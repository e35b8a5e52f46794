//! Caches that are elsewhere: written by one daemon, read by another.

use super::workshop;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use barge_archive::compression::{Compression, detect};

use crate::request::{CacheExport, CacheMode, CacheRemote};

const LINES: &str = "FROM busybox AS made\nRUN --mount=type=cache,target=/c echo in-mount >/c/f && echo a >/a\n\
                     FROM busybox\nRUN echo b >/b\nWORKDIR /w\nCOPY --from=made /a /\n";

fn to(folder: &Path, mode: CacheMode, compression: Compression) -> Vec<CacheExport> {
    let to = CacheRemote::Folder(folder.to_owned());
    vec![CacheExport { to, mode, compression, ignores_errors: false }]
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

/// What was written when: the archives with their inodes, which a file that is written anew has not.
fn archives(folder: &Path) -> BTreeMap<String, u64> {
    let blobs = std::fs::read_dir(folder.join("blobs")).unwrap();
    let blobs = blobs.map(|blob| {
        let blob = blob.unwrap();
        (blob.file_name().into_string().unwrap(), blob.metadata().unwrap().ino())
    });
    blobs.collect()
}

#[test]
fn what_is_in_a_folder_already_is_not_packed_again() {
    const ONE: &str = "FROM busybox\nRUN echo b >/b\n";
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path();
    let writer = workshop();
    let mut request = writer.request(ONE);
    request.cache.to = to(folder, CacheMode::Max, Compression::Gzip);
    writer.image(&request);
    let first = archives(folder);
    assert_eq!(first.len(), 1);
    writer.image(&request);
    assert_eq!(archives(folder), first);
    drop(writer);
    // By a daemon that has it from there, neither.
    let reader = workshop();
    let mut request = reader.request(&format!("{ONE}RUN echo c >/c\n"));
    request.cache.from = vec![CacheRemote::Folder(folder.to_owned())];
    request.cache.to = to(folder, CacheMode::Max, Compression::Gzip);
    reader.image(&request);
    let second = archives(folder);
    assert_eq!(second.len(), 2);
    assert!(first.iter().all(|(name, inode)| second.get(name) == Some(inode)));
    // What is not whole is.
    for name in second.keys() {
        let file = std::fs::File::options().write(true).open(folder.join("blobs").join(name));
        file.unwrap().set_len(20).unwrap();
    }
    request.cache.from.clear();
    reader.image(&request);
    let third = archives(folder);
    assert!(third.iter().all(|(name, inode)| second.get(name).is_some_and(|old| old != inode)));
    // And what was packed otherwise.
    request.cache.to = to(folder, CacheMode::Max, Compression::Zstd);
    reader.image(&request);
    assert_eq!(formats(folder), ["zstd"].into());
}

/// The file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if entry.file_name() == name { Some(path) } else { find(&path, name) }
    })
}

#[test]
fn the_archive_that_an_image_has_is_the_caches_too() {
    let elsewhere = tempfile::tempdir().unwrap();
    let workshop = workshop();
    let mut request = workshop.request("FROM busybox\nRUN echo b >/b\n");
    let image = workshop.image(&request);
    let options = barge_image::ExportOptions {
        compression: barge_image::LayerCompression::Gzip,
        ..barge_image::ExportOptions::default()
    };
    workshop.images.export(&[image], &options).unwrap();
    let packed = workshop.images.layers().into_iter().filter_map(|layer| layer.blob);
    let packed: BTreeSet<String> = packed.map(|blob| blob.digest.hex()).collect();
    request.cache.to = to(elsewhere.path(), CacheMode::Max, Compression::Gzip);
    workshop.image(&request);
    let written: BTreeSet<String> = archives(elsewhere.path()).into_keys().collect();
    assert_eq!(written.len(), 1);
    assert!(written.is_subset(&packed), "{written:?} {packed:?}");
    // One that is damaged in the store is made anew.
    let name = written.first().unwrap();
    let blob = find(workshop.root.path(), name).unwrap();
    std::fs::write(blob, b"\x1f\x8b\x08 damaged").unwrap();
    std::fs::remove_file(elsewhere.path().join("blobs").join(name)).unwrap();
    workshop.image(&request);
    drop(workshop);
    let reader = super::workshop();
    request.cache.from = vec![CacheRemote::Folder(elsewhere.path().to_owned())];
    request.cache.to.clear();
    reader.image(&request);
    assert_eq!(reader.runs(), 0);
}

#[test]
fn a_damaged_cache_mount_begins_empty_and_the_build_says_so() {
    const MOUNT: &str =
        "FROM busybox\nRUN --mount=type=cache,target=/c ls /c >/had && echo in-mount >/c/f\n";
    let elsewhere = tempfile::tempdir().unwrap();
    let writer = workshop();
    let mut request = writer.request(MOUNT);
    request.cache.to = to(elsewhere.path(), CacheMode::Max, Compression::None);
    writer.image(&request);
    drop(writer);
    for name in archives(elsewhere.path()).keys() {
        let path = elsewhere.path().join("blobs").join(name);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(path, [&text[..text.len() - 512], &[1; 512]].concat()).unwrap();
    }
    let reader = workshop();
    let mut request = reader.request(MOUNT);
    request.cache.from = vec![CacheRemote::Folder(elsewhere.path().to_owned())];
    let image = reader.image(&request);
    assert_eq!(reader.text(&image, "had"), "");
    let said = reader.events.output();
    assert!(said.contains("WARNING: cannot fill a cache mount"), "{said}");
}

#[test]
fn a_folder_without_a_cache_is_told_and_the_build_goes_on() {
    let elsewhere = tempfile::tempdir().unwrap();
    let index = elsewhere.path().join("barge-cache.json");
    for (text, because) in [
        (None, "there is no barge-cache.json in it"),
        (Some("{"), "its barge-cache.json is damaged"),
        (Some(r#"{"version":9,"layers":[],"mounts":[]}"#), "its form is 9"),
    ] {
        if let Some(text) = text {
            std::fs::write(&index, text).unwrap();
        }
        let reader = workshop();
        let mut request = reader.request("FROM busybox\nRUN echo b >/b\n");
        request.cache.from = vec![CacheRemote::Folder(elsewhere.path().to_owned())];
        reader.image(&request);
        let said = reader.events.output();
        assert!(said.contains(because), "{said}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_can_be_a_warning() {
    let elsewhere = tempfile::tempdir().unwrap();
    let workshop = workshop();
    let mut request = workshop.request("FROM busybox\nRUN echo b >/b\n");
    std::fs::write(elsewhere.path().join("blobs"), "a file").unwrap();
    request.cache.to = to(elsewhere.path(), CacheMode::Max, Compression::Gzip);
    workshop.build(&request).unwrap_err();
    request.cache.to[0].ignores_errors = true;
    workshop.image(&request);
    let said = workshop.events.output();
    assert!(said.contains("WARNING: cannot create "), "{said}");
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
        ignores_errors: false,
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
