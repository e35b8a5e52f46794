//! `stats`: what a container uses, one sample a second.
//!
//! Rates are worked out by the client from two samples; each goes out with the processor time of the one before. The
//! numbers are the shim's (its cgroup), the kernel's (network interfaces) and the host's (processor time of all).

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barge_api_types::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats,
    StatsResponse, ThrottlingData,
};
use barge_cgroups as cgroups;
use barge_shim_api::{Request, Response};
use tokio::time::{Interval, MissedTickBehavior};

use super::Containers;
use super::container::{Container, Presence};
use super::settings::NetworkMode;
use crate::error::{EngineError, Result};
use crate::time;

/// Between two samples, as in Docker.
const INTERVAL: Duration = Duration::from_secs(1);

/// The unit of `/proc/stat`, in nanoseconds: `USER_HZ` is 100 on every architecture (proc(5)).
const TICK: u64 = 10_000_000;

/// How many samples are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsMode {
    /// One a second until the container is removed.
    Stream,
    /// One, with the sample of a second before for the rates.
    Once,
    /// One at once, without rates.
    OneShot,
}

/// The samples of one container.
#[derive(Debug)]
pub struct StatsStream {
    containers: Arc<Containers>,
    container: Arc<Container>,
    ticks: Interval,
    last: Option<StatsResponse>,
    mode: StatsMode,
    is_over: bool,
}

impl Containers {
    /// Begins to look at a container.
    pub async fn stats(self: &Arc<Self>, name: &str, mode: StatsMode) -> Result<StatsStream> {
        let container = self.registry.find(name)?;
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is due now.
        ticks.tick().await;
        let containers = Arc::clone(self);
        let mut stream =
            StatsStream { containers, container, ticks, last: None, mode, is_over: false };
        if mode == StatsMode::Once && stream.container.shim().is_some() {
            stream.last = Some(stream.sample().await?);
            stream.ticks.tick().await;
        }
        Ok(stream)
    }
}

impl StatsStream {
    /// The next sample; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<StatsResponse>> {
        if self.is_over || self.container.watch().borrow().presence == Presence::Removed {
            return None;
        }
        if self.mode != StatsMode::Stream {
            self.is_over = true;
        } else if self.last.is_some() {
            self.ticks.tick().await;
        }
        let sample = self.sample().await;
        if let Ok(sample) = &sample {
            self.last = Some(sample.clone());
        }
        Some(sample)
    }

    /// One moment; nothing but the name of a container that does not run.
    async fn sample(&self) -> Result<StatsResponse> {
        let container = &self.container;
        let named = StatsResponse {
            name: format!("/{}", container.name()),
            id: container.id.to_string(),
            read: time::NEVER.to_owned(),
            preread: time::NEVER.to_owned(),
            ..StatsResponse::default()
        };
        let (Some(shim), Some(running)) = (container.shim(), container.state().running()) else {
            return Ok(named);
        };
        let stats = match shim.ask("read the statistics", &Request::Stats).await {
            Ok(Response::Stats(text)) => text,
            // It has ended meanwhile.
            Err(EngineError::ShimGone { .. }) => return Ok(named),
            Err(_) if container.state().running().is_none() => return Ok(named),
            Err(error) => return Err(error),
            Ok(_) => return Err(EngineError::ShimGone { id: container.id.to_string() }),
        };
        let stats: cgroups::Stats = serde_json::from_str(stats.get()).map_err(|source| {
            EngineError::Record { path: "the shim's statistics".to_owned(), source }
        })?;
        let has_own_network = match container.settings().network {
            NetworkMode::Host => false,
            NetworkMode::Named(_) | NetworkMode::Container(_) => true,
        };
        let before = self.last.as_ref();
        Ok(StatsResponse {
            read: time::rfc3339(SystemTime::now()),
            preread: before.map_or_else(|| time::NEVER.to_owned(), |before| before.read.clone()),
            pids_stats: PidsStats {
                current: stats.pids.current,
                limit: stats.pids.limit.unwrap_or_default(),
            },
            blkio_stats: self.blkio(&stats.io),
            cpu_stats: self.cpu(&stats.cpu),
            precpu_stats: before.map(|before| before.cpu_stats.clone()).unwrap_or_default(),
            memory_stats: memory(stats.memory),
            networks: if has_own_network { interfaces(running.pid) } else { BTreeMap::new() },
            ..named
        })
    }

    fn cpu(&self, cpu: &cgroups::CpuStats) -> CpuStats {
        CpuStats {
            cpu_usage: CpuUsage {
                total_usage: cpu.usage_ns,
                percpu_usage: cpu.per_cpu_ns.clone(),
                usage_in_kernelmode: cpu.system_ns,
                usage_in_usermode: cpu.user_ns,
            },
            system_cpu_usage: fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|text| host_time(&text))
                .unwrap_or_default(),
            online_cpus: self.containers.machine.cpus,
            throttling_data: ThrottlingData {
                periods: cpu.throttling.periods,
                throttled_periods: cpu.throttling.throttled_periods,
                throttled_time: cpu.throttling.throttled_ns,
            },
        }
    }

    /// The kernel's two versions write operations in their own way, which clients know.
    fn blkio(&self, io: &cgroups::IoStats) -> BlkioStats {
        let is_v1 = self.containers.machine.has_cgroup_v1;
        let entry = |entry: &cgroups::IoEntry| BlkioEntry {
            major: entry.major,
            minor: entry.minor,
            op: if is_v1 { capitalized(&entry.operation) } else { entry.operation.clone() },
            value: entry.value,
        };
        BlkioStats {
            io_service_bytes_recursive: io.bytes.iter().map(entry).collect(),
            io_serviced_recursive: io.requests.iter().map(entry).collect(),
            ..BlkioStats::default()
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// No limit is the host's memory.
fn memory(memory: cgroups::MemoryStats) -> MemoryStats {
    let host = fs::read_to_string("/proc/meminfo").ok().and_then(|text| host_memory(&text));
    MemoryStats {
        usage: memory.usage,
        max_usage: memory.max_usage,
        limit: host.map_or(memory.limit, |host| memory.limit.min(host)),
        failcnt: memory.failures,
        stats: memory.detail,
    }
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn host_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// All processors' time in nanoseconds: the first seven numbers of `/proc/stat`'s first line. What guests use is in
/// `user` already.
fn host_time(text: &str) -> Option<u64> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(7);
    let ticks: u64 = numbers.map(|number| number.parse::<u64>().ok()).sum::<Option<u64>>()?;
    ticks.checked_mul(TICK)
}

/// The interfaces of a process's network namespace but for loopback.
fn interfaces(pid: u32) -> BTreeMap<String, NetworkStats> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    text.lines().filter_map(interface).filter(|(name, _)| name != "lo").collect()
}

/// A line of `/proc/net/dev`: eight numbers of what came and eight of what went.
fn interface(line: &str) -> Option<(String, NetworkStats)> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> =
        numbers.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let &[
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        _,
        _,
        _,
        _,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..,
    ] = numbers.as_slice()
    else {
        return None;
    };
    let stats = NetworkStats {
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    };
    Some((name.trim().to_owned(), stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_time_is_the_sum_of_seven_numbers() {
        assert_eq!(host_time("cpu  1 2 3 4 5 6 7 100 100 100\ncpu0 1\n"), Some(28 * TICK));
        assert_eq!(host_time("intr 1\n"), None);
    }

    #[test]
    fn memory_of_the_host_is_in_kilobytes() {
        assert_eq!(host_memory("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16384));
        assert_eq!(host_memory("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn an_interface_has_its_name_and_counters() {
        let (name, stats) = interface("  eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0").unwrap();
        assert_eq!(name, "eth0");
        assert_eq!(
            stats,
            NetworkStats {
                rx_bytes: 10,
                rx_packets: 2,
                rx_errors: 3,
                rx_dropped: 4,
                tx_bytes: 50,
                tx_packets: 6,
                tx_errors: 7,
                tx_dropped: 8
            }
        );
        assert!(interface("Inter-|   Receive").is_none());
        assert!(interface(" face |bytes: packets").is_none());
    }
}
