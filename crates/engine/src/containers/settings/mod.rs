//! What a request says of a container, parsed at the door: from here on it is valid.
//!
//! Pure: the same wire types are read again from the record after a restart of the daemon. What barge does not have
//! is refused here by name; nothing is accepted and ignored.

mod discard;
mod links;
mod machine;
mod modes;
mod mounts;
mod ports;
mod resources;
mod security;

use std::time::Duration;

use barge_api_types::{ContainerConfig, EndpointSettings, HostConfig};
use barge_network::PortRequest;
use barge_oci::runtime::{LinuxResources, Rlimit};
use barge_types::{RestartPolicy, Signal};

pub(crate) use discard::{discard_limits, discard_unsupported};
pub(crate) use links::LinkTo;
pub(crate) use machine::{Host, SecurityModules};
pub(crate) use modes::{CgroupMode, IpcMode, NetworkMode, PidMode, UtsMode};
pub(crate) use mounts::{WantedMount, clean, destination_of, parse_mounts};
#[cfg(test)]
use resources::device_rule;
pub(crate) use resources::{block_io, to_limits};
pub(crate) use security::{NewPrivileges, SeccompChoice, Security, SystemPaths, all_capabilities};

use super::health::HealthCheck;
use crate::error::{EngineError, Result};

/// A container's settings, valid.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) stop_signal: Signal,
    /// How long `stop` waits; `None` for ever.
    pub(crate) stop_timeout: Option<Duration>,
    pub(crate) restart: RestartPolicy,
    pub(crate) network: NetworkMode,
    pub(crate) pid: PidMode,
    pub(crate) ipc: IpcMode,
    pub(crate) uts: UtsMode,
    pub(crate) cgroup: CgroupMode,
    pub(crate) ports: Vec<PortRequest>,
    pub(crate) links: Vec<LinkTo>,
    /// Without those of block devices, which are looked at when a container starts.
    pub(crate) resources: LinuxResources,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) security: Security,
    pub(crate) health: Option<HealthCheck>,
}

/// What Docker waits between the stop signal and the kill.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds errors of bad requests.
pub(crate) fn invalid(text: impl Into<String>) -> EngineError {
    EngineError::Invalid(text.into())
}

impl Settings {
    /// A request's settings: everything is checked that can be without looking at the host's other objects.
    pub(crate) fn parse_request(
        config: &ContainerConfig,
        host: &HostConfig,
        machine: &Host,
    ) -> Result<Self> {
        modes::check_network(&NetworkMode::parse(&host.network_mode)?, config, host)?;
        modes::check_hostname(&host.uts_mode, config)?;
        refuse_unsupported(host)?;
        block_io(&host.resources)?;
        Self::parse(config, host, machine)
    }

    /// A record's settings: what a request leaves out has been filled in.
    pub(crate) fn parse(
        config: &ContainerConfig,
        host: &HostConfig,
        machine: &Host,
    ) -> Result<Self> {
        let restart = RestartPolicy::from_api(
            &host.restart_policy.name,
            host.restart_policy.maximum_retry_count,
        )
        .map_err(|error| invalid(error.to_string()))?;
        if host.auto_remove && restart != RestartPolicy::No {
            return Err(invalid("can't create 'AutoRemove' container with restart policy"));
        }
        let network = NetworkMode::parse(&host.network_mode)?;
        let uts = UtsMode::parse(&host.uts_mode)?;
        check_paths(config, host)?;
        modes::check_user_namespace(&host.userns_mode)?;
        Ok(Self {
            stop_signal: stop_signal(config)?,
            stop_timeout: stop_timeout(config),
            restart,
            pid: PidMode::parse(&host.pid_mode)?,
            ipc: IpcMode::parse(&host.ipc_mode)?,
            uts,
            // Records of before have no mode.
            cgroup: CgroupMode::parse(match host.cgroupns_mode.as_str() {
                "" => CgroupMode::default_for(host, machine),
                mode => mode,
            })?,
            ports: ports::parse(config, host, &network)?,
            links: host.links.iter().map(|text| LinkTo::parse(text)).collect::<Result<_>>()?,
            network,
            resources: resources::parse(&host.resources, machine)?,
            rlimits: resources::rlimits(&host.resources)?,
            security: Security::parse(host, machine.modules)?,
            health: HealthCheck::parse(config, host)?,
        })
    }
}

fn stop_signal(config: &ContainerConfig) -> Result<Signal> {
    match config.stop_signal.as_str() {
        "" => Ok(Signal::TERM),
        text => text.parse().map_err(|_| invalid(format!("invalid signal: {text}"))),
    }
}

fn stop_timeout(config: &ContainerConfig) -> Option<Duration> {
    to_timeout(config.stop_timeout, Some(STOP_TIMEOUT))
}

/// A negative number of seconds means "for ever"; none means `default`.
pub(crate) fn to_timeout(seconds: Option<i64>, default: Option<Duration>) -> Option<Duration> {
    match seconds {
        None => default,
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    }
}

fn check_paths(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let folder = &config.working_dir;
    if !folder.is_empty() && !folder.starts_with('/') {
        return Err(invalid(format!(
            "the working directory '{folder}' is invalid, it needs to be an absolute path"
        )));
    }
    for variable in &config.env {
        if variable.is_empty() || variable.starts_with('=') {
            return Err(invalid(format!("invalid environment variable: {variable}")));
        }
    }
    // Each is written as a line, or a part of one, into files of /etc.
    let names = [("hostname", &config.hostname), ("domainname", &config.domainname)];
    let lists = [
        ("DNS server", &host.dns),
        ("DNS search domain", &host.dns_search),
        ("DNS option", &host.dns_options),
    ];
    let of_lists = lists.iter().flat_map(|(what, list)| list.iter().map(|text| (*what, text)));
    for (what, text) in names.into_iter().chain(of_lists) {
        if text.contains(|letter: char| letter.is_control() || letter == ' ') {
            return Err(invalid(format!("invalid {what} {text:?}")));
        }
    }
    if host.shm_size < 0 {
        return Err(invalid("SHM size can not be less than 0"));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    for entry in &host.extra_hosts {
        barge_network::hosts_file::ExtraHost::parse(entry)
            .map_err(|error| invalid(error.to_string()))?;
    }
    Ok(())
}

/// What a request may ask for that barge does not have. The texts name the option as people type it.
fn refuse_unsupported(host: &HostConfig) -> Result<()> {
    let asked = [
        (!host.volume_driver.is_empty() && host.volume_driver != "local", "--volume-driver"),
        (!host.cgroup.is_empty(), "Cgroup"),
        (host.resources.cpu_count != 0, "--cpu-count"),
    ];
    if !matches!(host.isolation.as_str(), "" | "default") {
        return Err(invalid(format!(
            "invalid isolation: \"{}\" - linux only supports 'default'",
            host.isolation
        )));
    }
    if let Some((_, option)) = asked.iter().find(|(is_asked, _)| *is_asked) {
        return Err(EngineError::NotImplemented(format!("{option} is not supported by barge")));
    }
    Ok(())
}

/// What a request says of the endpoint in its network, by the network's name or the mode.
pub(crate) fn endpoint_settings<'a>(
    endpoints: &'a std::collections::BTreeMap<String, EndpointSettings>,
    mode: &NetworkMode,
) -> Option<&'a EndpointSettings> {
    let name = mode.network_name()?;
    endpoints.get(name).or_else(|| endpoints.get("default").filter(|_| name == "bridge"))
}

#[cfg(test)]
mod tests;
