//! What goes out of what was built: archives, the files of an image, images of several platforms.

use barge_oci::image::ImageConfig;
use barge_types::Platform;

use super::built::{config, file, on_overlay, remove, saved, step, two_steps};
use super::*;

/// An image of one layer for a processor.
fn built_for(ground: &Ground, architecture: &str) -> ImageId {
    let layer = step(ground, None, file("a", architecture));
    let options = AdoptOptions { latest: Some(1) };
    let adopted = ground.store.adopt(&layer, None, &options).unwrap();
    let config =
        ImageConfig { architecture: architecture.to_owned(), ..config(&[adopted.diff_id]) };
    ground.store.publish_built(&config, Vec::new(), &BuiltOptions::default()).unwrap()
}

#[test]
fn images_of_several_platforms_have_a_name_together() {
    let host = Platform::host();
    let ground = on_overlay();
    let images = [built_for(&ground, "vax"), built_for(&ground, host.architecture())];
    let meant = ground.store.publish_platforms(&images, &[name("box:1")]).unwrap();
    assert_eq!(meant, images[1]);
    let ground = ground.reopen();
    assert_eq!(ground.store.get("box:1").unwrap().id, meant);
    assert_eq!(ground.store.platforms(&name("box:1")), images);
    assert_eq!(ground.store.image(&images[0]).unwrap().repo_tags(), ["box:1"]);
    let archive = saved(&ground, "box:1").unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&entry(&archive, "index.json")).unwrap();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1);
    let digest = listed["manifests"][0]["digest"].as_str().unwrap();
    let nested = entry(&archive, &digest.replace("sha256:", "blobs/sha256/"));
    let nested: serde_json::Value = serde_json::from_slice(&nested).unwrap();
    assert_eq!(nested["manifests"][0]["platform"]["architecture"], "vax");
    assert_eq!(nested["manifests"][1]["platform"]["architecture"], host.architecture());
    let other = super::ground();
    other.load(&archive).unwrap();
    assert_eq!(other.store.get("box:1").unwrap().id, meant);
    // One of them goes alone, the rest with the name.
    let removed = ground.store.remove(&images[0].to_string(), Removal::WhenUnused, &UnusedImages);
    assert!(!removed.unwrap().iter().any(|removed| matches!(removed, Removed::Untagged(_))));
    assert!(ground.store.platforms(&name("box:1")).is_empty());
    let images = [built_for(&ground, "vax"), meant];
    ground.store.publish_platforms(&images, &[name("box:1"), name("box:2")]).unwrap();
    remove(&ground, "box:1", &[]);
    assert_eq!(ground.store.list().len(), 2);
    remove(&ground, "box:2", &[]);
    assert_eq!(ground.everything(), ["image/overlay2/index.json".to_owned()].into());
}

pub(super) fn entry(archive: &[u8], name: &str) -> Vec<u8> {
    let mut reader = barge_archive::tar::Reader::new(archive);
    while let Some(mut entry) = reader.next_entry().unwrap() {
        if entry.header().path == name.as_bytes() {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            return content;
        }
    }
    panic!("{name} is not in the archive")
}

#[test]
fn what_is_exported_is_the_same_everywhere_and_comes_back() {
    let export = |form, compression| {
        let ground = on_overlay();
        let images =
            [built_for(&ground, Platform::host().architecture()), built_for(&ground, "vax")];
        let options = ExportOptions { form, compression, references: vec![name("registry/box:2")] };
        let export = |images: &[ImageId]| {
            let mut out = Vec::new();
            ground.store.export(images, &options).unwrap().write(&mut out).unwrap();
            out
        };
        (export(&images[..1]), export(&images), images)
    };
    for form in [ArchiveForm::Docker, ArchiveForm::Oci] {
        for compression in [LayerCompression::Plain, LayerCompression::Gzip] {
            let (one, both, images) = export(form, compression);
            assert!(export(form, compression) == (one.clone(), both.clone(), images));
            for (archive, count) in [(one, 1), (both, 2)] {
                let ground = ground();
                let loaded = ground.load(&archive).unwrap();
                // Of an index, a layout gives the image for this machine.
                let expected = if form == ArchiveForm::Oci { 1 } else { count };
                assert_eq!(loaded.len(), expected);
                assert_eq!(ground.store.get("registry/box:2").unwrap().id, images[0]);
            }
        }
    }
}

#[test]
fn the_files_of_an_image_are_one_tree() {
    let files = || {
        let ground = on_overlay();
        let layers = two_steps(&ground);
        let mut out = Vec::new();
        ground.store.write_files(layers.last(), Some(1_000), &mut out).unwrap();
        out
    };
    let archive = files();
    assert!(archive == files());
    assert_eq!((entry(&archive, "a"), entry(&archive, "b")), (b"1".to_vec(), b"2".to_vec()));
    let mut reader = barge_archive::tar::Reader::new(&archive[..]);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        assert!(entry.header().mtime.seconds <= 1_000);
        names.push(entry.header().path.clone());
    }
    assert_eq!(names, [b"a".to_vec(), b"b".to_vec()]);
    let mut nothing = Vec::new();
    on_overlay().store.write_files(None, None, &mut nothing).unwrap();
    assert_eq!(nothing, [0; 1024]);
}

#[test]
fn a_name_of_several_platforms_is_pushed_with_an_index() {
    let ground = on_overlay();
    let images = [built_for(&ground, Platform::host().architecture()), built_for(&ground, "vax")];
    let reference = name("registry.example/box:1");
    ground.store.publish_platforms(&images, std::slice::from_ref(&reference)).unwrap();
    let push = ground.store.export_platforms(&reference).unwrap().unwrap();
    assert_eq!(
        push.manifest.media_type,
        "application/vnd.docker.distribution.manifest.list.v2+json"
    );
    let listed: serde_json::Value = serde_json::from_slice(&push.manifest.bytes).unwrap();
    for (number, (image, of)) in push.images.iter().zip(images).enumerate() {
        assert_eq!(image.image(), of);
        let listed = &listed["manifests"][number];
        assert_eq!(listed["digest"], image.digest.to_string());
        assert_eq!(listed["mediaType"], image.manifest.media_type);
        assert_eq!(listed["size"], image.manifest.bytes.len());
    }
    ground.store.record_push_of_platforms(&push, &reference).unwrap();
    let by_digest = format!("registry.example/box@{}", push.digest);
    assert_eq!(ground.store.get("registry.example/box:1").unwrap().repo_digests(), [by_digest]);
    assert_eq!(ground.store.export_platforms(&reference).unwrap().unwrap().digest, push.digest);
    drop(push);
    remove(&ground, "registry.example/box:1", &[]);
    assert_eq!(ground.everything(), ["image/overlay2/index.json".to_owned()].into());
}
