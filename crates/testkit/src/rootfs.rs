//! A root file system of busybox: two megabytes, a shell and every usual tool, made for each test run.

use std::process::Command;
use std::sync::OnceLock;

use crate::{TarBuilder, process};

/// The name that [`TestHost::busybox`](crate::TestHost::busybox) gives the image.
pub const BUSYBOX: &str = "busybox";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      daemon:x:1:1:daemon:/:/bin/false\n\
                      worker:x:1000:1000:worker:/home/worker:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nstaff:x:50:worker\nworker:x:1000:\nnogroup:x:65534:\n";

/// The archive of it, to which a test can add.
#[must_use]
pub fn busybox_rootfs() -> TarBuilder {
    static ROOTFS: OnceLock<TarBuilder> = OnceLock::new();
    ROOTFS.get_or_init(build).clone()
}

/// The archive of it.
#[must_use]
pub fn busybox_tar() -> &'static [u8] {
    static ROOTFS: OnceLock<Vec<u8>> = OnceLock::new();
    ROOTFS.get_or_init(|| busybox_rootfs().finish())
}

fn build() -> TarBuilder {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find_map(|path| std::fs::read(path).ok())
        .expect("busybox-static is installed");
    let mut tar = TarBuilder::new();
    for folder in ["bin", "dev", "etc", "home", "mnt", "proc", "root", "sys", "usr", "var"] {
        tar = tar.folder(&format!("{folder}/"), 0o755);
    }
    tar = tar
        .folder("home/worker/", 0o755)
        .folder("tmp/", 0o1777)
        .file("etc/passwd", 0o644, PASSWD.as_bytes())
        .file("etc/group", 0o644, GROUP.as_bytes())
        .file("etc/not-executable", 0o644, b"text\n")
        .file("bin/busybox", 0o755, &busybox);
    for applet in applets() {
        tar = tar.symlink(&format!("bin/{applet}"), "busybox");
    }
    tar
}

fn applets() -> Vec<String> {
    let list = process::Process::start(Command::new("busybox").arg("--list")).wait();
    let names = list.text().lines().filter(|name| *name != "busybox");
    names.map(str::to_owned).collect()
}
