//! Runs programs and takes their time, from before the fork to after the reaping.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long it ran; an exit code other than 0 is an error that shows what it said.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let before = Instant::now();
    let output = command.output();
    let time = before.elapsed();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", line(command), output.status, said.trim());
    }
    Ok(time)
}

/// What `work` takes.
pub(crate) fn time(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let before = Instant::now();
    work()?;
    Ok(before.elapsed())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
