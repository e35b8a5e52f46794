//! Layers that a build wrote become images in place, and go when neither images nor the build's cache need them.

use std::collections::{BTreeMap, HashSet};
use std::io::{Seek as _, SeekFrom, Write as _};

use barge_oci::image::ImageConfig;
use barge_storage::{LayerId, MountOptions, ReadWriteOptions};
use barge_types::Digest;

use super::archives::{docker_save, tar};
use super::crash::kill_everywhere_on;
use super::*;

pub(super) const PLAIN: AdoptOptions = AdoptOptions { latest: None };

/// What the cache of builds keeps.
struct Cache<'a>(&'a [LayerId]);

impl ImageUsage for Cache<'_> {
    fn users(&self, _image: &ImageId) -> Vec<User> {
        Vec::new()
    }

    fn layers_in_use(&self) -> HashSet<LayerId> {
        self.0.iter().cloned().collect()
    }
}

pub(super) fn on_overlay() -> Ground {
    open_with(tempfile::tempdir().unwrap(), "overlay2")
}

/// A layer as a step of a build makes it.
pub(super) fn step(
    ground: &Ground,
    parent: Option<&LayerId>,
    write: impl FnOnce(&Path),
) -> LayerId {
    let id = LayerId::random().unwrap();
    ground.driver.create_read_write(&id, parent, &ReadWriteOptions::default()).unwrap();
    write(&ground.driver.mount(&id, &MountOptions::default()).unwrap());
    ground.driver.unmount(&id).unwrap();
    id
}

pub(super) fn file<'a>(name: &'a str, text: &'a str) -> impl FnOnce(&Path) + 'a {
    move |root| fs::write(root.join(name), text).unwrap()
}

/// Two steps from nothing: `a` and then `b` without `gone`.
pub(super) fn two_steps(ground: &Ground) -> Vec<LayerId> {
    let lower = step(ground, None, |root| {
        fs::write(root.join("a"), "1").unwrap();
        fs::write(root.join("gone"), "").unwrap();
    });
    let upper = step(ground, Some(&lower), |root| {
        fs::write(root.join("b"), "2").unwrap();
        fs::remove_file(root.join("gone")).unwrap();
    });
    vec![lower, upper]
}

pub(super) fn config(diff_ids: &[Digest]) -> ImageConfig {
    let mut config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: Some("2024-05-06T07:08:09Z".to_owned()),
        ..ImageConfig::default()
    };
    config.rootfs.diff_ids = diff_ids.iter().map(ToString::to_string).collect();
    config
}

fn publish(ground: &Ground, layers: &[LayerId], reference: &str) -> Result<ImageId> {
    publish_with(ground, layers, (reference, &PLAIN))
}

fn publish_with(
    ground: &Ground,
    layers: &[LayerId],
    (reference, options): (&str, &AdoptOptions),
) -> Result<ImageId> {
    let adopted = ground.store.adopt_all(layers, None, options)?;
    let diff_ids: Vec<Digest> = adopted.iter().map(|layer| layer.diff_id).collect();
    ground.store.publish_built(&config(&diff_ids), vec![name(reference)], &BuiltOptions::default())
}

pub(super) fn remove(ground: &Ground, reference: &str, cache: &[LayerId]) {
    ground.store.remove(reference, Removal::WhenUnused, &Cache(cache)).unwrap();
}

pub(super) fn saved(ground: &Ground, reference: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    ground.store.save(&[reference])?.write(&mut out)?;
    Ok(out)
}

#[test]
fn layers_become_an_image_where_they_are() {
    for driver in ["overlay2", "vfs"] {
        let ground = open_with(tempfile::tempdir().unwrap(), driver);
        let layers = two_steps(&ground);
        let id = publish(&ground, &layers, "box").unwrap();
        let image = ground.store.get("box").unwrap();
        assert_eq!((image.id, image.size, image.top_layer.as_ref()), (id, 2, layers.last()));
        assert_eq!(ground.store.content().list().unwrap(), [id.digest()]);
        let ground = ground.reopen();
        assert!(ground.store.damaged().is_empty());
        assert_eq!((ground.text("box", "a"), ground.text("box", "b")), ("1".into(), "2".into()));
        assert_eq!(ground.store.layer_ids(), layers.iter().cloned().collect());
        let other = super::ground();
        assert_eq!(other.load(&saved(&ground, "box").unwrap()).unwrap()[0].id, id);
        assert_eq!(other.text("box", "b"), "2");
        // Nothing is kept of what was made to be saved.
        assert_eq!(ground.store.content().list().unwrap(), [id.digest()]);
        remove(&ground, "box", &[]);
        assert_eq!(ground.everything(), ["image/".to_owned() + driver + "/index.json"].into());
    }
}

#[test]
fn a_build_that_publishes_nothing_leaves_its_layers_to_the_cache() {
    let ground = on_overlay();
    let layers = two_steps(&ground);
    let before = ground.everything();
    let adopted = ground.store.adopt_all(&layers, None, &PLAIN).unwrap();
    assert_eq!(ground.store.layers().len(), 2);
    // Not even an image of only some of them.
    let config = config(&[Digest::from_bytes([1; 32])]);
    let error =
        ground.store.publish_built(&config, Vec::new(), &BuiltOptions::default()).unwrap_err();
    assert!(matches!(error, ImageError::Damaged { .. }), "{error}");
    assert!(ground.store.release(&layers, &UnusedImages).unwrap().is_empty());
    drop(adopted);
    assert!(ground.store.layers().is_empty());
    assert_eq!(ground.everything(), before);
    let top_first: Vec<LayerId> = layers.into_iter().rev().collect();
    assert_eq!(ground.store.release(&top_first, &UnusedImages).unwrap(), top_first);
    assert!(ground.everything().is_empty());
}

#[test]
fn a_layer_goes_when_neither_images_nor_the_cache_need_it() {
    let ground = on_overlay();
    let layers = two_steps(&ground);
    let top_first: Vec<LayerId> = layers.iter().rev().cloned().collect();
    publish(&ground, &layers, "box").unwrap();
    // The image first …
    remove(&ground, "box", &layers);
    assert_eq!(ground.store.layers().len(), 2);
    let error = ground.store.release(&top_first, &Cache(&layers)).unwrap();
    assert!(error.is_empty() && ground.driver.exists(&layers[0]));
    let again = publish(&ground, &layers, "again").unwrap();
    assert_eq!(ground.store.get("again").unwrap().id, again);
    // … or the cache first.
    assert!(ground.store.release(&top_first, &UnusedImages).unwrap().is_empty());
    assert_eq!(ground.text("again", "b"), "2");
    remove(&ground, "again", &[]);
    assert_eq!(ground.everything(), ["image/overlay2/index.json".to_owned()].into());
    // And an image that went while the cache had it.
    let layers = two_steps(&ground);
    publish(&ground, &layers, "box").unwrap();
    remove(&ground, "box", &layers);
    let top_first: Vec<LayerId> = layers.iter().rev().cloned().collect();
    assert_eq!(ground.store.release(&top_first, &UnusedImages).unwrap(), top_first);
    assert_eq!(ground.everything(), ["image/overlay2/index.json".to_owned()].into());
}

#[test]
fn the_same_content_again_is_the_layer_that_is_there() {
    let latest = AdoptOptions { latest: Some(1_000) };
    let ground = on_overlay();
    let first = two_steps(&ground);
    publish_with(&ground, &first, ("box", &latest)).unwrap();
    let second = two_steps(&ground);
    let adopted = ground.store.adopt_all(&second, None, &latest).unwrap();
    let used: Vec<LayerId> = adopted.iter().map(|layer| layer.cache_id.clone()).collect();
    assert_eq!(used, first);
    drop(adopted);
    // What stands on the second ones does so with the first ones in its chain.
    let mut third = second.clone();
    third.push(step(&ground, second.last(), file("c", "3")));
    publish_with(&ground, &third, ("bigger", &latest)).unwrap();
    assert_eq!(ground.text("bigger", "a"), "1");
    let top_first: Vec<LayerId> = third.iter().rev().cloned().collect();
    assert!(ground.store.release(&top_first, &UnusedImages).unwrap().is_empty());
    remove(&ground, "bigger", &[]);
    assert_eq!(ground.driver.list().unwrap().len(), 2);
    assert_eq!(ground.text("box", "b"), "2");
    remove(&ground, "box", &[]);
    assert!(ground.driver.list().unwrap().is_empty());
}

#[test]
fn clamped_times_give_the_same_image_everywhere() {
    let options = AdoptOptions { latest: Some(1_000) };
    let make = || {
        let ground = on_overlay();
        let layers = two_steps(&ground);
        let id = publish_with(&ground, &layers, ("box", &options)).unwrap();
        let push = ground.store.export_for_push("box").unwrap().digest;
        let archive = saved(&ground, "box").unwrap();
        (ground, layers, (id, push, archive))
    };
    let (ground, layers, one) = make();
    assert!(make().2 == one);
    // The same files as another image, which keeps them.
    let plain = publish(&ground, &layers, "plain").unwrap();
    assert_ne!(plain, one.0);
    assert_eq!(
        (ground.store.layers().len(), ground.store.bytes_of_layers(&HashSet::new())),
        (4, 2)
    );
    remove(&ground, "box", &[]);
    let ground = ground.reopen();
    assert_eq!(ground.text("plain", "b"), "2");
    assert!(saved(&ground, "plain").is_ok());
    remove(&ground, "plain", &[]);
    assert!(ground.driver.list().unwrap().is_empty());
}

#[test]
fn an_image_is_pushed_with_archives_that_are_made_once() {
    let ground = on_overlay();
    let layers = two_steps(&ground);
    let adopted = ground.store.adopt_all(&layers, None, &PLAIN).unwrap();
    let diff_ids: Vec<Digest> = adopted.iter().map(|layer| layer.diff_id).collect();
    let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let options = BuiltOptions { annotations, ..BuiltOptions::default() };
    ground.store.publish_built(&config(&diff_ids), vec![name("box")], &options).unwrap();
    let push = ground.store.export_for_push("box").unwrap();
    assert!(push.layers.iter().all(|blob| ground.store.content().contains(&blob.digest)));
    let manifest: serde_json::Value = serde_json::from_slice(&push.manifest.bytes).unwrap();
    assert_eq!(manifest["annotations"]["a"], "b");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!(ground.store.export_for_push("box").unwrap().digest, push.digest);
    drop((push, adopted));
    let ground = ground.reopen();
    remove(&ground, "box", &[]);
    assert_eq!(ground.everything(), ["image/overlay2/index.json".to_owned()].into());
}

#[test]
fn files_that_somebody_changed_are_not_handed_out() {
    let ground = on_overlay();
    let layers = two_steps(&ground);
    publish(&ground, &layers, "box").unwrap();
    let path = ground.root.path().join("overlay2").join(layers[1].as_str()).join("diff/b");
    fs::write(path, "3").unwrap();
    let error = saved(&ground, "box").unwrap_err();
    assert!(matches!(error, ImageError::Changed { .. }), "{error}");
    let error = ground.store.export_for_push("box").unwrap_err();
    assert!(error.to_string().contains("was changed on the disk"), "{error}");
}

#[test]
fn an_archive_with_holes_is_kept() {
    let ground = on_overlay();
    let layer = step(&ground, None, |root| {
        let mut file = fs::File::create(root.join("sparse")).unwrap();
        file.seek(SeekFrom::Start(1 << 30)).unwrap();
        file.write_all(b"end").unwrap();
    });
    publish(&ground, &[layer], "box").unwrap();
    assert_eq!(ground.store.content().list().unwrap().len(), 2);
    let other = super::ground();
    other.load(&saved(&ground, "box").unwrap()).unwrap();
    assert_eq!(other.store.get("box").unwrap().size, (1 << 30) + 3);
    remove(&ground, "box", &[]);
    assert!(ground.store.content().list().unwrap().is_empty());
}

#[test]
fn a_commit_of_nothing_takes_no_layer_from_the_cache() {
    let ground = on_overlay();
    let base = step(&ground, None, file("a", "1"));
    let empty = step(&ground, Some(&base), |_| ());
    let cache = [base, empty];
    publish(&ground, &cache[..1], "base").unwrap();
    publish(&ground, &cache, "box").unwrap();
    remove(&ground, "box", &cache);
    let parent = ground.store.hold("base").unwrap();
    ground.store.commit(&parent, Commit::default(), stream(vec![0; 1024])).unwrap();
    assert!(cache.iter().all(|layer| ground.driver.exists(layer)));
}

#[test]
fn others_may_use_what_is_being_built() {
    let ground = on_overlay();
    let lower = tar(&[("a", b"1")]);
    let archive = docker_save(&[&lower, &tar(&[("b", b"2")])], &["loaded:1"]);
    // The same bytes as in the archive: a layer of them is read again.
    let layer = LayerId::random().unwrap();
    ground.driver.create(&layer, None).unwrap();
    ground.driver.apply_diff(&layer, None, &mut &lower[..]).unwrap();
    let adopted = ground.store.adopt(&layer, None, &PLAIN).unwrap();
    assert_eq!(adopted.diff_id, barge_archive::Digester::of(&lower));
    ground.load(&archive).unwrap();
    drop(adopted);
    assert!(ground.store.release(&[layer], &UnusedImages).unwrap().is_empty());
    let ground = ground.reopen();
    assert!(ground.store.damaged().is_empty());
    assert_eq!(
        (ground.text("loaded:1", "a"), ground.text("loaded:1", "b")),
        ("1".into(), "2".into())
    );
}

#[test]
fn a_built_image_is_whole_or_nothing() {
    kill_everywhere_on("overlay2", &|_| {}, &|ground| {
        publish_with(ground, &two_steps(ground), ("box", &AdoptOptions { latest: Some(1) }))
            .map(drop)
    });
}

#[test]
fn giving_up_is_whole_or_nothing() {
    let layers = |ground: &Ground| -> Vec<LayerId> {
        let image = ground.store.get("box");
        let chain_ids = image.map(|image| image.chain_ids.clone()).unwrap_or_default();
        chain_ids.iter().rev().map(|id| ground.store.layer(id).unwrap().cache_id).collect()
    };
    kill_everywhere_on(
        "overlay2",
        &|ground| {
            publish_with(ground, &two_steps(ground), ("box", &AdoptOptions { latest: Some(1) }))
                .map(drop)
                .unwrap();
        },
        &|ground| {
            let cache = layers(ground);
            ground.store.remove("box", Removal::WhenUnused, &Cache(&cache))?;
            ground.store.release(&cache, &UnusedImages).map(drop)
        },
    );
}
