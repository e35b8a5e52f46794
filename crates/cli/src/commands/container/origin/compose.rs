//! Requests as a Compose file: a service for each, the networks and volumes that they name.

use std::collections::BTreeMap;

use barge_api_types::{
    ContainerOrigin, DeviceMapping, DeviceRequest, EndpointSettings, HealthConfig, LogConfig,
    Mount, ObjectSet, PortMap, RestartPolicy, StrSlice, Ulimit,
};
use serde_json::{Map, Value, json};

use super::devices::Said;
use super::fields::Fields;
use super::words::{bytes, cpus, duration, pair};
use super::{devices, notes, request, yaml};
use crate::error::Result;

/// The file, after comments with what it does not say.
pub(super) fn text(origins: &[ContainerOrigin]) -> Result<String> {
    let (mut services, mut networks, mut volumes) = (Map::new(), Map::new(), Map::new());
    let mut comments = String::new();
    for origin in origins {
        let mut service =
            Service { fields: Fields::of(request(origin))?, keys: Map::new(), volumes: Vec::new() };
        service.all(origin, &mut networks)?;
        for name in &service.volumes {
            volumes.insert(name.clone(), json!({"external": true}));
        }
        for note in notes(origin, &service.fields.left()) {
            comments.push_str(&format!("# {}: {note}\n", origin.name));
        }
        services.insert(origin.name.clone(), Value::Object(service.keys));
    }
    let mut file = Map::from_iter([("services".to_owned(), Value::Object(services))]);
    for (key, objects) in [("networks", networks), ("volumes", volumes)] {
        if !objects.is_empty() {
            file.insert(key.to_owned(), Value::Object(objects));
        }
    }
    let mut text = comments;
    yaml::write(&mut text, &Value::Object(file), 0);
    Ok(text)
}

struct Service {
    fields: Fields,
    keys: Map<String, Value>,
    /// Those that have names.
    volumes: Vec<String>,
}

impl Service {
    fn add(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if !is_empty {
            self.keys.insert(key.to_owned(), value);
        }
    }

    fn all(&mut self, origin: &ContainerOrigin, networks: &mut Map<String, Value>) -> Result<()> {
        self.add("container_name", origin.name.clone());
        self.command()?;
        self.plain()?;
        self.lists()?;
        self.resources()?;
        self.network(networks)?;
        self.mounts()?;
        self.health()?;
        // What Compose decides itself.
        for path in ["AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"] {
            self.fields.take::<bool>(path)?;
        }
        self.fields.take::<bool>("HostConfig.AutoRemove")?;
        self.fields.take::<Vec<u64>>("HostConfig.ConsoleSize")?;
        Ok(())
    }

    fn command(&mut self) -> Result<()> {
        if let Some(image) = self.fields.text("Image")? {
            self.add("image", image);
        }
        for (key, path) in [("entrypoint", "Entrypoint"), ("command", "Cmd")] {
            if let Some(words) = self.fields.take::<Option<StrSlice>>(path)? {
                self.add(key, words.0);
            }
        }
        Ok(())
    }

    fn plain(&mut self) -> Result<()> {
        for (key, path) in [
            ("hostname", "Hostname"),
            ("domainname", "Domainname"),
            ("user", "User"),
            ("working_dir", "WorkingDir"),
            ("stop_signal", "StopSignal"),
            ("cgroup", "HostConfig.CgroupnsMode"),
            ("ipc", "HostConfig.IpcMode"),
            ("pid", "HostConfig.PidMode"),
            ("uts", "HostConfig.UTSMode"),
            ("userns_mode", "HostConfig.UsernsMode"),
            ("runtime", "HostConfig.Runtime"),
            ("isolation", "HostConfig.Isolation"),
            ("cgroup_parent", "HostConfig.CgroupParent"),
            ("cpuset", "HostConfig.CpusetCpus"),
        ] {
            if let Some(text) = self.fields.text(path)? {
                self.add(key, text);
            }
        }
        for (key, path) in [
            ("stdin_open", "OpenStdin"),
            ("tty", "Tty"),
            ("privileged", "HostConfig.Privileged"),
            ("read_only", "HostConfig.ReadonlyRootfs"),
            ("oom_kill_disable", "HostConfig.OomKillDisable"),
        ] {
            if self.fields.take::<bool>(path)? {
                self.add(key, true);
            }
        }
        if let Some(init) = self.fields.take::<Option<bool>>("HostConfig.Init")? {
            self.add("init", init);
        }
        if let Some(seconds) = self.fields.take::<Option<i64>>("StopTimeout")? {
            self.add("stop_grace_period", format!("{seconds}s"));
        }
        let restart: RestartPolicy = self.fields.take("HostConfig.RestartPolicy")?;
        match (restart.name.as_str(), restart.maximum_retry_count) {
            ("" | "no", _) => {}
            (name, 0) => self.add("restart", name),
            (name, count) => self.add("restart", format!("{name}:{count}")),
        }
        let log: LogConfig = self.fields.take("HostConfig.LogConfig")?;
        if !log.kind.is_empty() {
            self.add("logging", json!({"driver": log.kind, "options": log.config}));
        }
        Ok(())
    }

    fn lists(&mut self) -> Result<()> {
        for (key, path) in [
            ("environment", "Env"),
            ("cap_add", "HostConfig.CapAdd"),
            ("cap_drop", "HostConfig.CapDrop"),
            ("dns", "HostConfig.Dns"),
            ("dns_opt", "HostConfig.DnsOptions"),
            ("dns_search", "HostConfig.DnsSearch"),
            ("extra_hosts", "HostConfig.ExtraHosts"),
            ("group_add", "HostConfig.GroupAdd"),
            ("external_links", "HostConfig.Links"),
            ("device_cgroup_rules", "HostConfig.DeviceCgroupRules"),
            ("security_opt", "HostConfig.SecurityOpt"),
        ] {
            let values: Vec<String> = self.fields.take(path)?;
            self.add(key, values);
        }
        let from: Vec<String> = self.fields.take("HostConfig.VolumesFrom")?;
        let from = from.iter().map(|name| format!("container:{name}")).collect::<Vec<_>>();
        self.add("volumes_from", from);
        for (key, path) in [
            ("labels", "Labels"),
            ("annotations", "HostConfig.Annotations"),
            ("sysctls", "HostConfig.Sysctls"),
            ("storage_opt", "HostConfig.StorageOpt"),
        ] {
            let values: BTreeMap<String, String> = self.fields.take(path)?;
            self.add(key, json!(values));
        }
        let devices: Vec<DeviceMapping> = self.fields.take("HostConfig.Devices")?;
        let devices = devices.iter().map(|device| {
            let DeviceMapping { path_on_host, path_in_container, cgroup_permissions } = device;
            format!("{path_on_host}:{path_in_container}:{cgroup_permissions}")
        });
        let mut devices: Vec<String> = devices.collect();
        let requests: Vec<DeviceRequest> = self.fields.get("HostConfig.DeviceRequests")?;
        if let Some(said) = devices::said(&requests) {
            self.fields.take::<Vec<DeviceRequest>>("HostConfig.DeviceRequests")?;
            let mut reserved = Vec::new();
            for said in said {
                match said {
                    Said::Named(names) => devices.extend_from_slice(names),
                    Said::Gpus(request) => reserved.push(devices::reservation(request)),
                }
            }
            if !reserved.is_empty() {
                let reserved = json!({"resources": {"reservations": {"devices": reserved}}});
                self.add("deploy", reserved);
            }
        }
        self.add("devices", devices);
        Ok(())
    }

    fn resources(&mut self) -> Result<()> {
        for (key, path) in [
            ("cpu_period", "CpuPeriod"),
            ("cpu_quota", "CpuQuota"),
            ("cpu_rt_period", "CpuRealtimePeriod"),
            ("cpu_rt_runtime", "CpuRealtimeRuntime"),
            ("cpu_shares", "CpuShares"),
            ("oom_score_adj", "OomScoreAdj"),
            ("pids_limit", "PidsLimit"),
        ] {
            if let Some(number) = self.fields.number(&format!("HostConfig.{path}"))? {
                self.add(key, number);
            }
        }
        for (key, path) in [
            ("mem_limit", "Memory"),
            ("memswap_limit", "MemorySwap"),
            ("mem_reservation", "MemoryReservation"),
            ("shm_size", "ShmSize"),
        ] {
            if let Some(number) = self.fields.number(&format!("HostConfig.{path}"))? {
                self.add(key, bytes(number));
            }
        }
        if let Some(nano) = self.fields.number("HostConfig.NanoCpus")? {
            self.add("cpus", cpus(nano));
        }
        if let Some(weight) = self.fields.number("HostConfig.BlkioWeight")? {
            self.add("blkio_config", json!({"weight": weight}));
        }
        let swappiness: Option<i64> = self.fields.take("HostConfig.MemorySwappiness")?;
        if let Some(swappiness) = swappiness.filter(|value| *value >= 0) {
            self.add("mem_swappiness", swappiness);
        }
        let ulimits: Vec<Ulimit> = self.fields.take("HostConfig.Ulimits")?;
        let ulimits: Map<String, Value> = ulimits
            .iter()
            .map(|limit| (limit.name.clone(), json!({"soft": limit.soft, "hard": limit.hard})))
            .collect();
        self.add("ulimits", ulimits);
        Ok(())
    }

    fn network(&mut self, all: &mut Map<String, Value>) -> Result<()> {
        let mode = self.fields.text("HostConfig.NetworkMode")?.unwrap_or_default();
        let endpoints: BTreeMap<String, Option<EndpointSettings>> =
            self.fields.take("NetworkingConfig.EndpointsConfig")?;
        if let Some(mac) = self.fields.text("MacAddress")? {
            self.add("mac_address", mac);
        }
        match mode.as_str() {
            // Compose makes a network of its own unless it is told.
            "" | "default" | "bridge" => self.add("network_mode", "bridge"),
            "none" | "host" => self.add("network_mode", mode),
            mode if mode.contains(':') => self.add("network_mode", mode),
            _ => {
                let mut own = Map::new();
                let names = endpoints.keys().cloned().chain([mode]);
                for name in names {
                    let settings = endpoints.get(&name).cloned().flatten().unwrap_or_default();
                    let ipam = settings.ipam_config.unwrap_or_default();
                    let mut keys = Map::new();
                    if !settings.aliases.is_empty() {
                        keys.insert("aliases".into(), json!(settings.aliases));
                    }
                    if !ipam.ipv4_address.is_empty() {
                        keys.insert("ipv4_address".into(), json!(ipam.ipv4_address));
                    }
                    if !ipam.ipv6_address.is_empty() {
                        keys.insert("ipv6_address".into(), json!(ipam.ipv6_address));
                    }
                    all.insert(name.clone(), json!({"external": true}));
                    own.insert(name, Value::Object(keys));
                }
                self.add("networks", own);
            }
        }
        let bindings: PortMap = self.fields.take("HostConfig.PortBindings")?;
        let exposed: ObjectSet = self.fields.take("ExposedPorts")?;
        let expose: Vec<String> =
            exposed.into_keys().filter(|port| !bindings.contains_key(port)).collect();
        self.add("expose", expose);
        let mut ports = Vec::new();
        for (port, bindings) in &bindings {
            for binding in bindings.iter().flatten() {
                ports.push(match (binding.host_ip.as_str(), binding.host_port.as_str()) {
                    ("", "") => port.clone(),
                    ("", host) => format!("{host}:{port}"),
                    (ip, host) => format!("{ip}:{host}:{port}"),
                });
            }
        }
        self.add("ports", ports);
        Ok(())
    }

    fn mounts(&mut self) -> Result<()> {
        let binds: Vec<String> = self.fields.take("HostConfig.Binds")?;
        let named = binds.iter().filter(|bind| !bind.starts_with('/') && bind.contains(':'));
        let named = named.filter_map(|bind| bind.split(':').next()).map(str::to_owned);
        self.volumes.extend(named);
        let mut volumes: Vec<Value> = binds.into_iter().map(Value::from).collect();
        let anonymous: ObjectSet = self.fields.take("Volumes")?;
        volumes.extend(anonymous.into_keys().map(Value::from));
        let mounts: Vec<Mount> = self.fields.take("HostConfig.Mounts")?;
        for mount in &mounts {
            if mount.kind == "volume" && !mount.source.is_empty() {
                self.volumes.push(mount.source.clone());
            }
            volumes.push(long_mount(mount));
        }
        self.add("volumes", volumes);
        let tmpfs: BTreeMap<String, String> = self.fields.take("HostConfig.Tmpfs")?;
        let tmpfs = tmpfs.iter().map(|(path, options)| {
            if options.is_empty() { path.clone() } else { format!("{path}:{options}") }
        });
        self.add("tmpfs", tmpfs.collect::<Vec<_>>());
        Ok(())
    }

    fn health(&mut self) -> Result<()> {
        let Some(health) = self.fields.take::<Option<HealthConfig>>("Healthcheck")? else {
            return Ok(());
        };
        let mut keys = Map::new();
        if health.test.first().is_some_and(|word| word == "NONE") {
            keys.insert("disable".into(), json!(true));
        } else if !health.test.is_empty() {
            keys.insert("test".into(), json!(health.test));
        }
        for (key, nano) in [
            ("interval", health.interval),
            ("timeout", health.timeout),
            ("start_period", health.start_period),
            ("start_interval", health.start_interval),
        ] {
            if nano != 0 {
                keys.insert(key.into(), json!(duration(nano)));
            }
        }
        if health.retries != 0 {
            keys.insert("retries".into(), json!(health.retries));
        }
        self.add("healthcheck", keys);
        Ok(())
    }
}

fn long_mount(mount: &Mount) -> Value {
    let mut keys = Map::new();
    let mut add = |key: &str, value: Value| {
        keys.insert(key.to_owned(), value);
    };
    add("type", json!(mount.kind));
    if !mount.source.is_empty() {
        add("source", json!(mount.source));
    }
    add("target", json!(mount.target));
    if mount.read_only {
        add("read_only", json!(true));
    }
    if let Some(options) = &mount.bind_options
        && !options.propagation.is_empty()
    {
        add("bind", json!({"propagation": options.propagation}));
    }
    if let Some(options) = &mount.volume_options {
        let labels: Vec<String> = options.labels.iter().map(pair).collect();
        let own = [
            ("nocopy", options.no_copy.then_some(Value::Bool(true))),
            ("subpath", (!options.subpath.is_empty()).then(|| json!(options.subpath))),
            ("labels", (!labels.is_empty()).then(|| json!(labels))),
        ];
        let own: Map<String, Value> =
            own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        if !own.is_empty() {
            add("volume", Value::Object(own));
        }
    }
    if let Some(options) = &mount.image_options
        && !options.subpath.is_empty()
    {
        add("image", json!({"subpath": options.subpath}));
    }
    if let Some(options) = &mount.tmpfs_options {
        add("tmpfs", json!({"size": options.size_bytes, "mode": options.mode}));
    }
    Value::Object(keys)
}
