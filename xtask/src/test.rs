//! The one test command: everything is tested for real, as root, on this machine and in a small virtual one.

use anyhow::bail;

use crate::{build, packages, vm_test};

/// What the tests use besides Rust.
const PACKAGES: [&str; 21] = [
    "btrfs-progs",
    "busybox-static",
    "bzip2",
    "crun",
    "debootstrap",
    "docker-compose",
    "docker-registry",
    "docker.io",
    "e2fsprogs",
    "fuse-overlayfs",
    "git",
    "iproute2",
    "nftables",
    "procps",
    "python3-docker",
    "skopeo",
    "tmux",
    "qemu-system-x86",
    "xfsprogs",
    "xz-utils",
    "zstd",
];

/// Installs, builds, tests; arguments are handed to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    if !is_root() {
        bail!("the tests make namespaces, mounts and links: run them as root");
    }
    packages::install(&PACKAGES)?;
    // The programs under test, and those that tests run inside containers. With the whole workspace's features, so that
    // nothing is built a second time for the tests.
    build::run(build::cargo().args(["build", "--workspace", "--bins"]))?;
    let mut tests = build::cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
    build::run(&mut tests)?;
    vm_test::run(&[])
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t0\t")))
}
