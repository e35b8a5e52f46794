//! The long form of the soak tests: ten thousand containers one after the other, two hundred at once.

use anyhow::bail;

use crate::{build, packages};

/// Runs one after the other unless told otherwise.
const RUNS: &str = "10000";
/// Containers at once unless told otherwise.
const AT_ONCE: &str = "200";

/// Runs them; `--runs N` and `--at-once N` say how many.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (mut runs, mut at_once) = (RUNS, AT_ONCE);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().filter(|value| value.parse::<u32>().is_ok());
        match (flag.as_str(), value) {
            ("--runs", Some(value)) => runs = value,
            ("--at-once", Some(value)) => at_once = value,
            _ => bail!("{flag:?} is not understood: expected --runs N or --at-once N"),
        }
    }
    packages::install(&["busybox-static", "iproute2", "nftables"])?;
    build::run(build::cargo().args(["build", "--workspace", "--bins"]))?;
    let mut tests = build::cargo();
    tests
        .args(["test", "-p", "barge-tests-cli", "soak::", "--", "--nocapture", "--test-threads=1"])
        .env("BARGE_SOAK_RUNS", runs)
        .env("BARGE_SOAK_AT_ONCE", at_once);
    build::run(&mut tests)
}
