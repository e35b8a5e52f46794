//! The fuzz targets (`fuzz/`) with generated inputs: mutations of good ones, the same in every run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a broken promise is a panic; the targets are public in their own crate"
)]

#[path = "../../../fuzz/src/manifest.rs"]
mod manifest;
#[path = "../../../fuzz/src/reference.rs"]
mod reference;
#[path = "../../../fuzz/src/tar.rs"]
mod tar;

use barge_archive::tar::{EntryKind, Header, Segment, Writer};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Runs a check with mutations of the seeds.
fn run(cases: u32, seeds: &[Vec<u8>], check: fn(&[u8])) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..5_u8);
    let input = (prop::sample::select(seeds.to_vec()), prop::collection::vec(change, 0..6));
    let result = runner.run(&input, |(mut data, changes)| {
        for (at, byte, kind) in changes {
            if data.is_empty() {
                break;
            }
            let at = at.index(data.len());
            match kind {
                0 => data[at] = byte,
                1 => data[at] ^= 1 << (byte % 8),
                2 => data.truncate(at),
                3 => data.insert(at, byte),
                _ => {
                    let part = data[at..data.len().min(at + usize::from(byte))].to_vec();
                    data.extend(part);
                }
            }
        }
        check(&data);
        Ok(())
    });
    result.unwrap();
}

/// Sets the checksums of all blocks that look like headers, so that changes get further than those.
fn repaired(data: &[u8]) {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    tar::check(&data);
}

fn archives() -> Vec<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    let mut long = Header::new("folder/".to_owned() + &"n".repeat(150), EntryKind::Regular);
    long.xattrs.insert(b"user.x".to_vec(), b"y".to_vec());
    (long.uid, long.mtime.seconds) = (3_000_000, -5);
    let mut link = Header::new("link", EntryKind::Symlink);
    link.link = b"../../outside".to_vec();
    let mut hard = Header::new("hard", EntryKind::HardLink);
    hard.link = b"file".to_vec();
    let mut sparse = Header::new("sparse", EntryKind::Regular);
    sparse.size = 1 << 20;
    writer.append_bytes(&Header::new("folder", EntryKind::Directory), b"").unwrap();
    writer.append_bytes(&Header::new("file", EntryKind::Regular), b"content").unwrap();
    for header in [&long, &link, &hard] {
        writer.append_bytes(header, b"").unwrap();
    }
    let map = [Segment { offset: 4096, length: 3 }, Segment { offset: 1 << 20, length: 0 }];
    writer.append_sparse(&sparse, &map, &mut &b"abc"[..]).unwrap();
    for name in ["link/file", "folder/.wh.x", "folder/.wh..wh..opq", "file/below", "../climbs"] {
        writer.append_bytes(&Header::new(name, EntryKind::Regular), b"").unwrap();
    }
    let all = writer.finish().unwrap();
    let mut one = Writer::new(Vec::new());
    one.append_bytes(&Header::new("file", EntryKind::Regular), b"content").unwrap();
    vec![all, one.finish().unwrap()]
}

#[test]
fn archives_of_all_kinds() {
    run(1000, &archives(), tar::check);
}

#[test]
fn archives_with_right_checksums() {
    run(1000, &archives(), repaired);
}

#[test]
fn manifests_of_all_kinds() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let descriptor = |kind: &str| {
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":1234,"urls":null,"x":[1.5]}}"#)
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"m","config":{},"layers":[{}],"annotations":{{"a":"b"}}}}"#,
        descriptor("c"),
        descriptor("l")
    );
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}],"extra":{{}}}}"#, descriptor("m"));
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","created":"2020-01-02T03:04:05.678Z","config":{{"Env":["A=b"],
        "Cmd":["x"],"ExposedPorts":{{"80/tcp":{{}}}},"Labels":null}},"rootfs":{{"type":"layers",
        "diff_ids":["{digest}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#
    );
    let seeds: Vec<Vec<u8>> = [manifest, index, config].map(String::into_bytes).into();
    run(5000, &seeds, manifest::check);
}

#[test]
fn references_of_all_kinds() {
    let digest = format!("@sha256:{}", "0a".repeat(32));
    let seeds: Vec<Vec<u8>> = [
        "debian".to_owned(),
        "localhost/a/b:tag".to_owned(),
        "[::1]:5000/x__y/z--w".to_owned(),
        format!("registry.example.com:5000/team/app:1.0_rc-1{digest}"),
        format!("docker.io/library/debian{digest}"),
    ]
    .map(String::into_bytes)
    .into();
    run(20_000, &seeds, reference::check);
}
