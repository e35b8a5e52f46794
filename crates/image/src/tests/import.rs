//! A root file system becomes an image.

use super::archives::{compressed, tar};
use super::*;
use barge_archive::Digester;
use barge_archive::compression::Compression;

#[test]
fn every_compression_gives_the_same_layer() {
    let plain = tar(&[("etc/motd", b"hello")]);
    for format in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let ground = ground();
        ground.import(compressed(&plain, format), "box");
        let image = ground.store.get("box").unwrap();
        assert_eq!(image.diff_ids, [Digester::of(&plain)]);
        assert_eq!(image.size, 5);
        assert_eq!(ground.text("box", "etc/motd"), "hello");
    }
}

#[test]
fn message_changes_and_platform_are_in_the_configuration() {
    let ground = ground();
    let options = ImportOptions {
        message: "from a tar".to_owned(),
        changes: vec!["CMD [\"sh\"]".to_owned(), "ENV A=b".to_owned()],
        platform: Some("linux/arm64/v8".parse().unwrap()),
    };
    let id = ground.store.import(stream(tar(&[("a", b"")])), None, &options).unwrap();
    let image = ground.store.get(&id.to_string()).unwrap();
    assert!(image.references.is_empty());
    assert_eq!(image.config.comment, "from a tar");
    assert_eq!(image.config.history[0].comment, "from a tar");
    assert_eq!(
        (image.config.architecture.as_str(), image.config.variant.as_str()),
        ("arm64", "v8")
    );
    let config = image.config.config.clone().unwrap();
    assert_eq!(config.cmd.unwrap(), ["sh"]);
    assert_eq!(config.env, ["A=b"]);
    assert_eq!(Digester::of(&ground.store.config_bytes(&id).unwrap()), id.digest());
}

#[test]
fn an_image_survives_a_restart_byte_for_byte() {
    let ground = ground();
    let id = ground.import(tar(&[("a", b"x")]), "box");
    let before = ground.store.config_bytes(&id).unwrap();
    let ground = ground.reopen();
    assert_eq!(ground.store.get("box").unwrap().id, id);
    assert_eq!(ground.store.config_bytes(&id).unwrap(), before);
    assert_eq!(ground.text("box", "a"), "x");
    assert!(ground.store.damaged().is_empty());
}

#[test]
fn what_is_no_whole_archive_is_refused_and_leaves_nothing() {
    let whole = tar(&[("a", &[7; 3000]), ("b", &[8; 3000])]);
    let cut = |bytes: &[u8], at| bytes[..at].to_vec();
    let packed = compressed(&whole, Compression::Gzip);
    let mut corrupt = whole.clone();
    corrupt[10] ^= 1;
    let mut damaged = packed.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 0xff;
    for (what, bytes) in [
        ("text", b"this is no archive, only some text".to_vec()),
        ("cut tar", cut(&whole, 2000)),
        ("cut gzip", cut(&packed, packed.len() - 9)),
        ("wrong checksum of a header", corrupt),
        ("wrong checksum of gzip", damaged),
        ("xz", b"\xfd7zXZ\0 and more".to_vec()),
        ("a name that climbs out", tar(&[("../../evil", b"x")])),
    ] {
        let ground = ground();
        let before = ground.everything();
        let done =
            ground.store.import(stream(bytes), Some(&name("box")), &ImportOptions::default());
        assert!(done.is_err(), "{what}");
        assert_eq!(ground.everything(), before, "{what}");
        assert!(ground.store.list().is_empty());
    }
}

#[test]
fn a_wrong_change_is_refused_before_anything_is_read() {
    struct Unread;
    impl std::io::Read for Unread {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("was read");
        }
    }
    let options = ImportOptions { changes: vec!["RUN x".to_owned()], ..Default::default() };
    let error = ground().store.import(Box::new(Unread), None, &options).unwrap_err();
    assert_eq!(error.to_string(), "RUN is not a valid change command");
}

#[test]
fn the_builtin_image_is_the_same_each_time() {
    let make = || {
        let ground = ground();
        let config = barge_oci::image::ImageConfig {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            ..Default::default()
        };
        ground
            .store
            .create_builtin(stream(tar(&[("hello", b"x")])), &name("hello"), config)
            .unwrap()
    };
    assert_eq!(make(), make());
}

#[test]
fn the_same_files_twice_are_one_layer() {
    let ground = ground();
    let layer = tar(&[("a", b"x")]);
    ground.import(layer.clone(), "one");
    let options = ImportOptions { message: "other".to_owned(), ..Default::default() };
    ground.store.import(stream(layer), Some(&name("two")), &options).unwrap();
    assert_eq!(ground.driver.list().unwrap().len(), 1);
    assert_eq!(ground.store.list().len(), 2);
}
