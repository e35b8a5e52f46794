//! The daemon itself: `info`, `version`, `system df`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use barge_api_types::{
    API_VERSION, MIN_API_VERSION, PluginsInfo, SwarmInfo, SystemInfo, SystemVersion,
    VersionComponent, VersionPlatform,
};
use barge_cgroups::Feature;

use crate::builds::Builds;
use crate::compose::EngineConfig;
use crate::containers::Containers;
use crate::error::Result;
use crate::events::Events;
use crate::images::Images;
use crate::registries::{INDEX_SERVER, Registries, RegistryOptions};
use crate::volumes::Volumes;
use crate::{blocking, time};

/// This version of barge.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The service that speaks for the daemon.
#[derive(Debug)]
pub struct System {
    pub(crate) id: String,
    pub(crate) config: EngineConfig,
    pub(crate) containers: Arc<Containers>,
    pub(crate) images: Arc<Images>,
    pub(crate) builds: Arc<Builds>,
    pub(crate) volumes: Arc<Volumes>,
    pub(crate) registries: Arc<Registries>,
    pub(crate) events: Arc<Events>,
}

impl System {
    /// What the daemon is and what it has.
    pub async fn info(self: &Arc<Self>) -> Result<SystemInfo> {
        let this = Arc::clone(self);
        blocking::run(move || Ok(this.info_now())).await
    }

    /// Takes over what may change while the daemon runs, all of it or nothing.
    pub fn reload(&self, registries: &RegistryOptions) -> Result<()> {
        self.registries.reconfigure(registries)?;
        let list = |texts: &[String]| serde_json::to_string(texts).unwrap_or_default();
        let attributes = BTreeMap::from([
            ("name".to_owned(), rustix::system::uname().nodename().to_string_lossy().into_owned()),
            ("debug".to_owned(), self.config.debug.to_string()),
            ("default-shm-size".to_owned(), self.containers.defaults.shm_size.to_string()),
            ("labels".to_owned(), list(&self.config.labels)),
            ("live-restore".to_owned(), true.to_string()),
            ("insecure-registries".to_owned(), list(&registries.insecure)),
            ("max-concurrent-downloads".to_owned(), registries.downloads.to_string()),
            ("max-concurrent-uploads".to_owned(), registries.uploads.to_string()),
            ("max-download-attempts".to_owned(), registries.attempts.to_string()),
            ("registry-mirrors".to_owned(), list(&registries.mirrors)),
        ]);
        self.events.tell("daemon", "reload", &self.id, attributes);
        Ok(())
    }

    fn info_now(&self) -> SystemInfo {
        let states: Vec<&'static str> = self
            .containers
            .registry
            .all()
            .iter()
            .map(|container| container.state().word())
            .collect();
        let count = |words: &[&str]| states.iter().filter(|state| words.contains(state)).count();
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (running, paused) = (count(&["running", "restarting"]), count(&["paused"]));
        let machine = rustix::system::uname();
        let registries = self.registries.options();
        let (http_proxy, https_proxy, no_proxy) = registries.proxies();
        let is_v1 = self.containers.machine.has_cgroup_v1;
        let has = |feature| self.containers.machine.features.contains(&feature);
        SystemInfo {
            id: self.id.clone(),
            containers: signed(states.len()),
            containers_running: signed(running),
            containers_paused: signed(paused),
            containers_stopped: signed(states.len() - running - paused),
            images: signed(self.images.store.list().len()),
            driver: self.containers.storage.name().to_owned(),
            driver_status: self.driver_status(),
            plugins: PluginsInfo {
                volume: vec!["local".to_owned()],
                network: ["bridge", "host", "null"].map(str::to_owned).to_vec(),
                log: barge_logdriver::driver_names().into_iter().map(str::to_owned).collect(),
                ..PluginsInfo::default()
            },
            memory_limit: has(Feature::Memory),
            swap_limit: has(Feature::Swap),
            cpu_cfs_period: has(Feature::CpuQuota),
            cpu_cfs_quota: has(Feature::CpuQuota),
            cpu_shares: has(Feature::CpuShares),
            cpu_set: has(Feature::Cpuset),
            pids_limit: has(Feature::Pids),
            ipv4_forwarding: std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
                .is_ok_and(|text| text.trim() == "1"),
            debug: self.config.debug,
            n_fd: std::fs::read_dir("/proc/self/fd").map_or(-1, |list| signed(list.count())),
            oom_kill_disable: has(Feature::OomKillDisable),
            n_goroutines: -1,
            system_time: time::rfc3339(SystemTime::now()),
            logging_driver: self.containers.defaults.log.kind.clone(),
            cgroup_driver: "cgroupfs".to_owned(),
            cgroup_version: if is_v1 { "1" } else { "2" }.to_owned(),
            kernel_version: machine.release().to_string_lossy().into_owned(),
            operating_system: os_release("PRETTY_NAME"),
            os_version: os_release("VERSION_ID"),
            os_type: "linux".to_owned(),
            architecture: machine.machine().to_string_lossy().into_owned(),
            ncpu: i64::from(self.containers.machine.cpus),
            mem_total: memory_total(),
            index_server_address: INDEX_SERVER.to_owned(),
            registry_config: Some(registries.view()),
            http_proxy,
            https_proxy,
            no_proxy,
            docker_root_dir: self.config.data_root.display().to_string(),
            name: machine.nodename().to_string_lossy().into_owned(),
            labels: self.config.labels.clone(),
            server_version: VERSION.to_owned(),
            runtimes: self.containers.runtimes.view(&self.containers.programs.runtime),
            cdi_spec_dirs: self.containers.cdi.folders(),
            default_runtime: self.containers.runtimes.default_name().to_owned(),
            swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
            live_restore_enabled: true,
            init_binary: "barge-runtime".to_owned(),
            security_options: self.security_options(),
            ..SystemInfo::default()
        }
    }

    fn security_options(&self) -> Vec<String> {
        let remap = self.containers.remap.as_ref().map(|_| "name=userns");
        let options = ["name=seccomp,profile=builtin"].into_iter().chain(remap);
        options.chain(["name=cgroupns"]).map(str::to_owned).collect()
    }

    fn driver_status(&self) -> Vec<[String; 2]> {
        let status = self.containers.storage.status().into_iter();
        status.map(|(key, value)| [key.to_owned(), value]).collect()
    }

    /// What the daemon speaks and runs on.
    #[must_use]
    pub fn version(&self) -> SystemVersion {
        let machine = rustix::system::uname();
        let details = BTreeMap::from([
            ("ApiVersion".to_owned(), API_VERSION.to_owned()),
            ("MinAPIVersion".to_owned(), MIN_API_VERSION.to_owned()),
            ("KernelVersion".to_owned(), machine.release().to_string_lossy().into_owned()),
            ("Experimental".to_owned(), "false".to_owned()),
            ("Os".to_owned(), "linux".to_owned()),
            ("Arch".to_owned(), barge_types::Platform::host().architecture().to_owned()),
        ]);
        SystemVersion {
            platform: VersionPlatform { name: "Barge".to_owned() },
            components: vec![VersionComponent {
                name: "Engine".to_owned(),
                version: VERSION.to_owned(),
                details,
            }],
            version: VERSION.to_owned(),
            api_version: API_VERSION.to_owned(),
            min_api_version: MIN_API_VERSION.to_owned(),
            os: "linux".to_owned(),
            arch: barge_types::Platform::host().architecture().to_owned(),
            kernel_version: machine.release().to_string_lossy().into_owned(),
            ..SystemVersion::default()
        }
    }
}

/// A value of os-release(5).
fn os_release(key: &str) -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

fn memory_total() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<i64>().ok()).map_or(0, |kib| kib * 1024)
}
