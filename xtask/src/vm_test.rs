//! Boots a kernel that has cgroup v2 alone and runs the tests that need one.

/// Runs the tests that need a virtual machine.
pub(crate) fn run(_arguments: &[String]) -> anyhow::Result<()> {
    anyhow::bail!("the virtual machine's tests are being written")
}
