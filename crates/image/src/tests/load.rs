//! Archives of Docker: `manifest.json`, and what came before.

use super::archives::*;
use super::*;
use barge_archive::Digester;
use barge_archive::compression::Compression;
use barge_archive::tar::{EntryKind, Header, Writer};
use serde_json::json;

fn two_layers() -> (Vec<u8>, Vec<u8>) {
    (tar(&[("a", b"1"), ("b", b"1")]), tar(&[("b", b"2"), (".wh.a", b"")]))
}

fn refused(archive: &[u8]) -> String {
    let ground = ground();
    let before = ground.everything();
    let error = ground.load(archive).unwrap_err();
    assert_eq!(ground.everything(), before);
    assert!(ground.store.list().is_empty());
    error.to_string()
}

#[test]
fn an_archive_of_docker_save_becomes_an_image() {
    let (lower, upper) = two_layers();
    let ground = ground();
    let archive = docker_save(&[&lower, &upper], &["box:1", "registry.example/box:2"]);
    let loaded = ground.load(&archive).unwrap();
    let bytes = config(&[&lower, &upper]);
    assert_eq!(loaded[0].id.digest(), Digester::of(&bytes));
    assert_eq!(loaded[0].references, [name("box:1"), name("registry.example/box:2")]);
    assert_eq!(ground.store.config_bytes(&loaded[0].id).unwrap(), bytes);
    assert_eq!(ground.text("box:1", "b"), "2");
    let image = ground.store.get("registry.example/box:2").unwrap();
    assert_eq!(image.chain_ids[1], chain_id(Some(&Digester::of(&lower)), &Digester::of(&upper)));
    assert_eq!(image.created(), Some("2024-05-06T07:08:09Z"));
}

#[test]
fn the_whole_may_be_compressed_and_so_may_layers() {
    let (lower, upper) = two_layers();
    let (gzip, zstd) =
        (compressed(&lower, Compression::Gzip), compressed(&upper, Compression::Zstd));
    let archive = docker_save_with(&[&gzip, &zstd], &config(&[&lower, &upper]), &["box:1"]);
    for format in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let ground = ground();
        ground.load(&compressed(&archive, format)).unwrap();
        assert_eq!(ground.text("box:1", "b"), "2");
    }
}

#[test]
fn layers_that_are_there_are_not_unpacked_again() {
    let (lower, upper) = two_layers();
    let ground = ground();
    ground.load(&docker_save(&[&lower], &["base:1"])).unwrap();
    let mut told = Vec::new();
    let archive = docker_save(&[&lower, &upper], &["box:1"]);
    ground.store.load(&mut &archive[..], &mut |progress| told.push(progress)).unwrap();
    assert_eq!(told[0], LoadProgress::Exists { diff_id: Digester::of(&lower) });
    let total = upper.len() as u64;
    let unpacking =
        LoadProgress::Unpacking { diff_id: Some(Digester::of(&upper)), current: total, total };
    assert_eq!(told[1..], [unpacking]);
    assert_eq!(ground.driver.list().unwrap().len(), 2);
}

#[test]
fn a_tag_moves_and_the_old_image_stays_without_a_name() {
    let (lower, upper) = two_layers();
    let ground = ground();
    let old = ground.load(&docker_save(&[&lower], &["box:1"])).unwrap()[0].id;
    let loaded = ground.load(&docker_save(&[&upper], &["box:1"])).unwrap();
    assert_eq!(loaded[0].displaced, [(name("box:1"), old)]);
    assert!(ground.store.get(&old.to_string()).unwrap().references.is_empty());
    assert_eq!(ground.store.get("box:1").unwrap().id, loaded[0].id);
}

#[test]
fn an_image_without_layers_or_tags_loads() {
    let ground = ground();
    let loaded = ground.load(&docker_save(&[], &[])).unwrap();
    let image = ground.store.get(&loaded[0].id.to_string()).unwrap();
    assert_eq!(image.top_layer, None);
    assert!(ground.store.hold(&loaded[0].id.to_string()).is_ok());
}

#[test]
fn layers_may_be_links_to_each_other() {
    let layer = tar(&[("a", b"x")]);
    let bytes = config(&[&layer, &layer, &layer]);
    let mut archive = Writer::new(Vec::new());
    file(&mut archive, "one/layer.tar", &layer);
    link(&mut archive, "two/layer.tar", EntryKind::Symlink, "../one/layer.tar");
    link(&mut archive, "three/layer.tar", EntryKind::HardLink, "two/layer.tar");
    file(&mut archive, "config.json", &bytes);
    let layers = ["one/layer.tar", "two/layer.tar", "three/layer.tar"];
    let manifest = json!([{"Config": "config.json", "RepoTags": null, "Layers": layers}]);
    file(&mut archive, "./manifest.json", manifest.to_string().as_bytes());
    let ground = ground();
    let loaded = ground.load(&archive.finish().unwrap()).unwrap();
    let image = ground.store.get(&loaded[0].id.to_string()).unwrap();
    assert_eq!(image.chain_ids.len(), 3);
}

#[test]
fn archives_from_before_manifests_load() {
    let (lower, upper) = two_layers();
    let (base, top) = ("a".repeat(64), "b".repeat(64));
    let mut archive = Writer::new(Vec::new());
    let v1 = json!({"id": base, "created": "2014-01-01T00:00:00Z", "container_config": {"Cmd": ["/bin/sh", "-c", "x"]}});
    file(&mut archive, &format!("{base}/json"), v1.to_string().as_bytes());
    file(&mut archive, &format!("{base}/layer.tar"), &lower);
    let v1 = json!({"id": top, "parent": base, "os": "linux", "architecture": "amd64", "config": {"Cmd": ["run"]}});
    file(&mut archive, &format!("{top}/json"), v1.to_string().as_bytes());
    file(&mut archive, &format!("{top}/layer.tar"), &upper);
    file(&mut archive, "repositories", json!({"old/box": {"1.0": top}}).to_string().as_bytes());
    let ground = ground();
    ground.load(&archive.finish().unwrap()).unwrap();
    let image = ground.store.get("old/box:1.0").unwrap();
    assert_eq!(image.diff_ids, [Digester::of(&lower), Digester::of(&upper)]);
    assert_eq!(image.config.config.as_ref().unwrap().cmd.as_ref().unwrap(), &["run"]);
    assert_eq!(image.config.history[0].created_by, "/bin/sh -c x");
    assert_eq!(ground.text("old/box:1.0", "b"), "2");
}

#[test]
fn wrong_digests_are_refused_with_dockers_text() {
    let (lower, upper) = two_layers();
    let archive = docker_save_with(&[&lower, &upper], &config(&[&lower, &lower]), &["box:1"]);
    let text = refused(&archive);
    let (expected, got) = (Digester::of(&lower), Digester::of(&upper));
    assert_eq!(text, format!("invalid diffID for layer 1: expected \"{expected}\", got \"{got}\""));

    let mut archive = Writer::new(Vec::new());
    let config_name = format!("{}.json", "0".repeat(64));
    file(&mut archive, &config_name, &config(&[]));
    let manifest = json!([{"Config": config_name, "Layers": []}]);
    file(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    assert!(refused(&archive.finish().unwrap()).starts_with("wrong digest of 0000"));
}

#[test]
fn numbers_of_layers_must_agree() {
    let (lower, upper) = two_layers();
    let archive = docker_save_with(&[&lower, &upper], &config(&[&lower]), &["box:1"]);
    let text = refused(&archive);
    assert!(text.contains("layers length mismatch: expected 1, got 2"), "{text}");
}

#[test]
fn a_fault_in_the_second_image_leaves_nothing_of_the_first() {
    let (lower, upper) = two_layers();
    let mut archive = Writer::new(Vec::new());
    file(&mut archive, "lower.tar", &lower);
    file(&mut archive, "upper.tar", &upper);
    file(&mut archive, "good.json", &config(&[&lower]));
    file(&mut archive, "bad.json", &config(&[&lower, &lower]));
    let manifest = json!([
        {"Config": "good.json", "RepoTags": ["good:1"], "Layers": ["lower.tar"]},
        {"Config": "bad.json", "RepoTags": ["bad:1"], "Layers": ["lower.tar", "upper.tar"]}
    ]);
    file(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    refused(&archive.finish().unwrap());
}

#[test]
fn broken_archives_are_refused_and_leave_nothing() {
    let (lower, upper) = two_layers();
    let whole = docker_save(&[&lower, &upper], &["box:1"]);
    refused(b"");
    refused(b"no archive at all, but long enough to be looked at");
    refused(&tar(&[("readme", b"x")]));
    refused(&tar(&[("manifest.json", b"{")]));
    refused(&tar(&[("manifest.json", b"[]")]));
    let missing = json!([{"Config": "none.json", "Layers": []}]).to_string();
    assert!(
        refused(&tar(&[("manifest.json", missing.as_bytes())])).contains("none.json is not in it")
    );
    let packed = compressed(&whole, Compression::Gzip);
    refused(&packed[..packed.len() / 2]);
    for at in [600, whole.len() / 2, whole.len() - 5000] {
        refused(&whole[..at]);
    }
    let untagged = docker_save(&[&lower], &["box"]);
    assert!(refused(&untagged).contains("invalid tag \"box\""));
    refused(&docker_save(&[&lower], &["UPPER:1"]));
    refused(&docker_save(&[b"not a layer"], &["box:1"]));
    refused(&docker_save(&[&tar(&[("../../escape", b"x")])], &["box:1"]));
}

#[test]
fn tricks_of_the_outer_archive_are_refused() {
    let trick = |make: &dyn Fn(&mut Writer<Vec<u8>>)| {
        let mut archive = Writer::new(Vec::new());
        make(&mut archive);
        let manifest = json!([{"Config": "c.json", "Layers": []}]);
        file(&mut archive, "manifest.json", manifest.to_string().as_bytes());
        refused(&archive.finish().unwrap())
    };
    trick(&|archive| file(archive, "../c.json", b"{}"));
    trick(&|archive| link(archive, "c.json", EntryKind::Symlink, "/etc/passwd"));
    trick(&|archive| link(archive, "c.json", EntryKind::Symlink, "../../etc/passwd"));
    trick(&|archive| link(archive, "c.json", EntryKind::Symlink, "c.json"));
    trick(&|archive| link(archive, "c.json", EntryKind::HardLink, "../c.json"));
    trick(&|archive| {
        let mut header = Header::new("c.json", EntryKind::BlockDevice);
        header.device = barge_archive::tar::Device { major: 8, minor: 0 };
        archive.append_bytes(&header, &[]).unwrap();
    });
}
