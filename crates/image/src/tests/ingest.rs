//! Images whose layers come as streams: side by side, cut off, gone on with, wrong.

use std::io::{self, Read, Write as _};

use barge_archive::Digester;
use barge_archive::compression::{Compression, Encoder};
use barge_oci::image::{Descriptor, Manifest, media_type};
use barge_types::Digest;

use super::archives::{docker_save, tar};
use super::crash::kill_everywhere_on;
use super::*;

const DRIVERS: [&str; 2] = ["overlay2", "vfs"];

fn ground_with(driver: &str) -> Ground {
    open_with(tempfile::tempdir().unwrap(), driver)
}

/// An image as a registry has it.
#[derive(Clone)]
struct Remote {
    config: Vec<u8>,
    manifest: ManifestBytes,
    specs: Vec<LayerSpec>,
    blobs: Vec<Vec<u8>>,
}

fn packed(plain: &[u8], format: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn remote(layers: &[Vec<u8>], format: Compression) -> Remote {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digester::of(layer)).collect();
    let blobs: Vec<Vec<u8>> = layers.iter().map(|layer| packed(layer, format)).collect();
    let specs: Vec<LayerSpec> = diff_ids
        .iter()
        .zip(&blobs)
        .map(|(diff_id, blob)| LayerSpec {
            diff_id: *diff_id,
            blob: Digester::of(blob),
            size: blob.len() as u64,
            urls: Vec::new(),
        })
        .collect();
    let ids: Vec<String> = diff_ids.iter().map(Digest::to_string).collect();
    let config = format!(
        "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":{ids:?}}}}}"
    )
    .into_bytes();
    let described = |digest: Digest, size: usize, kind: &str| Descriptor {
        media_type: kind.to_owned(),
        digest: digest.to_string(),
        size: i64::try_from(size).unwrap(),
        ..Descriptor::default()
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_owned(),
        config: described(Digester::of(&config), config.len(), media_type::OCI_CONFIG),
        layers: specs
            .iter()
            .map(|spec| {
                let size = usize::try_from(spec.size).unwrap();
                described(spec.blob, size, media_type::OCI_LAYER_GZIP)
            })
            .collect(),
        ..Manifest::default()
    };
    // Spaces that nobody else would write: the bytes must survive, not the meaning.
    let bytes = format!("  {}\n", serde_json::to_string(&manifest).unwrap()).into_bytes();
    let manifest = ManifestBytes { bytes, media_type: manifest.media_type };
    Remote { config, manifest, specs, blobs }
}

impl Remote {
    fn publication(&self, references: &[&str]) -> Publication {
        Publication {
            config: self.config.clone(),
            manifest: Some(self.manifest.clone()),
            index: None,
            references: references.iter().map(|text| name(text)).collect(),
        }
    }

    /// As `pull` does, topmost layer first.
    fn pull(&self, ground: &Ground, reference: &str) -> Result<ImageId> {
        let ingest = ground.store.begin(self.specs.clone())?;
        for ticket in ingest.missing().into_iter().rev() {
            self.fetch(ticket)?;
        }
        ingest.publish(self.publication(&[reference]))
    }

    fn fetch(&self, ticket: LayerTicket) -> Result<()> {
        let layer = ticket.open()?;
        let rest = self.rest(&layer);
        layer.unpack(stream(rest), &mut |_| {})
    }

    fn rest(&self, layer: &OpenLayer) -> Vec<u8> {
        let number = self.specs.iter().position(|spec| spec.blob == layer.spec().blob).unwrap();
        self.blobs[number][usize::try_from(layer.have()).unwrap()..].to_vec()
    }
}

fn two_layers() -> Vec<Vec<u8>> {
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    vec![tar(&[("a", b"1"), ("noise", &noise)]), tar(&[("b", b"2")])]
}

/// A stream that breaks off with an error.
struct Broken(Cursor<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("connection reset by peer")),
            count => Ok(count),
        }
    }
}

#[test]
fn layers_come_in_any_order_and_go_out_as_they_came() {
    for driver in DRIVERS {
        for format in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let ground = ground_with(driver);
            let remote = remote(&two_layers(), format);
            let id = remote.pull(&ground, "box:1").unwrap();
            assert_eq!(
                (ground.text("box:1", "a"), ground.text("box:1", "b")),
                ("1".into(), "2".into())
            );
            let push = ground.store.export_for_push("box:1").unwrap();
            assert_eq!((push.image(), &push.manifest), (id, &remote.manifest));
            assert_eq!(push.digest, Digester::of(&remote.manifest.bytes));
            for (sent, blob) in push.layers.iter().zip(&remote.blobs) {
                let mut bytes = Vec::new();
                let mut file = ground.store.content().open_blob(&sent.digest).unwrap();
                file.read_to_end(&mut bytes).unwrap();
                assert!(bytes == *blob, "{driver} {format:?}");
            }
            drop(push);
            ground.store.remove("box:1", Removal::WhenUnused, &UnusedImages).unwrap();
            assert_eq!(
                ground.everything(),
                ["image/NAME/index.json".replace("NAME", driver)].into()
            );
        }
    }
}

#[test]
fn a_layer_that_breaks_off_goes_on_where_it_stopped() {
    for driver in DRIVERS {
        let ground = ground_with(driver);
        let remote = remote(&two_layers(), Compression::Gzip);
        let half = remote.blobs[0].len() / 2;
        let ingest = ground.store.begin(remote.specs.clone()).unwrap();
        let layer = ingest.missing().remove(0).open().unwrap();
        assert_eq!(layer.have(), 0);
        let broken = Broken(Cursor::new(remote.blobs[0][..half].to_vec()));
        layer.unpack(Box::new(broken), &mut |_| {}).unwrap_err();
        drop(ingest);
        let ground = ground.reopen();
        assert!(ground.driver.list().unwrap().is_empty(), "{driver}");
        assert_eq!(ground.store.content().part_length(&remote.specs[0].blob), half as u64);
        let ingest = ground.store.begin(remote.specs.clone()).unwrap();
        let mut missing = ingest.missing().into_iter();
        let layer = missing.next().unwrap().open().unwrap();
        assert_eq!(layer.have(), half as u64);
        layer.unpack(stream(remote.blobs[0][half..].to_vec()), &mut |_| {}).unwrap();
        missing.for_each(|ticket| remote.fetch(ticket).unwrap());
        ingest.publish(remote.publication(&["box:1"])).unwrap();
        assert_eq!(ground.text("box:1", "a"), "1");
        let left = ground.everything();
        assert!(!left.iter().any(|path| path.contains("ingest")), "{left:?}");
    }
}

#[test]
fn a_layer_that_ends_early_is_told_and_kept() {
    let ground = ground_with("overlay2");
    let remote = remote(&two_layers(), Compression::None);
    let ingest = ground.store.begin(remote.specs.clone()).unwrap();
    let layer = ingest.missing().remove(0).open().unwrap();
    let short = remote.blobs[0][..remote.blobs[0].len() - 512].to_vec();
    let length = short.len() as u64;
    let error = layer.unpack(stream(short), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ImageError::Incomplete { got, .. } if got == length), "{error:?}");
    assert_eq!(ground.store.content().part_length(&remote.specs[0].blob), length);
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    for driver in DRIVERS {
        let ground = ground_with(driver);
        let empty = ground.everything();
        let remote = remote(&two_layers(), Compression::Gzip);
        let mut wrong = remote.blobs[0].clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 1;
        let longer = [remote.blobs[0].clone(), vec![0; 10]].concat();
        let mut garbage = remote.blobs[0].clone();
        garbage[100..200].fill(0xff);
        let mut other = remote.specs.clone();
        other[0].diff_id = Digest::from_bytes([7; 32]);
        // Where nothing is unpacked yet, the digest is the first to tell.
        let undecodable = if driver == "vfs" { "wrong digest" } else { "cannot unpack layer 0" };
        let cases = [
            (remote.specs.clone(), wrong, "wrong digest of layer 0"),
            (remote.specs.clone(), garbage, undecodable),
            (remote.specs.clone(), longer, "wrong length of layer 0"),
            (other, remote.blobs[0].clone(), "invalid diffID for layer 0"),
        ];
        for (specs, bytes, text) in cases {
            let ingest = ground.store.begin(specs).unwrap();
            let layer = ingest.missing().remove(0).open().unwrap();
            let told = layer.unpack(stream(bytes), &mut |_| {});
            // Without folders to unpack into, the plain bytes are looked at when all are here.
            let error = match told {
                Err(error) => {
                    let left = ground.store.content().part_length(&remote.specs[0].blob);
                    assert_eq!(left, 0, "{driver}: {error}");
                    error
                }
                Ok(()) => {
                    remote.fetch(ingest.missing().remove(1)).unwrap();
                    ingest.publish(remote.publication(&["box:1"])).unwrap_err()
                }
            };
            assert!(
                error.to_string().starts_with(text) || error.to_string().contains("other layers"),
                "{driver}: {error}"
            );
        }
        assert!(ground.store.list().is_empty());
        let ingest = ground.store.begin(remote.specs.clone()).unwrap();
        ingest.missing().into_iter().for_each(|ticket| remote.fetch(ticket).unwrap());
        ingest.publish(remote.publication(&["box:1"])).unwrap();
        ground.store.remove("box:1", Removal::WhenUnused, &UnusedImages).unwrap();
        let left: Vec<_> = ground.everything().difference(&empty).cloned().collect();
        assert_eq!(left, [format!("image/{driver}/index.json")]);
    }
}

#[test]
fn images_that_share_layers_come_at_once() {
    for driver in DRIVERS {
        let ground = ground_with(driver);
        let base = two_layers();
        let images: Vec<Remote> = (0..4_u8)
            .map(|n| {
                let top = tar(&[("top", &[b'0' + n])]);
                remote(&[base[0].clone(), base[1].clone(), top], Compression::Gzip)
            })
            .collect();
        std::thread::scope(|scope| {
            for (number, remote) in images.iter().enumerate() {
                let ground = &ground;
                scope.spawn(move || remote.pull(ground, &format!("box:{number}")).unwrap());
            }
        });
        let ground = ground.reopen();
        for number in 0..4 {
            assert_eq!(ground.text(&format!("box:{number}"), "top"), number.to_string());
            assert_eq!(ground.text(&format!("box:{number}"), "b"), "2");
        }
        assert_eq!(ground.driver.list().unwrap().len(), 6, "{driver}");
        assert_eq!(ground.store.content().list().unwrap().len(), 6 + 4 + 4);
    }
}

#[test]
fn a_pull_is_whole_or_nothing() {
    for driver in DRIVERS {
        let remote = remote(&[tar(&[("a", b"1")]), tar(&[("b", b"2")])], Compression::Gzip);
        kill_everywhere_on(driver, &|_| {}, &|ground| remote.pull(ground, "box:1").map(drop));
    }
}

#[test]
fn what_we_packed_is_pushed_as_gzip_and_the_same_again() {
    let ground = ground_with("overlay2");
    let layers = two_layers();
    ground.load(&docker_save(&[&layers[0], &layers[1]], &["box:1"])).unwrap();
    let push = ground.store.export_for_push("box:1").unwrap();
    assert_eq!(push.manifest.media_type, media_type::DOCKER_MANIFEST);
    assert!(push.layers.iter().all(|layer| layer.media_type == media_type::DOCKER_LAYER_GZIP));
    ground.store.record_push(&push, &name("registry.example:5000/box:1")).unwrap();
    let (digest, blobs) = (push.digest, push.layers.clone());
    drop(push);
    let ground = ground.reopen();
    let again = ground.store.export_for_push("box:1").unwrap();
    assert_eq!(again.digest, digest);
    assert_eq!(again.layers[0].digest, blobs[0].digest);
    assert_eq!(again.layers[0].repositories, ["registry.example:5000/box"]);
    assert_eq!(
        ground.store.get("box:1").unwrap().repo_digests(),
        [format!("registry.example:5000/box@{digest}")]
    );
    // Two layers, the configuration, the manifest: what was packed otherwise is gone.
    assert_eq!(ground.store.content().list().unwrap().len(), 4);
    assert_eq!(ground.text("box:1", "b"), "2");
}

#[test]
fn a_pulled_image_has_the_digest_it_was_asked_by() {
    let ground = ground_with("overlay2");
    let remote = remote(&[tar(&[("a", b"1")])], Compression::Gzip);
    let ingest = ground.store.begin(remote.specs.clone()).unwrap();
    ingest.missing().into_iter().for_each(|ticket| remote.fetch(ticket).unwrap());
    let id = ingest.publish(remote.publication(&[])).unwrap();
    let digest = Digester::of(&remote.manifest.bytes);
    assert!(ground.store.record_pull(&id, &name("box:1"), &digest).unwrap());
    assert!(!ground.store.record_pull(&id, &name("box:1"), &digest).unwrap());
    let image = ground.store.get(&format!("box@{digest}")).unwrap();
    assert_eq!((image.id, image.repo_tags()), (id, vec!["box:1".to_owned()]));
    let ingest = ground.store.begin(remote.specs.clone()).unwrap();
    assert_eq!((ingest.existing(), ingest.missing().len()), (1, 0));
}

#[test]
fn a_saved_image_is_loaded_with_the_manifest_that_it_came_with() {
    for driver in DRIVERS {
        let ground = ground_with(driver);
        let remote = remote(&two_layers(), Compression::Gzip);
        remote.pull(&ground, "box:1").unwrap();
        let mut archive = Vec::new();
        ground.store.save(&["box:1"]).unwrap().write(&mut archive).unwrap();
        let packed: u64 = remote.specs.iter().map(|spec| spec.size).sum();
        assert!((archive.len() as u64) < packed + 30_000, "the layers go out as they came");
        let other = ground_with(driver);
        other.load(&archive).unwrap();
        assert_eq!((other.text("box:1", "a"), other.text("box:1", "b")), ("1".into(), "2".into()));
        let push = other.store.export_for_push("box:1").unwrap();
        assert_eq!(push.manifest, remote.manifest);
    }
}

#[test]
fn a_pull_of_layers_that_were_loaded_keeps_the_registrys_archives_too() {
    for driver in DRIVERS {
        let ground = ground_with(driver);
        let empty = ground.everything();
        let layers = two_layers();
        ground.load(&docker_save(&[&layers[0], &layers[1]], &["loaded:1"])).unwrap();
        let remote = remote(&layers, Compression::Gzip);
        let ingest = ground.store.begin(remote.specs.clone()).unwrap();
        assert_eq!((ingest.existing(), ingest.missing().len()), (2, 2));
        drop(ingest);
        remote.pull(&ground, "box:1").unwrap();
        assert_eq!(ground.driver.list().unwrap().len(), 2);
        let ground = ground.reopen();
        assert_eq!(ground.store.export_for_push("box:1").unwrap().manifest, remote.manifest);
        ground.store.remove("box:1", Removal::WhenUnused, &UnusedImages).unwrap();
        assert!(!ground.store.content().contains(&remote.specs[0].blob));
        ground.store.remove("loaded:1", Removal::WhenUnused, &UnusedImages).unwrap();
        let left: Vec<_> = ground.everything().difference(&empty).cloned().collect();
        assert_eq!(left, [format!("image/{driver}/index.json")]);
    }
}
