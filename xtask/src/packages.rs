//! The Debian packages that tests and benches use as real peers and tools.

use std::process::Command;

use anyhow::bail;

use crate::build::run;

/// Installs those of the packages that are missing, without starting the services that some of them bring.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if Command::new("apt-get").arg("--version").output().is_err() {
        bail!("this is no Debian: install by hand what is missing: {}", missing.join(" "));
    }
    println!("installing {}", missing.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        // RUNLEVEL=1 keeps invoke-rc.d from starting what is installed.
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").arg("-q");
        command
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "-y", "--no-install-recommends"]).args(&missing))
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}
