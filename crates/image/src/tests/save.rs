//! What goes out comes in again as the same image.

use super::archives::{compressed, docker_save, docker_save_with, tar};
use super::*;
use barge_archive::compression::Compression;
use barge_archive::tar::{EntryKind, Reader};
use std::collections::BTreeMap;
use std::io::Read as _;

fn saved(ground: &Ground, names: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    ground.store.save(names).unwrap().write(&mut out).unwrap();
    out
}

fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut reader = Reader::new(archive);
    let mut found = BTreeMap::new();
    while let Some(mut entry) = reader.next_entry().unwrap() {
        let name = String::from_utf8(entry.header().path.clone()).unwrap();
        if entry.header().kind == EntryKind::Regular {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert!(found.insert(name, content).is_none(), "twice the same name");
        }
    }
    found
}

#[test]
fn an_image_comes_back_with_id_and_names_whatever_its_layers_came_as() {
    let (lower, upper) = (tar(&[("a", b"1")]), tar(&[("b", b"2"), (".wh.a", b"")]));
    let gzip = compressed(&upper, Compression::Gzip);
    let one = ground();
    let config = archives::config(&[&lower, &upper]);
    one.load(&docker_save_with(&[&lower, &gzip], &config, &["box:1", "box:2"])).unwrap();
    let archive = saved(&one, &["box:1", "box:2"]);
    let two = ground();
    let loaded = two.load(&archive).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].id, one.store.get("box:1").unwrap().id);
    assert_eq!(two.tags(), ["box:1", "box:2"]);
    assert_eq!(two.text("box:1", "b"), "2");
}

#[test]
fn the_oci_half_alone_is_the_same_image() {
    let layer = tar(&[("a", b"1")]);
    let one = ground();
    one.load(&docker_save(&[&layer], &["box:1"])).unwrap();
    let mut found = entries(&saved(&one, &["box:1"]));
    assert!(found.remove("manifest.json").is_some());
    assert!(found.remove("repositories").is_some());
    let files: Vec<(&str, &[u8])> = found.iter().map(|(n, c)| (n.as_str(), c.as_slice())).collect();
    let two = ground();
    let loaded = two.load(&tar(&files)).unwrap();
    assert_eq!(loaded[0].id, one.store.get("box:1").unwrap().id);
    assert_eq!(two.tags(), ["box:1"]);
}

#[test]
fn a_repository_saves_all_its_tags_and_an_id_none() {
    let ground = ground();
    let first = ground.import(tar(&[("a", b"1")]), "box:1");
    ground.import(tar(&[("a", b"2")]), "box:2");
    ground.import(tar(&[("a", b"3")]), "other:1");
    let two = super::ground();
    two.load(&saved(&ground, &["box"])).unwrap();
    assert_eq!(two.tags(), ["box:1", "box:2"]);
    let three = super::ground();
    three.load(&saved(&ground, &[&first.short()])).unwrap();
    assert!(three.tags().is_empty());
    assert_eq!(three.store.list().len(), 1);
}

#[test]
fn a_shared_layer_is_written_once_and_the_same_image_gives_the_same_bytes() {
    let (lower, upper) = (tar(&[("a", b"1")]), tar(&[("b", b"2")]));
    let ground = ground();
    ground.load(&docker_save(&[&lower], &["base:1"])).unwrap();
    ground.load(&docker_save(&[&lower, &upper], &["box:1"])).unwrap();
    let archive = saved(&ground, &["base:1", "box:1"]);
    let blobs = entries(&archive).keys().filter(|name| name.starts_with("blobs/")).count();
    assert_eq!(blobs, 2 + 2 + 2);
    assert_eq!(saved(&ground, &["base:1", "box:1"]), archive);
}

#[test]
fn a_wrong_name_is_told_before_the_first_byte() {
    let ground = ground();
    ground.import(tar(&[("a", b"1")]), "box:1");
    let error = ground.store.save(&["box:1", "none"]).unwrap_err();
    assert_eq!(error.to_string(), "No such image: none:latest");
}

#[test]
fn a_damaged_blob_is_noticed() {
    let ground = ground();
    ground.import(compressed(&tar(&[("a", b"1")]), Compression::Gzip), "box:1");
    let layer = ground.store.get("box:1").unwrap().chain_ids[0];
    let blob = ground.store.layer(&layer).unwrap().blob.unwrap().digest;
    let path = ground.root.path().join("content/blobs/sha256").join(blob.hex());
    fs::write(&path, compressed(&tar(&[("a", b"2")]), Compression::Gzip)).unwrap();
    let error = ground.store.save(&["box:1"]).unwrap().write(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, ImageError::WrongDigest { .. }), "{error}");
}
