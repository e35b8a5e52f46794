//! What is inside the virtual machine: busybox, modules, test programs, and the script that runs them.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{SENTINEL, cpio::Archive, kernel::Kernel};

/// What containers and the tests need beyond what is built in.
const MODULES: [&str; 12] = [
    "virtio_pci",
    "virtio_blk",
    "overlay",
    "veth",
    "bridge",
    "br_netfilter",
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_ct",
    "nft_fib_inet",
];

const FOLDERS: [&str; 14] = [
    "bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tests", "tmp", "usr", "usr/bin",
    "var", "var/lib",
];

/// The first program of the guest. `reboot -f` with `-no-reboot` ends qemu.
const INIT: &str = include_str!("../../../tests/vm/init.sh");

/// What to run.
pub(crate) struct Content<'a> {
    /// Test programs.
    pub(crate) tests: Vec<PathBuf>,
    /// Arguments for each of them.
    pub(crate) arguments: &'a [String],
}

/// Writes the archive that the kernel unpacks as its root.
pub(crate) fn write_initramfs(
    path: &Path,
    kernel: &Kernel,
    content: &Content<'_>,
) -> anyhow::Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::new(BufWriter::new(File::create(path)?));
    for folder in FOLDERS {
        archive.directory(folder)?;
    }
    archive.character_device("dev/console", (5, 1))?;
    archive.program("bin/busybox", &read(Path::new("/bin/busybox"))?)?;
    archive.link("bin/sh", "busybox")?;
    let script = INIT
        .replace("@SENTINEL@", SENTINEL)
        .replace("@ARGUMENTS@", &quoted(content.arguments));
    archive.program("init", script.as_bytes())?;
    for (number, module) in kernel.modules(&MODULES)?.iter().enumerate() {
        archive.program(&format!("modules/{number:02}.ko"), &read(module)?)?;
    }
    for program in &content.tests {
        let name = program
            .file_name()
            .context("a test program without a name")?;
        let name = format!("tests/{}", name.to_string_lossy());
        archive.program(&name, &read(program)?)?;
    }
    archive.finish()?;
    Ok(())
}

/// Arguments as a shell reads them back.
fn quoted(arguments: &[String]) -> String {
    let words = arguments
        .iter()
        .map(|argument| format!("'{}'", argument.replace('\'', r"'\''")));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_shell() {
        let arguments = ["a b".to_owned(), "it's".to_owned()];
        assert_eq!(quoted(&arguments), r"'a b' 'it'\''s'");
    }
}
