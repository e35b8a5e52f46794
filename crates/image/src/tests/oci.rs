//! OCI layouts, as `skopeo copy oci-archive:`, buildkit and Docker since 25 write them.

use super::archives::*;
use super::*;
use barge_archive::compression::Compression;
use barge_types::Platform;
use serde_json::{Value, json};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn named(mut descriptor: Value, key: &str, name: &str) -> Value {
    descriptor["annotations"] = json!({key: name});
    descriptor
}

fn on(mut descriptor: Value, os: &str, architecture: &str) -> Value {
    descriptor["platform"] = json!({"os": os, "architecture": architecture});
    descriptor
}

#[test]
fn names_come_from_annotations() {
    let layer = tar(&[("a", b"x")]);
    for (key, text, tags) in [
        ("io.containerd.image.name", "docker.io/library/box:1", vec!["box:1"]),
        (REF_NAME, "box:2", vec!["box:2"]),
        (REF_NAME, "docker.io/me/box", vec!["me/box:latest"]),
        (REF_NAME, "latest", vec![]),
    ] {
        let mut layout = Layout::new();
        let image = layout.image(&[&compressed(&layer, Compression::Gzip)], &[&layer]);
        let ground = ground();
        ground.load(&layout.finish(&[named(image, key, text)])).unwrap();
        assert_eq!(ground.tags(), tags, "{text}");
        assert_eq!(ground.store.list().len(), 1);
    }
}

#[test]
fn an_index_gives_the_image_for_this_machine_and_no_attestation() {
    let (mine, other) = (tar(&[("mine", b"x")]), tar(&[("other", b"x")]));
    let host = Platform::host();
    let mut layout = Layout::new();
    let foreign = on(layout.image(&[&other], &[&other]), "linux", "s390x");
    let native = on(layout.image(&[&mine], &[&mine]), host.os(), host.architecture());
    let attestation =
        on(layout.blob("application/vnd.oci.image.manifest.v1+json", b"{}"), "unknown", "unknown");
    let index = json!({"schemaVersion": 2, "manifests": [foreign, native, attestation]});
    let index = layout.blob(INDEX, index.to_string().as_bytes());
    let ground = ground();
    ground.load(&layout.finish(&[named(index, REF_NAME, "box:1")])).unwrap();
    assert_eq!(ground.text("box:1", "mine"), "x");
    assert_eq!(ground.store.list().len(), 1);
}

#[test]
fn the_only_image_loads_whatever_it_is_for_and_none_of_several_foreign_ones() {
    let layer = tar(&[("a", b"x")]);
    let mut layout = Layout::new();
    let foreign = on(layout.image(&[&layer], &[&layer]), "linux", "s390x");
    let missing =
        json!({"mediaType": INDEX, "digest": format!("sha256:{}", "1".repeat(64)), "size": 1});
    let index = json!({"schemaVersion": 2, "manifests": [foreign, missing]});
    let index = layout.blob(INDEX, index.to_string().as_bytes());
    let ground = ground();
    ground.load(&layout.finish(&[index])).unwrap();
    assert_eq!(ground.store.list().len(), 1);

    let other = tar(&[("b", b"x")]);
    let mut layout = Layout::new();
    let one = on(layout.image(&[&layer], &[&layer]), "linux", "s390x");
    let two = on(layout.image(&[&other], &[&other]), "linux", "ppc64le");
    let index = json!({"schemaVersion": 2, "manifests": [one, two]});
    let index = layout.blob(INDEX, index.to_string().as_bytes());
    let error = ground.load(&layout.finish(&[index])).unwrap_err().to_string();
    assert!(error.contains("no image for linux/"), "{error}");
}

#[test]
fn wrong_digests_and_sizes_of_blobs_are_refused_and_leave_nothing() {
    let layer = tar(&[("a", b"x")]);
    let packed = compressed(&layer, Compression::Gzip);
    let spoil = |change: &dyn Fn(&mut Value)| {
        let mut layout = Layout::new();
        let mut descriptor = layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed);
        change(&mut descriptor);
        let config = layout.blob("application/vnd.oci.image.config.v1+json", &config(&[&layer]));
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [descriptor]});
        let manifest = manifest.to_string();
        let manifest =
            layout.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
        let ground = ground();
        let before = ground.everything();
        let result = ground.load(&layout.finish(&[manifest]));
        if result.is_err() {
            assert_eq!(ground.everything(), before);
        }
        result
    };
    assert!(spoil(&|_| {}).is_ok());
    assert!(spoil(&|layer| layer["size"] = json!(5)).is_err());
    assert!(spoil(&|layer| layer["size"] = json!(-1)).is_err());
    assert!(spoil(&|layer| layer["digest"] = json!("sha256:00")).is_err());
    assert!(spoil(&|layer| layer["digest"] = json!("md5:00")).is_err());
    assert!(spoil(&|layer| layer["digest"] = json!(format!("sha256:{}", "0".repeat(64)))).is_err());
}

#[test]
fn a_blob_whose_bytes_are_not_those_of_its_name_is_refused() {
    let (good, evil) = (tar(&[("a", b"x")]), tar(&[("a", b"y")]));
    let mut archive = barge_archive::tar::Writer::new(Vec::new());
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", barge_archive::Digester::of(bytes).hex());
    let bytes = config(&[&evil]);
    file(&mut archive, &blob(&good), &evil);
    file(&mut archive, &blob(&bytes), &bytes);
    let manifest =
        json!([{"Config": blob(&bytes), "RepoTags": ["box:1"], "Layers": [blob(&good)]}]);
    file(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    let ground = ground();
    let before = ground.everything();
    let error = ground.load(&archive.finish().unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("wrong digest of layer 0"), "{error}");
    assert_eq!(ground.everything(), before);
}

#[test]
fn indexes_that_contain_themselves_or_artifacts_are_refused() {
    let mut layout = Layout::new();
    let mut index = layout.blob(INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
    for _ in 0..6 {
        let text = json!({"schemaVersion": 2, "manifests": [index]}).to_string();
        index = layout.blob(INDEX, text.as_bytes());
    }
    let ground = ground();
    let error = ground.load(&layout.finish(&[index])).unwrap_err().to_string();
    assert!(error.contains("too deep"), "{error}");

    let mut layout = Layout::new();
    let config = layout.blob("application/vnd.example.chart", b"{}");
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []}).to_string();
    let manifest = layout.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    let error = ground.load(&layout.finish(&[manifest])).unwrap_err().to_string();
    assert!(error.contains("no configuration of an image"), "{error}");
}

/// Two images with tags, one of them for two platforms.
fn layout_with_tags() -> (tempfile::TempDir, [Value; 2]) {
    let layers = ["one", "mine", "other"].map(|text| tar(&[("what", text.as_bytes())]));
    let mut layout = Layout::new();
    let one = layout.image(&[&layers[0]], &[&layers[0]]);
    let host = Platform::host();
    let mine = layout.image(&[&layers[1]], &[&layers[1]]);
    let mine = on(mine, host.os(), host.architecture());
    let other = on(layout.image(&[&layers[2]], &[&layers[2]]), "linux", "s390x");
    let index = json!({"schemaVersion": 2, "manifests": [other, mine]}).to_string();
    let index = layout.blob(INDEX, index.as_bytes());
    let named = [named(one.clone(), REF_NAME, "v1"), named(index, REF_NAME, "me/box:v2")];
    (layout.unpacked(&named), [one, other])
}

#[test]
fn an_image_of_a_layout_in_a_folder_is_found_by_tag_platform_or_digest() {
    let (folder, [one, other]) = layout_with_tags();
    let ground = ground();
    let load = |tag: Option<&str>, digest: Option<&Value>, platform: &str| {
        let name = LayoutName {
            tag: tag.map(str::to_owned),
            digest: digest.map(|found| found["digest"].as_str().unwrap().parse().unwrap()),
        };
        let platform = match platform {
            "" => Platform::host(),
            other => other.parse().unwrap(),
        };
        let held = ground.store.load_layout(folder.path(), (&name, &platform), &mut |_| {})?;
        Ok::<_, ImageError>(ground.text(&held.id.to_string(), "what"))
    };
    assert_eq!(load(Some("v1"), None, "").unwrap(), "one");
    assert_eq!(load(Some("v2"), None, "").unwrap(), "mine");
    assert_eq!(load(Some("me/box:v2"), None, "linux/s390x").unwrap(), "other");
    assert_eq!(load(Some("v2"), Some(&one), "").unwrap(), "one");
    assert_eq!(load(None, Some(&other), "").unwrap(), "other");
    let images = ground.store.list();
    assert_eq!(images.len(), 3);
    assert!(images.iter().all(|image| image.references.is_empty()), "{images:?}");
    let error = |tag, platform: &str| load(tag, None, platform).unwrap_err().to_string();
    assert!(error(None, "").contains("no image with the tag latest is in it"));
    assert!(error(Some("v2"), "linux/ppc64le").contains("no image for linux/ppc64le is in it"));
}

#[test]
fn the_only_image_of_a_layout_is_no_other_than_what_was_asked_for() {
    let layer = tar(&[("what", b"one")]);
    let ground = ground();
    let load = |folder: &tempfile::TempDir, tag: Option<&str>, platform: &str| {
        let name = LayoutName { tag: tag.map(str::to_owned), digest: None };
        let platform = platform.parse().unwrap();
        let held = ground.store.load_layout(folder.path(), (&name, &platform), &mut |_| {});
        held.map(|held| ground.text(&held.id.to_string(), "what")).map_err(|it| it.to_string())
    };
    let host = Platform::host().to_string();
    let mut layout = Layout::new();
    let one = named(layout.image(&[&layer], &[&layer]), REF_NAME, "v1");
    let plain = layout.unpacked(&[one]);
    assert_eq!(load(&plain, None, &host).unwrap(), "one");
    assert_eq!(load(&plain, Some("v1"), &host).unwrap(), "one");
    let error = load(&plain, Some("v2"), &host).unwrap_err();
    assert!(error.contains("no image with the tag v2 is in it"), "{error}");

    let mut layout = Layout::new();
    let other = on(layout.image(&[&layer], &[&layer]), "linux", "s390x");
    let index = json!({"schemaVersion": 2, "manifests": [other]}).to_string();
    let index = layout.blob(INDEX, index.as_bytes());
    let indexed = layout.unpacked(&[index]);
    assert_eq!(load(&indexed, None, "linux/s390x").unwrap(), "one");
    let error = load(&indexed, None, "linux/ppc64le").unwrap_err();
    assert!(error.contains("no image for linux/ppc64le is in it"), "{error}");
}

#[test]
fn a_layout_in_a_folder_is_not_trusted() {
    let ground = ground();
    let load = |folder: &tempfile::TempDir| {
        let name = LayoutName { tag: Some("v1".to_owned()), digest: None };
        let loaded =
            ground.store.load_layout(folder.path(), (&name, &Platform::host()), &mut |_| {});
        loaded.map(|held| held.id)
    };
    let before = ground.everything();
    let (spoiled, [one, _]) = layout_with_tags();
    let hex = one["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let manifest = spoiled.path().join("blobs/sha256").join(hex);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"schemaVersion\":2", "\"schemaVersion\":3")).unwrap();
    assert!(load(&spoiled).unwrap_err().to_string().starts_with("wrong digest of blobs/sha256/"));
    // Neither a link out of it nor a pipe is read.
    let (linked, _) = layout_with_tags();
    let aside = linked.path().with_extension("aside");
    let index = linked.path().join("index.json");
    fs::rename(&index, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &index).unwrap();
    let outside = load(&linked).unwrap_err().to_string();
    fs::remove_file(&aside).unwrap();
    assert!(outside.contains("index.json is not in it"), "{outside}");
    fs::remove_file(&index).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &index, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    assert!(load(&linked).unwrap_err().to_string().contains("is not a file"));
    assert_eq!(ground.everything(), before);
}
