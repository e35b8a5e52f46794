//! Builds the programs. They end up in one folder, where each finds the others beside itself.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

/// The programs that make up barge; `barge-hello` is what the built-in image runs.
pub(crate) const PROGRAMS: [&str; 5] =
    ["barge", "barged", "barge-shim", "barge-runtime", "barge-hello"];

/// The workspace's root: xtask's own folder is one below it.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A `cargo` of the toolchain that runs us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command to its end and turns a failure into an error that names it.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

/// Builds all programs and says in which folder they are.
pub(crate) fn programs(arguments: &[String]) -> anyhow::Result<PathBuf> {
    let profile = profile_folder(arguments)?;
    let mut command = cargo();
    command.arg("build").args(arguments);
    for program in PROGRAMS {
        command.args(["--package", program]);
    }
    run(&mut command)?;
    Ok(target_folder().join(profile))
}

/// Where cargo puts what it builds for the target that `.cargo/config.toml` names.
pub(crate) fn target_folder() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("x86_64-unknown-linux-gnu")
}

fn profile_folder(arguments: &[String]) -> anyhow::Result<String> {
    let named = arguments.iter().position(|argument| argument == "--profile");
    Ok(match named {
        Some(at) => arguments.get(at + 1).context("--profile needs a name")?.clone(),
        None if arguments.iter().any(|argument| argument == "--release") => "release".to_owned(),
        None => "debug".to_owned(),
    })
}

/// The first of the README's two commands.
pub(crate) fn quickstart() -> anyhow::Result<()> {
    let programs = programs(&["--release".to_owned()])?;
    let barge = programs.join("barge");
    println!("$ {} run --rm hello", barge.display());
    run(Command::new(barge).args(["run", "--rm", "hello"]))
}
