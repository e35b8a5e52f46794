//! Where the programs under test are: beside the test binary's folder, as `cargo build` leaves them.

use std::path::{Path, PathBuf};

/// `target/x86_64-unknown-linux-gnu/debug` of the build that this test is part of.
///
/// # Panics
/// When the test does not run from a target folder.
#[must_use]
pub fn target_folder() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    // …/debug/deps/api-0123456789abcdef
    own.parent().and_then(Path::parent).expect("tests run from target/…/deps").to_path_buf()
}

/// One of barge's programs.
///
/// # Panics
/// When it has not been built: `cargo xtask test` does so before the tests.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = target_folder().join(name);
    assert!(path.is_file(), "{} is not built; `cargo xtask test` builds it", path.display());
    path
}
