//! What is inside the virtual machine: busybox, modules, test programs, and the script that runs them.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
};

use anyhow::Context as _;

use super::{Built, SENTINEL, cpio::Archive, kernel::Kernel};
use crate::build::PROGRAMS;

/// What containers and the tests need beyond what is built in.
const MODULES: [&str; 19] = [
    "virtio_pci",
    "virtio_blk",
    "overlay",
    "loop",
    "crc32c_generic",
    "ext4",
    "quota_v2",
    "xfs",
    "btrfs",
    "fuse",
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

/// Programs of this machine that tests of layers start.
const FOREIGN: [&str; 5] = ["fuse-overlayfs", "mkfs.btrfs", "mkfs.ext4", "mkfs.xfs", "mount"];

const FOLDERS: [&str; 15] = [
    "bin", "dev", "etc", "folders", "modules", "proc", "root", "run", "sys", "tests", "tmp", "usr",
    "usr/bin", "var", "var/lib",
];

/// The first program of the guest. `reboot -f` with `-no-reboot` ends qemu.
const INIT: &str = include_str!("../../../tests/vm/init.sh");

/// Containers of the whole engine, as a test like the others.
const CONTAINERS: &str = include_str!("../../../tests/vm/containers.sh");

/// What to run.
pub(crate) struct Content<'a> {
    /// The folder with barge's own programs.
    pub(crate) programs: &'a Path,
    /// Tests, and what they start.
    pub(crate) built: Built,
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
    let script =
        INIT.replace("@SENTINEL@", SENTINEL).replace("@ARGUMENTS@", &quoted(content.arguments));
    archive.program("init", script.as_bytes())?;
    for (number, module) in kernel.modules(&MODULES)?.iter().enumerate() {
        archive.program(&format!("modules/{number:02}.ko"), &read(module)?)?;
    }
    for name in PROGRAMS {
        archive.program(&format!("usr/bin/{name}"), &read(&content.programs.join(name))?)?;
    }
    // In byte order behind the tests of the parts: the whole comes last.
    archive.program("tests/whole_engine", CONTAINERS.as_bytes())?;
    archive.program("folders/whole_engine", b"/root")?;
    for test in &content.built.tests {
        let name = test.program.file_name().context("a test without a name")?;
        let name = name.to_string_lossy();
        archive.program(&format!("tests/{name}"), &read(&test.program)?)?;
        let folder = test.folder.to_string_lossy();
        archive.program(&format!("folders/{name}"), folder.as_bytes())?;
        add_folders(&mut archive, &test.folder)?;
    }
    for program in &content.built.programs {
        add(&mut archive, program, &read(program)?)?;
    }
    for name in FOREIGN {
        add_foreign(&mut archive, name)?;
    }
    // Tests that make sure that a program is built ask cargo: here it is.
    let cargo = std::env::var_os("CARGO").context("CARGO is not set")?;
    add(&mut archive, Path::new(&cargo), b"#!/bin/sh\n")?;
    archive.finish()?;
    Ok(())
}

/// Adds a program of this machine, found as a shell finds it, and the libraries that it loads.
fn add_foreign(archive: &mut Archive<impl Write>, name: &str) -> anyhow::Result<()> {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let mut programs = folders.iter().map(|folder| Path::new(folder).join(name));
    let program = programs.find(|program| program.is_file());
    let program = program.with_context(|| format!("there is no program {name}"))?;
    let content = fs::read(&program)?;
    // Beside the tests' other programs: the folders of system programs belong to busybox there.
    archive.program(&format!("usr/bin/{name}"), &content)?;
    let output = Command::new("ldd").arg(&program).output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        add(archive, Path::new(library), &fs::read(library)?)?;
    }
    Ok(())
}

/// Adds a program at the absolute path that it has here.
fn add(archive: &mut Archive<impl Write>, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        add_folders(archive, folder)?;
    }
    archive.program(inside(path)?, content)?;
    Ok(())
}

/// Adds a folder and those above it; one that is there already stays as it is.
fn add_folders(archive: &mut Archive<impl Write>, path: &Path) -> anyhow::Result<()> {
    let mut folders: Vec<&Path> = path.ancestors().collect();
    folders.pop();
    for folder in folders.into_iter().rev() {
        archive.directory(inside(folder)?)?;
    }
    Ok(())
}

fn inside(path: &Path) -> anyhow::Result<&str> {
    let text = path.to_str().and_then(|text| text.strip_prefix('/'));
    text.with_context(|| format!("{} is not an absolute path in UTF-8", path.display()))
}

/// Arguments as a shell reads them back.
fn quoted(arguments: &[String]) -> String {
    let words = arguments.iter().map(|argument| format!("'{}'", argument.replace('\'', r"'\''")));
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
