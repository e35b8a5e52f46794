//! `bench`: builds, installs the peers, and runs the comparison where it can leave nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{build, packages};

const PACKAGES: [&str; 10] = [
    "buildah",
    "busybox-static",
    "containernetworking-plugins",
    "crun",
    "debootstrap",
    "docker-registry",
    "docker.io",
    "iptables",
    "isal",
    "podman",
];

/// The cgroups that the measured engines make, below the root of each hierarchy. Podman's cannot be chosen.
const CGROUPS: [&str; 2] = ["barge-bench", "libpod_parent"];

/// `[--profile NAME|--release] [--rounds N] [--only SUBSTRING] [--json FILE]`
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (profile, rest) = split(arguments)?;
    packages::install(&PACKAGES)?;
    let profile = ["--profile".to_owned(), profile];
    let programs = build::programs(&profile)?;
    let mut bench = build::cargo();
    build::run(bench.args(["build", "--package", "barge-benches"]).args(&profile))?;
    // Inside the namespaces there is no network to fetch anything from.
    build::run(Command::new(programs.join("barge-bench")).arg("fetch"))?;
    let folder = PathBuf::from(format!("/var/tmp/barge-bench-{}", std::process::id()));
    let measured = measure(&programs, &folder, &rest);
    let removed = sweep(&folder);
    measured.and(removed)
}

/// The profile, and what is for the program that measures.
fn split(arguments: &[String]) -> anyhow::Result<(String, Vec<String>)> {
    let mut profile = "dist".to_owned();
    let mut rest = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--release" => "release".clone_into(&mut profile),
            "--profile" => {
                arguments.next().context("--profile needs a name")?.clone_into(&mut profile);
            }
            "--json" => {
                let file = arguments.next().context("--json needs a file")?;
                let file = std::path::absolute(file)?;
                rest.extend([argument.clone(), file.to_string_lossy().into_owned()]);
            }
            _ => rest.push(argument.clone()),
        }
    }
    Ok((profile, rest))
}

/// The namespaces end with the program in them, and with them every process, mount, link and rule.
fn measure(programs: &Path, folder: &Path, rest: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(programs.join("barge-bench"))
        .arg("--programs")
        .arg(programs)
        .arg("--folder")
        .arg(folder)
        .args(rest);
    build::run(&mut command)
}

fn sweep(folder: &Path) -> anyhow::Result<()> {
    for hierarchy in fs::read_dir("/sys/fs/cgroup")?.flatten() {
        for name in CGROUPS {
            remove_cgroup(&hierarchy.path().join(name));
        }
    }
    CGROUPS.iter().for_each(|name| remove_cgroup(&Path::new("/sys/fs/cgroup").join(name)));
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot remove {}: {error}", folder.display())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes what is empty of it; what is not belongs to somebody.
fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    fs::remove_dir(path).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> (String, Vec<String>) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        super::split(&words).unwrap()
    }

    #[test]
    fn the_shipped_profile_is_measured_unless_another_is_named() {
        assert_eq!(split("--rounds 3"), ("dist".to_owned(), vec!["--rounds".into(), "3".into()]));
        assert_eq!(split("--release").0, "release");
        assert_eq!(split("--profile dev").0, "dev");
    }

    #[test]
    fn the_file_is_meant_from_where_the_command_is_typed() {
        assert!(Path::new(&split("--json out.json").1[1]).is_absolute());
    }
}
