//! What processes cost in memory, as the kernel counts it in `smaps_rollup`.

use std::collections::BTreeMap;
use std::fs;

use crate::peers::Who;

/// In megabytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) rss: f64,
    /// Shared pages count in part.
    pub(crate) pss: f64,
}

/// A daemon and the daemons it has started for itself, without what keeps containers.
pub(crate) fn daemon(pid: u32) -> anyhow::Result<Memory> {
    let processes = processes()?;
    let is_family = |process: &Process| {
        process.pid == pid || (process.parent == pid && process.name == "containerd")
    };
    let mut total = Memory::default();
    for process in processes.iter().filter(|process| is_family(process)) {
        // One that has gone meanwhile costs nothing.
        let memory = rollup(process.pid).unwrap_or_default();
        total.rss += memory.rss;
        total.pss += memory.pss;
    }
    Ok(total)
}

/// Lets the kernel count the peak of a process anew.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The most that a process had in memory since, in megabytes.
pub(crate) fn peak(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: f64 = line.unwrap_or_default().trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}

/// The PSS of all processes that exist for the containers of one engine.
pub(crate) fn keepers(who: Who) -> anyhow::Result<f64> {
    let names: &[&str] = match who {
        Who::Barge | Who::DockerToBarge => &["barge-shim"],
        // Names are cut after fifteen letters.
        Who::Docker => &["containerd-shim", "docker-proxy"],
        Who::Podman => &["conmon"],
        Who::BuildKit | Who::Buildah | Who::Floor => &[],
    };
    let processes = processes()?;
    let keepers = processes.iter().filter(|process| names.contains(&process.name.as_str()));
    Ok(keepers.filter_map(|process| rollup(process.pid)).map(|memory| memory.pss).sum())
}

struct Process {
    pid: u32,
    parent: u32,
    name: String,
}

fn processes() -> anyhow::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Processes go while one looks at them.
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let fields: BTreeMap<&str, &str> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key, value.trim()))
            .collect();
        found.push(Process {
            pid,
            parent: fields.get("PPid").and_then(|text| text.parse().ok()).unwrap_or(0),
            name: fields.get("Name").copied().unwrap_or_default().to_owned(),
        });
    }
    Ok(found)
}

fn rollup(pid: u32) -> Option<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kilobytes / 1024.0)
    };
    Some(Memory { rss: field("Rss:")?, pss: field("Pss:")? })
}
