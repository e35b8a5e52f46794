//! What is said of built images goes where they go: into archives and registries, and out of archives again.

use barge_oci::image::{ImageConfig, Manifest};
use barge_types::{Digest, Platform};
use serde_json::{Value, json};

use super::built::{config, file, on_overlay, remove, saved, step};
use super::exported::entry;
use super::*;

fn built_for(ground: &Ground, architecture: &str) -> ImageId {
    let layer = step(ground, None, file("a", architecture));
    let adopted = ground.store.adopt(&layer, None, &AdoptOptions { latest: Some(1) }).unwrap();
    let config =
        ImageConfig { architecture: architecture.to_owned(), ..config(&[adopted.diff_id]) };
    ground.store.publish_built(&config, Vec::new(), &BuiltOptions::default()).unwrap()
}

fn native() -> String {
    Platform::host().architecture().to_owned()
}

fn attest(ground: &Ground, images: &[ImageId], word: &str) -> Digest {
    let said = images.iter().map(|image| Said {
        image: *image,
        subjects: vec!["pkg:docker/box@1".to_owned()],
        predicates: vec![Predicate { kind: "kind".to_owned(), body: json!({"word": word}) }],
    });
    ground.store.attest(&said.collect::<Vec<_>>()).unwrap()
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn blob(archive: &[u8], digest: &Value) -> Vec<u8> {
    entry(archive, &digest.as_str().unwrap().replace("sha256:", "blobs/sha256/"))
}

/// The only index that an archive's table of contents names, and the statement about its first image.
fn of_archive(archive: &[u8]) -> (Value, Value) {
    let listed = parse(&entry(archive, "index.json"));
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1, "{listed}");
    let index = parse(&blob(archive, &listed["manifests"][0]["digest"]));
    let images = index["manifests"].as_array().unwrap().len() / 2;
    let manifest = parse(&blob(archive, &index["manifests"][images]["digest"]));
    let statement = parse(&blob(archive, &manifest["layers"][0]["digest"]));
    (index, statement)
}

#[test]
fn an_index_names_the_image_and_what_is_said_of_it() {
    let ground = on_overlay();
    let image = built_for(&ground, &native());
    let digest = attest(&ground, &[image], "first");
    ground.store.publish_platforms(&[image], &[name("registry.example/box:1")]).unwrap();
    let ground = ground.reopen();
    let reference = name("registry.example/box:1");
    let push = ground.store.export_platforms(&reference).unwrap().unwrap();
    assert_eq!(push.digest, digest);
    let index = parse(&push.manifest.bytes);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let [of_image, of_said] = index["manifests"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(of_image["platform"]["architecture"], native());
    assert_eq!(of_said["platform"], json!({"architecture": "unknown", "os": "unknown"}));
    let about = json!({
        "vnd.docker.reference.digest": of_image["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    });
    assert_eq!(of_said["annotations"], about);
    let said = &push.attestations[0];
    assert_eq!(of_said["digest"], said.digest.to_string());
    let manifest: Manifest = serde_json::from_slice(&said.manifest.bytes).unwrap();
    assert_eq!(manifest.config.media_type, "application/vnd.oci.image.config.v1+json");
    assert_eq!(manifest.layers[0].media_type, "application/vnd.in-toto+json");
    assert_eq!(manifest.layers[0].annotations["in-toto.io/predicate-type"], "kind");
    let kept = |at: usize| parse(&ground.store.content().read(&said.blobs[at].digest).unwrap());
    assert_eq!(kept(0)["rootfs"]["diff_ids"][0], manifest.layers[0].digest);
    let hex = of_image["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "kind",
        "subject": [{"name": "pkg:docker/box@1", "digest": {"sha256": hex}}],
        "predicate": {"word": "first"},
    });
    assert_eq!(kept(1), statement);
    ground.store.record_push_of_platforms(&push, &reference).unwrap();
    assert_eq!(ground.store.export_platforms(&reference).unwrap().unwrap().digest, digest);
}

#[test]
fn what_is_said_anew_takes_the_place_of_what_was_said() {
    let ground = on_overlay();
    let image = built_for(&ground, &native());
    attest(&ground, &[image], "first");
    let blobs = ground.store.content().list().unwrap().len();
    attest(&ground, &[image], "second");
    assert_eq!(ground.store.content().list().unwrap().len(), blobs);
    ground.store.publish_platforms(&[image], &[name("box:1")]).unwrap();
    let (_, statement) = of_archive(&saved(&ground, "box:1").unwrap());
    assert_eq!(statement["predicate"]["word"], "second");
    remove(&ground, "box:1", &[]);
    assert_eq!(ground.everything(), ["image/overlay2/index.json".to_owned()].into());
}

#[test]
fn what_is_said_comes_back_from_an_archive() {
    let ground = on_overlay();
    let images = [built_for(&ground, &native()), built_for(&ground, "vax")];
    let both = attest(&ground, &images, "both");
    ground.store.publish_platforms(&images, &[name("box:1")]).unwrap();
    let archive = saved(&ground, "box:1").unwrap();
    let (index, _) = of_archive(&archive);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 4);
    let named = &parse(&entry(&archive, "index.json"))["manifests"][0];
    assert_eq!(named["digest"], both.to_string());
    let other = super::ground();
    other.load(&archive).unwrap();
    assert_eq!(other.store.get("box:1").unwrap().id, images[0]);
    let again = saved(&other, "box:1").unwrap();
    let (_, statement) = of_archive(&again);
    assert_eq!(statement["predicate"]["word"], "both");
}

#[test]
fn layers_that_go_out_plain_have_a_statement_of_their_own() {
    let ground = on_overlay();
    let image = built_for(&ground, &native());
    let digest = attest(&ground, &[image], "word");
    let export = |compression| {
        let references = vec![name("box:2")];
        let options = ExportOptions { form: ArchiveForm::Oci, compression, references };
        let mut out = Vec::new();
        ground.store.export(&[image], &options).unwrap().write(&mut out).unwrap();
        out
    };
    let gzip = export(LayerCompression::Gzip);
    let named = &parse(&entry(&gzip, "index.json"))["manifests"][0];
    assert_eq!(named["digest"], digest.to_string());
    for archive in [gzip, export(LayerCompression::Plain)] {
        let (index, statement) = of_archive(&archive);
        let manifest = index["manifests"][0]["digest"].as_str().unwrap();
        let hex = statement["subject"][0]["digest"]["sha256"].as_str().unwrap();
        assert_eq!(manifest, format!("sha256:{hex}"));
        assert_eq!(index["manifests"][1]["annotations"]["vnd.docker.reference.digest"], manifest);
    }
}
