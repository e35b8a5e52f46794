//! The fuzz target (`fuzz/`) with the corpus of the build tests and with generated inputs, the same in every run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a broken promise is a panic; the target is public in its own crate"
)]

#[path = "../../../fuzz/src/dockerfile.rs"]
mod dockerfile;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Pieces of which Dockerfiles are made.
const PIECES: &[&str] = &[
    "FROM a\n",
    "FROM a AS b\n",
    "ARG A=1\n",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "LABEL ",
    "ONBUILD ",
    "CMD ",
    "HEALTHCHECK ",
    "SHELL ",
    "VOLUME ",
    "EXPOSE ",
    "WORKDIR ",
    "USER ",
    "--mount=",
    "--from=",
    "--chown=",
    "--",
    "type=cache,",
    "target=/a,",
    "size=1g,",
    "<<E",
    "<<-'F'",
    "<<\"G H\"",
    "3<<E",
    "E\n",
    "F\n",
    "G H\n",
    "\tF\n",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "\t",
    "\\",
    "`",
    "\\\n",
    "\\ \n",
    "`\n",
    "# escape=`\n",
    "# syntax=docker/dockerfile\n",
    "# check=skip=all\n",
    "# check=experimental=all\n",
    "// syntax=y\n",
    "#!a\n",
    "# c\n",
    "#",
    "[\"a\", \"b\"]",
    "[",
    "]",
    "\"",
    "'",
    "$",
    "$A",
    "${A}",
    "${AA:-",
    "${A#",
    "${A%%",
    "${A/",
    "${A//",
    "/",
    "}",
    "{",
    ":",
    "?",
    "*",
    "**",
    "**/",
    "!",
    "[a-c]",
    "[^",
    "a",
    "b=c",
    "=",
    ",",
    "é",
    "\u{feff}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "NONE",
    "--interval=1s ",
    "AS ",
    "$$",
    ".",
    "..",
    "80/tcp ",
    "1:2",
    "{}",
    "<<",
    "<<<",
];

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The Dockerfiles and ignore files of a folder and those in it.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() && name.contains("ocker") {
            found.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/build");
    let mut found = Vec::new();
    files(&folder, &mut found);
    found.sort();
    found
}

#[test]
fn the_corpus_is_read() {
    let corpus = corpus();
    assert!(corpus.len() >= 150, "{}", corpus.len());
    for (name, data) in corpus {
        dockerfile::check(&data);
        // The other folders have those that are to fail.
        if name.contains("/corpus/") && name.ends_with("ockerfile") {
            let text = String::from_utf8(data).unwrap();
            if let Err(error) = barge_dockerfile::parse("Dockerfile", &text) {
                panic!("{name}: {error}");
            }
        }
    }
}

#[test]
fn mutations_of_the_corpus_do_no_harm() {
    let seeds: Vec<Vec<u8>> = corpus().into_iter().map(|(_, data)| data).collect();
    let change = (any::<prop::sample::Index>(), prop::sample::select(PIECES.to_vec()), 0..4_u8);
    let input = (prop::sample::select(seeds), prop::collection::vec(change, 0..6));
    let result = runner(3_000).run(&input, |(mut data, changes)| {
        for (at, piece, kind) in changes {
            let at = at.index(data.len() + 1);
            match kind {
                0 => data.truncate(at),
                1 => drop(data.splice(at..at, piece.bytes())),
                2 => drop(data.splice(at..data.len().min(at + piece.len()), piece.bytes())),
                _ => drop(data.drain(at..data.len().min(at + piece.len()))),
            }
        }
        dockerfile::check(&data);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn whatever_is_put_together_does_no_harm() {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40);
    let result = runner(10_000).run(&pieces, |pieces| {
        dockerfile::check(pieces.concat().as_bytes());
        dockerfile::check(format!("FROM a\n{}", pieces.concat()).as_bytes());
        Ok(())
    });
    result.unwrap();
}
