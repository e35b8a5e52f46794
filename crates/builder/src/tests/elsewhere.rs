//! Caches that are elsewhere: written by one daemon, read by another.

use super::workshop;
use crate::request::CacheRemote;

const LINES: &str = "FROM busybox AS made\nRUN --mount=type=cache,target=/c echo in-mount >/c/f && echo a >/a\n\
                     FROM busybox\nRUN echo b >/b\nWORKDIR /w\nCOPY --from=made /a /\n";

#[test]
fn a_folder_carries_layers_and_cache_mounts_to_another_daemon() {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = CacheRemote::Folder(elsewhere.path().to_owned());
    let writer = workshop();
    let mut request = writer.request(LINES);
    request.cache.to = vec![folder.clone()];
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
    request.cache.to = vec![folder.clone()];
    writer.image(&request);
    drop(writer);
    for entry in std::fs::read_dir(elsewhere.path().join("blobs")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(2).rposition(|two| two == b"b\n").unwrap();
        bytes[at] = b'X';
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
    request.cache.to = vec![CacheRemote::Inline];
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
