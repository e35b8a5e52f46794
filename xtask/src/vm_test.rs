//! Boots a kernel that has cgroup v2 alone and runs the tests that need one.
//!
//! Debian's cloud kernel and an initramfs of our own static programs and busybox, under qemu's own processor: KVM is
//! never used, so that the tests run inside virtual machines too. The guest prints one line at the end that says how it
//! went; a guest that prints none before the deadline is stopped and has failed.

mod cpio;
mod guest;
mod kernel;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    build::{self, cargo, target_folder},
    packages,
};

/// Boot takes some 15 seconds, the tests about six minutes, most of them layers; a slow machine gets five times that.
const DEADLINE: Duration = Duration::from_secs(1800);
/// What the guest's last line begins with; `ok` or what failed comes behind it.
pub(crate) const SENTINEL: &str = "barge-vm-result:";

/// What is tested in the guest: limits, filters and layers by themselves (its kernel has file systems with quotas and an
/// older overlayfs), then whole containers.
const PACKAGES: [&str; 5] =
    ["barge-cgroups", "barge-seccomp", "barge-runtime", "barge-shim", "barge-storage"];

/// Tests that look at folders which only cgroup v1 has; what they show is shown by others here.
const ABOUT_V1: [&str; 2] = [
    "the_own_cgroup_is_the_root_of_what_is_seen_and_read_only",
    "the_hosts_view_of_cgroups_shows_the_own_group_too",
];

/// Runs the tests that need a virtual machine. Arguments are handed to the test programs.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    packages::install(&[
        "btrfs-progs",
        "busybox-static",
        "e2fsprogs",
        "fuse-overlayfs",
        "qemu-system-x86",
        "xfsprogs",
    ])?;
    let folder = target_folder().join("vm");
    fs::create_dir_all(&folder)?;
    let kernel = kernel::fetch(&folder)?;
    let programs = build::programs(&[])?;
    let built = build_tests()?;
    let mut arguments = arguments.to_vec();
    for name in ABOUT_V1 {
        println!("skipped, because it is about cgroup v1: {name}");
        arguments.extend(["--skip".to_owned(), name.to_owned()]);
    }
    let initramfs = folder.join("initramfs.cpio");
    guest::write_initramfs(
        &initramfs,
        &kernel,
        &guest::Content { built, programs: &programs, arguments: &arguments },
    )?;
    boot(&kernel.image, &initramfs)
}

/// What cargo built.
#[derive(Default)]
pub(crate) struct Built {
    pub(crate) tests: Vec<Test>,
    /// Programs that tests start. They know their absolute paths, so that is where they are in the guest too.
    pub(crate) programs: Vec<PathBuf>,
}

/// A test program.
pub(crate) struct Test {
    pub(crate) program: PathBuf,
    /// The package's own folder, in which cargo starts it.
    pub(crate) folder: PathBuf,
}

/// Builds the tests of all packages, and what they start.
fn build_tests() -> anyhow::Result<Built> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format=json"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cannot build the tests for the virtual machine");
    }
    let mut built = Built::default();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<serde_json::Value>(line) else {
            continue;
        };
        let Some(program) = message["executable"].as_str().map(PathBuf::from) else {
            continue;
        };
        let manifest = message["manifest_path"].as_str().map(Path::new);
        let folder = manifest.and_then(Path::parent).context("a program without a package")?;
        if message["profile"]["test"] == true {
            let folder = folder.to_owned();
            built.tests.push(Test { program, folder });
        } else {
            built.programs.push(program);
        }
    }
    if built.tests.len() < PACKAGES.len() {
        bail!("cargo built only {} test programs", built.tests.len());
    }
    Ok(built)
}

/// Boots, passes on what the guest prints, and fails unless the guest says that all went well.
fn boot(kernel: &Path, initramfs: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
        .args(["-m", "3G", "-nographic", "-no-reboot", "-net", "none"])
        // A disk that reads as zeros: block I/O limits need a device.
        .args(["-drive", "driver=null-co,size=64M,read-zeroes=on,if=virtio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args([
            "-append",
            "console=ttyS0 rootfstype=tmpfs panic=-1 quiet cgroup_no_v1=all mitigations=off",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let mut machine = Machine(child);
    let result = machine.watch(Instant::now() + DEADLINE)?;
    match result.as_deref() {
        Some("ok") => Ok(()),
        Some(failed) => bail!("failed in the virtual machine: {failed}"),
        None => bail!("the virtual machine ended without a result"),
    }
}

/// A running qemu; it does not outlive us.
struct Machine(Child);

impl Machine {
    /// Prints lines until the one with the result.
    fn watch(&mut self, deadline: Instant) -> anyhow::Result<Option<String>> {
        let output = self.0.stdout.take().context("qemu has no output")?;
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                match lines.read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) if send.send(line).is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match receive.recv_timeout(left) {
                Ok(line) => {
                    let line = String::from_utf8_lossy(&line);
                    let line = line.trim_end();
                    if let Some(result) = line.strip_prefix(SENTINEL) {
                        return Ok(Some(result.trim().to_owned()));
                    }
                    println!("vm: {line}");
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the virtual machine gave no result within {DEADLINE:?}");
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
