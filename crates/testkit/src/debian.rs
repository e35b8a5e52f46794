//! A Debian root file system, made by debootstrap once and kept in the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::FlockOperation;

use crate::{command, target_folder};

/// The archive of a minimal Debian 12. The first caller makes it, which takes a minute or two; others wait for it.
///
/// # Panics
/// When debootstrap fails, with what it said.
#[must_use]
pub fn debian_rootfs() -> PathBuf {
    let cache = target_folder().join("debian");
    fs::create_dir_all(&cache).expect("the target folder can be written");
    let lock = File::create(cache.join("lock")).expect("the target folder can be written");
    // Between the threads and the programs of a test run; the system lets go of it should we die.
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("a file can be locked");
    let archive = cache.join("bookworm.tar");
    if !archive.is_file() {
        make(&cache, &archive);
    }
    archive
}

fn make(cache: &Path, archive: &Path) {
    let rootfs = cache.join("rootfs");
    if rootfs.exists() {
        fs::remove_dir_all(&rootfs).expect("what a broken run left can be removed");
    }
    // What it mounts goes with it, even when it is killed.
    let mut debootstrap = command("unshare");
    debootstrap.args(["--mount", "debootstrap", "--variant=minbase", "bookworm"]).arg(&rootfs);
    for proxy in ["http_proxy", "https_proxy", "no_proxy"] {
        if let Some(value) = std::env::var_os(proxy) {
            debootstrap.env(proxy, value);
        }
    }
    run(debootstrap.stdin(Stdio::null()));
    let unfinished = archive.with_extension("unfinished");
    run(command("tar").arg("-C").arg(&rootfs).arg("-cf").arg(&unfinished).arg("."));
    fs::rename(&unfinished, archive).expect("the target folder can be written");
    fs::remove_dir_all(&rootfs).expect("what was made can be removed");
}

/// Without the deadline of other programs: a mirror may be far away.
fn run(command: &mut std::process::Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
