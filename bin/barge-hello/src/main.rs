//! What the built-in `hello` image runs: says what it sees from inside its container.
//!
//! Reads files and makes two system calls; needs nothing in its root file system, for there is nothing else in it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A reader that went away is no failure of ours to report: there is nobody to tell.
    match std::io::stdout().write_all(report().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn report() -> String {
    let mut text =
        String::from("Hello from a container that barge made.\n\nWhat I see from in here:\n");
    for (name, value) in [
        ("pid", rustix::process::getpid().as_raw_nonzero().to_string()),
        ("hostname", rustix::system::uname().nodename().to_string_lossy().into_owned()),
        ("uid", rustix::process::getuid().as_raw().to_string()),
        ("addresses", addresses()),
        ("root folder", root_folder()),
        ("memory limit", memory_limit()),
        ("cpu limit", cpu_limit()),
        ("process limit", process_limit()),
    ] {
        // Writing to a String cannot fail.
        writeln!(text, "  {name:<14} {value}").ok();
    }
    text.push_str(
        "\nTry: barge run --rm --memory 64m --cpus 0.5 --network none --hostname box hello\n",
    );
    text
}

/// This host's own addresses: the `/32 host LOCAL` leaves of the routing trie, which needs no netlink.
fn addresses() -> String {
    let trie = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found: Vec<&str> = Vec::new();
    let mut last = "";
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address;
        } else if line == "/32 host LOCAL" && !found.contains(&last) {
            found.push(last);
        }
    }
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

fn root_folder() -> String {
    let Ok(entries) = fs::read_dir("/") else {
        return "unreadable".to_owned();
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names.join(" ")
}

/// The first of the files (v2, then v1) that can be read.
fn limit(files: [&str; 2]) -> Option<String> {
    let text = files.iter().find_map(|file| fs::read_to_string(file).ok())?;
    Some(text.trim().to_owned()).filter(|text| text != "max" && text != "-1")
}

fn memory_limit() -> String {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    // v1 says "no limit" by the largest number of pages that a counter holds.
    match limit(files).and_then(|text| text.parse::<u64>().ok()).filter(|bytes| *bytes < 1 << 60) {
        Some(bytes) => format!("{} MiB", bytes >> 20),
        None => "none".to_owned(),
    }
}

fn cpu_limit() -> String {
    let v2 = fs::read_to_string("/sys/fs/cgroup/cpu.max").ok();
    let v1 = || {
        let quota = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").ok()?;
        let period = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_period_us").ok()?;
        Some(format!("{} {}", quota.trim(), period.trim()))
    };
    let text = v2.or_else(v1).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(quota)), Some(Ok(period))) if quota > 0.0 && period > 0.0 => {
            format!("{} CPUs", quota / period)
        }
        _ => "none".to_owned(),
    }
}

fn process_limit() -> String {
    limit(["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"])
        .unwrap_or_else(|| "none".to_owned())
}
