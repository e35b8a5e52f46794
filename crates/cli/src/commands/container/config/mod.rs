//! From the flags of `run` and `create` to the request: pure but for the files that flags name.
//!
//! Values that only the daemon can judge are sent as they are; it refuses what it does not support.

use barge_api_types::{
    ContainerConfig, ContainerCreateRequest, HealthConfig, HostConfig, LogConfig, NetworkingConfig,
    Resources, RestartPolicy,
};

use crate::commands::Input;
use crate::error::{CliError, Result};

mod devices;
mod flags;
pub(in crate::commands) mod limits;
mod mounts;
pub(in crate::commands) mod network;
mod ports;
mod security;
pub(in crate::commands) mod text;

pub(in crate::commands) use flags::ContainerFlags;
pub(super) use mounts::mount;
pub(super) use ports::ports;

/// The request that the flags and arguments describe.
pub(super) fn request(flags: &ContainerFlags, input: &Input) -> Result<ContainerCreateRequest> {
    if !flags.mac_address.is_empty() && !network::is_mac_address(&flags.mac_address) {
        return Err(invalid(format!("{} is not a valid mac address", flags.mac_address)));
    }
    let swappiness = flags.memory_swappiness;
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        return Err(invalid(format!(
            "invalid value: {swappiness}. Valid memory swappiness range is 0-100"
        )));
    }
    let volumes = mounts::volumes(&flags.volume)?;
    let ports = ports(&flags.publish, &flags.expose)?;
    let devices = devices::devices(&flags.device)?;
    let mut config = config(flags, input)?;
    config.exposed_ports = ports.exposed;
    config.volumes = volumes.anonymous;
    let mut host_config = host_config(flags, devices)?;
    host_config.binds = volumes.binds;
    host_config.port_bindings = ports.bindings;
    if input.matches.value_source("init") == Some(clap::parser::ValueSource::CommandLine) {
        host_config.init = Some(flags.init);
    }
    let (mode, endpoints_config) = network::endpoints(flags)?;
    host_config.network_mode = mode;
    Ok(ContainerCreateRequest {
        host_config,
        networking_config: NetworkingConfig { endpoints_config },
        config,
    })
}

fn invalid(text: impl Into<String>) -> CliError {
    CliError::Invalid(text.into())
}

fn config(flags: &ContainerFlags, input: &Input) -> Result<ContainerConfig> {
    let attach = |stream: &str| flags.attach.iter().any(|attached| attached == stream);
    let attach_output = flags.attach.is_empty();
    let attach_stdin = attach("stdin") || flags.interactive;
    let command = input.arguments.get(1..).unwrap_or_default().to_vec();
    Ok(ContainerConfig {
        hostname: flags.hostname.clone(),
        domainname: flags.domainname.clone(),
        user: flags.user.clone(),
        attach_stdin,
        attach_stdout: attach("stdout") || attach_output,
        attach_stderr: attach("stderr") || attach_output,
        tty: flags.tty,
        open_stdin: flags.interactive,
        // The process's input ends when we go.
        stdin_once: flags.interactive && attach_stdin,
        env: text::environment(&flags.env_file, &flags.env)?,
        cmd: (!command.is_empty()).then_some(command.into()),
        healthcheck: health(flags)?,
        image: input.argument(0).to_owned(),
        working_dir: flags.workdir.clone(),
        // An empty entrypoint resets the image's.
        entrypoint: flags.entrypoint.clone().map(|entrypoint| vec![entrypoint].into()),
        labels: text::labels(&flags.label_file, &flags.label)?,
        stop_signal: flags.stop_signal.clone().unwrap_or_default(),
        stop_timeout: flags.stop_timeout,
        ..ContainerConfig::default()
    })
}

fn health(flags: &ContainerFlags) -> Result<Option<HealthConfig>> {
    let times = [
        ("interval", flags.health_interval),
        ("timeout", flags.health_timeout),
        ("retries", flags.health_retries),
        ("start-period", flags.health_start_period),
        ("start-interval", flags.health_start_interval),
    ];
    let given = !flags.health_cmd.is_empty() || times.iter().any(|(_, value)| *value != 0);
    if flags.no_healthcheck {
        if given {
            return Err(invalid("--no-healthcheck conflicts with --health-* options"));
        }
        return Ok(Some(HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() }));
    }
    if let Some((name, _)) = times.iter().find(|(_, value)| *value < 0) {
        return Err(invalid(format!("--health-{name} cannot be negative")));
    }
    let test = if flags.health_cmd.is_empty() {
        Vec::new()
    } else {
        vec!["CMD-SHELL".to_owned(), flags.health_cmd.clone()]
    };
    Ok(given.then_some(HealthConfig {
        test,
        interval: flags.health_interval,
        timeout: flags.health_timeout,
        start_period: flags.health_start_period,
        start_interval: flags.health_start_interval,
        retries: flags.health_retries,
    }))
}

fn host_config(flags: &ContainerFlags, devices: devices::Devices) -> Result<HostConfig> {
    for (flag, mode, what) in [
        ("pid", &flags.pid, "PID"),
        ("uts", &flags.uts, "UTS"),
        ("userns", &flags.userns, "USER"),
        ("cgroupns", &flags.cgroupns, "CGROUP"),
    ] {
        if !is_mode(flag, mode) {
            return Err(invalid(format!("--{flag}: invalid {what} mode")));
        }
    }
    let restart_policy = restart_policy(&flags.restart)?;
    let log_config = log_config(flags)?;
    let security = security::security(&flags.security_opt)?;
    if flags.storage_opt.iter().any(|option| !option.contains('=')) {
        return Err(invalid("invalid storage option"));
    }
    if flags.rm && !["", "no"].contains(&restart_policy.name.as_str()) {
        return Err(invalid("conflicting options: cannot specify both --restart and --rm"));
    }
    Ok(HostConfig {
        container_id_file: flags.cidfile.clone(),
        log_config,
        restart_policy,
        auto_remove: flags.rm,
        health_on_failure: flags.health_on_failure.clone(),
        volume_driver: flags.volume_driver.clone(),
        volumes_from: flags.volumes_from.clone(),
        annotations: text::pairs(&flags.annotation),
        cap_add: security::capabilities(&flags.cap_add),
        cap_drop: security::capabilities(&flags.cap_drop),
        cgroupns_mode: flags.cgroupns.clone(),
        dns: flags.dns.clone(),
        dns_options: flags.dns_option.clone(),
        dns_search: flags.dns_search.clone(),
        extra_hosts: flags.add_host.clone(),
        group_add: flags.group_add.clone(),
        ipc_mode: flags.ipc.clone(),
        links: flags.link.clone(),
        oom_score_adj: flags.oom_score_adj,
        pid_mode: flags.pid.clone(),
        privileged: flags.privileged,
        publish_all_ports: flags.publish_all,
        readonly_rootfs: flags.read_only,
        security_opt: security.options,
        storage_opt: text::pairs(&flags.storage_opt),
        tmpfs: mounts::tmpfs_flags(&flags.tmpfs),
        uts_mode: flags.uts.clone(),
        userns_mode: flags.userns.clone(),
        shm_size: flags.shm_size,
        sysctls: text::pairs(&flags.sysctl),
        runtime: flags.runtime.clone(),
        isolation: flags.isolation.clone(),
        mounts: flags.mount.clone(),
        masked_paths: security.masked_paths,
        readonly_paths: security.readonly_paths,
        resources: resources(flags, devices),
        ..HostConfig::default()
    })
}

fn resources(flags: &ContainerFlags, devices: devices::Devices) -> Resources {
    let mut device_requests = flags.gpus.clone();
    device_requests.extend(devices.requests);
    // The last one of a name counts.
    let ulimits: std::collections::BTreeMap<_, _> =
        flags.ulimit.iter().map(|limit| (limit.name.clone(), limit.clone())).collect();
    Resources {
        cpu_shares: flags.cpu_shares,
        memory: flags.memory,
        nano_cpus: flags.cpus,
        cgroup_parent: flags.cgroup_parent.clone(),
        blkio_weight: flags.blkio_weight,
        blkio_weight_device: flags.blkio_weight_device.clone(),
        blkio_device_read_bps: flags.device_read_bps.clone(),
        blkio_device_write_bps: flags.device_write_bps.clone(),
        blkio_device_read_iops: flags.device_read_iops.clone(),
        blkio_device_write_iops: flags.device_write_iops.clone(),
        cpu_period: flags.cpu_period,
        cpu_quota: flags.cpu_quota,
        cpu_realtime_period: flags.cpu_rt_period,
        cpu_realtime_runtime: flags.cpu_rt_runtime,
        cpuset_cpus: flags.cpuset_cpus.clone(),
        cpuset_mems: flags.cpuset_mems.clone(),
        devices: devices.mappings,
        device_cgroup_rules: flags.device_cgroup_rule.clone(),
        device_requests,
        memory_reservation: flags.memory_reservation,
        memory_swap: flags.memory_swap,
        memory_swappiness: Some(flags.memory_swappiness),
        oom_kill_disable: Some(flags.oom_kill_disable),
        pids_limit: Some(flags.pids_limit),
        ulimits: ulimits.into_values().collect(),
        ..Resources::default()
    }
}

/// Whether a namespace's mode is one that this flag knows.
fn is_mode(flag: &str, mode: &str) -> bool {
    match mode.split_once(':') {
        Some(("container", id)) => flag == "pid" && !id.is_empty(),
        Some(_) => false,
        None => mode.is_empty() || mode == "host" || (flag == "cgroupns" && mode == "private"),
    }
}

/// `no`, `always`, `on-failure[:count]`, …; which names there are is the daemon's business.
/// `--restart`.
pub(super) fn restart_policy(text: &str) -> Result<RestartPolicy> {
    let (name, count) = match text.split_once(':') {
        Some(("", _)) => {
            return Err(invalid("invalid restart policy format: no policy provided before colon"));
        }
        Some((name, count)) => (name, count),
        None => (text, "0"),
    };
    let maximum_retry_count = count.parse().map_err(|_| {
        invalid("invalid restart policy format: maximum retry count must be an integer")
    })?;
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

fn log_config(flags: &ContainerFlags) -> Result<LogConfig> {
    if flags.log_driver == "none" && !flags.log_opt.is_empty() {
        return Err(invalid("invalid logging opts for driver none"));
    }
    Ok(LogConfig { kind: flags.log_driver.clone(), config: text::pairs(&flags.log_opt) })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::made_by;
