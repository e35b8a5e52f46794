//! A request as a `barge run` line.

use std::collections::BTreeMap;

use barge_api_types::{
    ContainerOrigin, DeviceMapping, DeviceRequest, EndpointSettings, HealthConfig, LogConfig,
    Mount, ObjectSet, PortMap, RestartPolicy, StrSlice, ThrottleDevice, Ulimit, WeightDevice,
};

use super::devices::Said;
use super::fields::Fields;
use super::words::{bytes, cpus, csv_field, duration, pair, quoted};
use super::{devices, notes, request};
use crate::error::Result;

/// The line, after comments with what it does not say.
pub(super) fn text(origin: &ContainerOrigin) -> Result<String> {
    let (words, unsaid) = line(origin)?;
    let comments = notes(origin, &unsaid);
    let name = &origin.name;
    let comments: String = comments.iter().map(|note| format!("# {name}: {note}\n")).collect();
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    Ok(format!("{comments}barge run {}\n", words.join(" ")))
}

/// The words after `run`, and the fields that they do not say.
pub(super) fn line(origin: &ContainerOrigin) -> Result<(Vec<String>, Vec<String>)> {
    let mut line = Line { fields: Fields::of(request(origin))?, words: Vec::new() };
    line.streams()?;
    line.add("name", &origin.name);
    line.plain()?;
    line.lists()?;
    line.resources()?;
    line.devices()?;
    line.network()?;
    line.mounts()?;
    line.health()?;
    let entrypoint: Option<StrSlice> = line.fields.take("Entrypoint")?;
    let mut entrypoint = entrypoint.map(|words| words.0.into_iter());
    if let Some(words) = &mut entrypoint {
        line.add("entrypoint", &words.next().unwrap_or_default());
    }
    let image = line.fields.text("Image")?.unwrap_or_default();
    line.words.push(image);
    // What follows the program of an entrypoint are arguments like those of the command.
    line.words.extend(entrypoint.into_iter().flatten());
    line.words.extend(line.fields.take::<StrSlice>("Cmd")?.0);
    Ok((line.words, line.fields.left()))
}

struct Line {
    fields: Fields,
    words: Vec<String>,
}

impl Line {
    fn add(&mut self, flag: &str, value: &str) {
        self.words.push(format!("--{flag}={value}"));
    }

    fn all(&mut self, flag: &str, values: impl IntoIterator<Item = String>) {
        for value in values {
            self.add(flag, &value);
        }
    }

    fn flag(&mut self, flag: &str, path: &str) -> Result<()> {
        if self.fields.take::<bool>(path)? {
            self.words.push(format!("--{flag}"));
        }
        Ok(())
    }

    fn text(&mut self, flag: &str, path: &str) -> Result<()> {
        if let Some(text) = self.fields.text(path)? {
            self.add(flag, &text);
        }
        Ok(())
    }

    /// Input, output, and whether anybody looks at them.
    fn streams(&mut self) -> Result<()> {
        let is_open = self.fields.take::<bool>("OpenStdin")?;
        self.fields.take::<bool>("StdinOnce")?;
        self.fields.take::<bool>("AttachStdin")?;
        let is_looked_at =
            self.fields.take::<bool>("AttachStdout")? | self.fields.take::<bool>("AttachStderr")?;
        if !is_looked_at {
            self.words.push("--detach".to_owned());
        }
        if is_open {
            self.words.push("--interactive".to_owned());
        }
        self.flag("tty", "Tty")?;
        // How large the window was.
        self.fields.take::<Vec<u64>>("HostConfig.ConsoleSize")?;
        Ok(())
    }

    fn plain(&mut self) -> Result<()> {
        for (flag, path) in [
            ("hostname", "Hostname"),
            ("domainname", "Domainname"),
            ("user", "User"),
            ("workdir", "WorkingDir"),
            ("stop-signal", "StopSignal"),
            ("cidfile", "HostConfig.ContainerIDFile"),
            ("volume-driver", "HostConfig.VolumeDriver"),
            ("cgroupns", "HostConfig.CgroupnsMode"),
            ("ipc", "HostConfig.IpcMode"),
            ("pid", "HostConfig.PidMode"),
            ("uts", "HostConfig.UTSMode"),
            ("userns", "HostConfig.UsernsMode"),
            ("runtime", "HostConfig.Runtime"),
            ("health-on-failure", "HostConfig.HealthOnFailure"),
            ("isolation", "HostConfig.Isolation"),
            ("cgroup-parent", "HostConfig.CgroupParent"),
            ("cpuset-cpus", "HostConfig.CpusetCpus"),
            ("cpuset-mems", "HostConfig.CpusetMems"),
        ] {
            self.text(flag, path)?;
        }
        for (flag, path) in [
            ("rm", "HostConfig.AutoRemove"),
            ("privileged", "HostConfig.Privileged"),
            ("read-only", "HostConfig.ReadonlyRootfs"),
            ("publish-all", "HostConfig.PublishAllPorts"),
            ("oom-kill-disable", "HostConfig.OomKillDisable"),
        ] {
            self.flag(flag, path)?;
        }
        if let Some(init) = self.fields.take::<Option<bool>>("HostConfig.Init")? {
            self.add("init", if init { "true" } else { "false" });
        }
        if let Some(seconds) = self.fields.take::<Option<i64>>("StopTimeout")? {
            self.add("stop-timeout", &seconds.to_string());
        }
        let restart: RestartPolicy = self.fields.take("HostConfig.RestartPolicy")?;
        match (restart.name.as_str(), restart.maximum_retry_count) {
            ("" | "no", _) => {}
            (name, 0) => self.add("restart", name),
            (name, count) => self.add("restart", &format!("{name}:{count}")),
        }
        let log: LogConfig = self.fields.take("HostConfig.LogConfig")?;
        if !log.kind.is_empty() {
            self.add("log-driver", &log.kind);
        }
        self.all("log-opt", log.config.iter().map(pair));
        Ok(())
    }

    fn lists(&mut self) -> Result<()> {
        for (flag, path) in [
            ("env", "Env"),
            ("cap-add", "HostConfig.CapAdd"),
            ("cap-drop", "HostConfig.CapDrop"),
            ("dns", "HostConfig.Dns"),
            ("dns-option", "HostConfig.DnsOptions"),
            ("dns-search", "HostConfig.DnsSearch"),
            ("add-host", "HostConfig.ExtraHosts"),
            ("group-add", "HostConfig.GroupAdd"),
            ("link", "HostConfig.Links"),
            ("volumes-from", "HostConfig.VolumesFrom"),
            ("device-cgroup-rule", "HostConfig.DeviceCgroupRules"),
        ] {
            let values: Vec<String> = self.fields.take(path)?;
            self.all(flag, values);
        }
        for (flag, path) in [
            ("label", "Labels"),
            ("annotation", "HostConfig.Annotations"),
            ("sysctl", "HostConfig.Sysctls"),
            ("storage-opt", "HostConfig.StorageOpt"),
        ] {
            let values: BTreeMap<String, String> = self.fields.take(path)?;
            self.all(flag, values.iter().map(pair));
        }
        let mut security: Vec<String> = self.fields.take("HostConfig.SecurityOpt")?;
        let masked: Option<Vec<String>> = self.fields.take("HostConfig.MaskedPaths")?;
        let readonly: Option<Vec<String>> = self.fields.take("HostConfig.ReadonlyPaths")?;
        if masked.is_some_and(|paths| paths.is_empty())
            && readonly.is_some_and(|paths| paths.is_empty())
        {
            security.push("systempaths=unconfined".to_owned());
        }
        self.all("security-opt", security);
        Ok(())
    }

    fn resources(&mut self) -> Result<()> {
        for (flag, path) in [
            ("blkio-weight", "BlkioWeight"),
            ("cpu-period", "CpuPeriod"),
            ("cpu-quota", "CpuQuota"),
            ("cpu-rt-period", "CpuRealtimePeriod"),
            ("cpu-rt-runtime", "CpuRealtimeRuntime"),
            ("cpu-shares", "CpuShares"),
            ("oom-score-adj", "OomScoreAdj"),
            ("pids-limit", "PidsLimit"),
        ] {
            if let Some(number) = self.fields.number(&format!("HostConfig.{path}"))? {
                self.add(flag, &number.to_string());
            }
        }
        for (flag, path) in [
            ("memory", "Memory"),
            ("memory-swap", "MemorySwap"),
            ("memory-reservation", "MemoryReservation"),
            ("shm-size", "ShmSize"),
        ] {
            if let Some(number) = self.fields.number(&format!("HostConfig.{path}"))? {
                self.add(flag, &bytes(number));
            }
        }
        if let Some(nano) = self.fields.number("HostConfig.NanoCpus")? {
            self.add("cpus", &cpus(nano));
        }
        let swappiness: Option<i64> = self.fields.take("HostConfig.MemorySwappiness")?;
        if let Some(swappiness) = swappiness.filter(|value| *value >= 0) {
            self.add("memory-swappiness", &swappiness.to_string());
        }
        let ulimits: Vec<Ulimit> = self.fields.take("HostConfig.Ulimits")?;
        self.all(
            "ulimit",
            ulimits.iter().map(|limit| format!("{}={}:{}", limit.name, limit.soft, limit.hard)),
        );
        Ok(())
    }

    fn devices(&mut self) -> Result<()> {
        let devices: Vec<DeviceMapping> = self.fields.take("HostConfig.Devices")?;
        self.all(
            "device",
            devices.iter().map(|device| {
                let DeviceMapping { path_on_host, path_in_container, cgroup_permissions } = device;
                format!("{path_on_host}:{path_in_container}:{cgroup_permissions}")
            }),
        );
        let requests: Vec<DeviceRequest> = self.fields.get("HostConfig.DeviceRequests")?;
        if let Some(said) = devices::said(&requests) {
            self.fields.take::<Vec<DeviceRequest>>("HostConfig.DeviceRequests")?;
            for said in said {
                match said {
                    Said::Named(names) => self.all("device", names.iter().cloned()),
                    Said::Gpus(request) => self.add("gpus", &devices::gpus(request)),
                }
            }
        }
        let weights: Vec<WeightDevice> = self.fields.take("HostConfig.BlkioWeightDevice")?;
        self.all(
            "blkio-weight-device",
            weights.iter().map(|device| format!("{}:{}", device.path, device.weight)),
        );
        for (flag, path) in [
            ("device-read-bps", "BlkioDeviceReadBps"),
            ("device-write-bps", "BlkioDeviceWriteBps"),
            ("device-read-iops", "BlkioDeviceReadIOps"),
            ("device-write-iops", "BlkioDeviceWriteIOps"),
        ] {
            let rates: Vec<ThrottleDevice> = self.fields.take(&format!("HostConfig.{path}"))?;
            self.all(flag, rates.iter().map(|device| format!("{}:{}", device.path, device.rate)));
        }
        Ok(())
    }

    fn network(&mut self) -> Result<()> {
        let mode = self.fields.text("HostConfig.NetworkMode")?.unwrap_or_default();
        let mut endpoints: BTreeMap<String, Option<EndpointSettings>> =
            self.fields.take("NetworkingConfig.EndpointsConfig")?;
        let first = endpoints.remove(&mode).flatten().unwrap_or_default();
        let mac = self.fields.text("MacAddress")?.unwrap_or_default();
        let mac = if mac.is_empty() { first.mac_address } else { mac };
        let own = first.ipam_config.unwrap_or_default();
        if !matches!(mode.as_str(), "" | "default") {
            self.add("network", &mode);
        }
        for (flag, value) in
            [("mac-address", mac), ("ip", own.ipv4_address), ("ip6", own.ipv6_address)]
        {
            if !value.is_empty() {
                self.add(flag, &value);
            }
        }
        self.all("link-local-ip", own.link_local_ips);
        self.all("network-alias", first.aliases);
        self.all("network", endpoints.into_keys());
        let bindings: PortMap = self.fields.take("HostConfig.PortBindings")?;
        let exposed: ObjectSet = self.fields.take("ExposedPorts")?;
        let expose = exposed.into_keys().filter(|port| !bindings.contains_key(port));
        self.all("expose", expose);
        for (port, bindings) in &bindings {
            for binding in bindings.iter().flatten() {
                let ip = &binding.host_ip;
                let text = match (ip.as_str(), binding.host_port.as_str()) {
                    ("", "") => port.clone(),
                    ("", host) => format!("{host}:{port}"),
                    (ip, host) => format!("{ip}:{host}:{port}"),
                };
                self.add("publish", &text);
            }
        }
        Ok(())
    }

    fn mounts(&mut self) -> Result<()> {
        let binds: Vec<String> = self.fields.take("HostConfig.Binds")?;
        self.all("volume", binds);
        let anonymous: ObjectSet = self.fields.take("Volumes")?;
        self.all("volume", anonymous.into_keys());
        let tmpfs: BTreeMap<String, String> = self.fields.take("HostConfig.Tmpfs")?;
        self.all(
            "tmpfs",
            tmpfs.iter().map(|(path, options)| {
                if options.is_empty() { path.clone() } else { format!("{path}:{options}") }
            }),
        );
        let mounts: Vec<Mount> = self.fields.take("HostConfig.Mounts")?;
        self.all("mount", mounts.iter().map(mount));
        Ok(())
    }

    fn health(&mut self) -> Result<()> {
        let Some(health) = self.fields.take::<Option<HealthConfig>>("Healthcheck")? else {
            return Ok(());
        };
        match health.test.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => {}
            ["NONE", ..] => self.words.push("--no-healthcheck".to_owned()),
            ["CMD-SHELL", command] => self.add("health-cmd", command),
            // A list of words in the words of a shell.
            [_, words @ ..] => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                self.add("health-cmd", &words.join(" "));
            }
        }
        for (flag, nano) in [
            ("health-interval", health.interval),
            ("health-timeout", health.timeout),
            ("health-start-period", health.start_period),
            ("health-start-interval", health.start_interval),
        ] {
            if nano != 0 {
                self.add(flag, &duration(nano));
            }
        }
        if health.retries != 0 {
            self.add("health-retries", &health.retries.to_string());
        }
        Ok(())
    }
}

/// `--mount`'s own form: CSV.
fn mount(mount: &Mount) -> String {
    let mut fields = vec![format!("type={}", mount.kind)];
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            fields.push(format!("{key}={value}"));
        }
    };
    add("source", &mount.source);
    add("target", &mount.target);
    let yes = |is_set: bool| if is_set { "true" } else { "" };
    add("readonly", yes(mount.read_only));
    add("consistency", &mount.consistency);
    if let Some(options) = &mount.bind_options {
        add("bind-propagation", &options.propagation);
        let recursion = if options.non_recursive {
            "disabled"
        } else if options.read_only_force_recursive {
            "readonly"
        } else if options.read_only_non_recursive {
            "writable"
        } else {
            ""
        };
        add("bind-recursive", recursion);
    }
    if let Some(options) = &mount.volume_options {
        add("volume-nocopy", yes(options.no_copy));
        add("volume-subpath", &options.subpath);
        for label in &options.labels {
            add("volume-label", &pair(label));
        }
        if let Some(driver) = &options.driver_config {
            add("volume-driver", &driver.name);
            for option in &driver.options {
                add("volume-opt", &pair(option));
            }
        }
    }
    if let Some(options) = &mount.image_options {
        add("image-subpath", &options.subpath);
    }
    if let Some(options) = &mount.tmpfs_options {
        let size = if options.size_bytes > 0 { bytes(options.size_bytes) } else { String::new() };
        add("tmpfs-size", &size);
        let mode = if options.mode > 0 { format!("{:o}", options.mode) } else { String::new() };
        add("tmpfs-mode", &mode);
    }
    fields.iter().map(|field| csv_field(field)).collect::<Vec<_>>().join(",")
}
