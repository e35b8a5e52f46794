//! The fuzz target for build contexts (`fuzz/`) with generated inputs: mutations of hostile ones, the same in every run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a broken promise is a panic; the target is public in its own crate"
)]

#[path = "../../../fuzz/src/context.rs"]
mod context;

use std::io::Write as _;

use barge_archive::compression::{Compression, Encoder};
use barge_archive::tar::{EntryKind, Header, Writer};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Inputs of each run: each makes files.
const CASES: u32 = 1500;

fn archive(entries: &[(&str, EntryKind, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new(name.as_bytes(), *kind);
        let is_link = matches!(kind, EntryKind::Symlink | EntryKind::HardLink);
        let (link, bytes) = if is_link { (*content, "") } else { ("", *content) };
        header.link = link.as_bytes().to_vec();
        header.size = bytes.len() as u64;
        header.mode = 0o4755;
        header.xattrs.insert(b"user.x".to_vec(), b"y".to_vec());
        writer.append_bytes(&header, bytes.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

/// What people send, and what they should not.
fn archives() -> Vec<Vec<u8>> {
    let file = EntryKind::Regular;
    let (link, hard) = (EntryKind::Symlink, EntryKind::HardLink);
    vec![
        archive(&[
            ("./", EntryKind::Directory, ""),
            ("Dockerfile", file, "FROM scratch\n"),
            ("sub/.wh.a", file, ""),
        ]),
        archive(&[
            ("out", link, "../outside"),
            ("out/word", file, "changed"),
            ("out/new", file, ""),
        ]),
        archive(&[("in", link, "../outside/word"), ("h", hard, "in"), ("h", file, "changed")]),
        archive(&[("h", hard, "../outside/word"), ("h", file, "changed")]),
        archive(&[("../outside/word", file, "changed"), ("/outside/word", file, "changed")]),
        archive(&[("a", EntryKind::Fifo, ""), ("b", EntryKind::CharDevice, "")]),
        archive(&[("d/", EntryKind::Directory, ""), ("d", link, "/"), ("d/etc/x", file, "x")]),
        archive(&[
            ("a/b/c", file, "x"),
            ("a/b", link, "."),
            ("a/b/b/b/c", file, "y"),
            ("a", file, ""),
        ]),
    ]
}

fn compressed(bytes: &[u8], format: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Runs the target with mutations of the seeds.
fn run(seeds: Vec<Vec<u8>>, prepare: fn(&mut [u8])) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let input = (prop::sample::select(seeds), prop::collection::vec(change, 0..8));
    let result = TestRunner::new_with_rng(config, random).run(&input, |(mut data, changes)| {
        for (at, byte, kind) in changes {
            let at = at.index(data.len().max(1));
            match kind {
                0 if at < data.len() => data[at] = byte,
                1 if at < data.len() => data[at] ^= 1 << (byte % 8),
                2 => data.insert(at, byte),
                // A block comes again elsewhere.
                _ => {
                    let block = at / 512 * 512;
                    let again: Vec<u8> = data.iter().skip(block).take(512).copied().collect();
                    let place = usize::from(byte) * 512 % (data.len() + 1);
                    let place = place / 512 * 512;
                    data.splice(place..place, again);
                }
            }
        }
        prepare(&mut data);
        context::check(&data);
        Ok(())
    });
    result.unwrap();
}

/// Sets the checksums of all blocks that look like headers, so that changes get further than those.
fn repair(data: &mut [u8]) {
    for block in data.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

#[test]
fn archives_as_contexts_keep_the_promises() {
    run(archives(), repair);
}

#[test]
fn compressed_contexts_and_lone_dockerfiles_keep_the_promises() {
    let mut seeds = vec![b"FROM scratch\nCOPY <<EOF /x\nhi\nEOF\n".to_vec(), vec![0; 1024]];
    for format in [Compression::Gzip, Compression::Zstd] {
        seeds.extend(archives().iter().map(|archive| compressed(archive, format)));
    }
    run(seeds, |_| {});
}
