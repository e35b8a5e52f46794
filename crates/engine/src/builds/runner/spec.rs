//! A step in the words of a container, so that it gets exactly what a container would: Docker's defaults, the daemon's,
//! the same checks. No container comes of it: nothing of this is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barge_api_types::{ContainerConfig, HostConfig, Resources, StrSlice, Ulimit};
use barge_builder::request::Limits;
use barge_builder::runner::{RunStep, StepMount, StepNetwork, StepSecurity, StepSource, StepUsers};
use barge_oci::runtime::Spec;
use barge_types::{ContainerId, Digest, ImageId};

use crate::containers::{
    Access, ContainerDefaults, ContainerRecord, CopyUp, Host, Joins, MountRecord, MountSource,
    Origin, Recursion, Settings, Start, build_spec,
};
use crate::error::{EngineError, Result};
use crate::remap::Remap;

/// Where programs are looked for when nobody says, as in a container.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A step as a container would be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) record: ContainerRecord,
    pub(super) settings: Settings,
}

/// What is known only when a step starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The folder that has `hosts`, `hostname` and `resolv.conf`.
    pub(super) files: &'a Path,
    pub(super) cgroup: &'a str,
    /// How its ids are mapped.
    pub(super) remap: Option<&'a Remap>,
}

impl Plan {
    /// Checks what a step asks for.
    pub(super) fn new(
        id: &ContainerId,
        step: &RunStep,
        (defaults, machine): (&ContainerDefaults, &Host),
    ) -> Result<Self> {
        let hostname = match step.hostname.as_str() {
            "" => id.as_str().chars().take(12).collect(),
            name => name.to_owned(),
        };
        let config = ContainerConfig {
            hostname,
            user: step.user.clone(),
            env: step.env.clone(),
            cmd: Some(StrSlice(step.args.clone())),
            working_dir: step.workdir.clone(),
            ..ContainerConfig::default()
        };
        let host_config = host_config(step, defaults)?;
        let settings = Settings::parse_request(&config, &host_config, machine)?;
        let record = ContainerRecord {
            version: ContainerRecord::VERSION,
            id: id.clone(),
            name: id.as_str().parse().map_err(invalid)?,
            created: String::new(),
            image: ImageId::new(Digest::from_bytes([0; 32])),
            driver: String::new(),
            config,
            host_config,
            endpoints: BTreeMap::new(),
            mounts: Vec::new(),
            pending: Vec::new(),
            edited: None,
        };
        Ok(Self { record, settings })
    }

    /// The path of its control group below each hierarchy's mount point.
    pub(super) fn cgroup(&self, defaults: &ContainerDefaults) -> String {
        let asked = self.record.host_config.resources.cgroup_parent.trim_matches('/');
        let parent =
            if asked.is_empty() { defaults.cgroup_parent.trim_matches('/') } else { asked };
        format!("{parent}/{}", self.record.id)
    }

    /// What the runtime gets.
    pub(super) fn spec(&self, step: &RunStep, place: Place<'_>) -> Result<Spec> {
        let mut spec = build_spec(&Start {
            record: &self.record,
            settings: &self.settings,
            rootfs: &step.rootfs,
            files: place.files,
            mounts: step.mounts.iter().map(mount).collect(),
            shm: None,
            joins: Joins::default(),
            groups: Vec::new(),
            linked: Vec::new(),
            remap: place.remap,
            own_volumes: own_folders(step),
            cgroup: place.cgroup.to_owned(),
        })?;
        // Given to its root instead: not every kernel shows other owners of files in memory (tmpfs, Linux 6.3).
        let of_etc = |mount: &&mut barge_oci::runtime::Mount| {
            mount.source.as_ref().is_some_and(|source| Path::new(source).starts_with(place.files))
        };
        for mount in spec.mounts.iter_mut().filter(of_etc) {
            mount.uid_mappings.clear();
            mount.gid_mappings.clear();
        }
        if let Some(process) = &mut spec.process {
            process.env = environment(&step.env);
        }
        Ok(spec)
    }
}

/// What the build says, and `PATH` when it says none. A container also has `HOSTNAME`, which would make a step's
/// outcome depend on the run.
fn environment(env: &[String]) -> Vec<String> {
    let has_path = env.iter().any(|variable| variable.starts_with("PATH="));
    let path = (!has_path).then(|| PATH.to_owned());
    path.into_iter().chain(env.iter().cloned()).collect()
}

fn host_config(step: &RunStep, defaults: &ContainerDefaults) -> Result<HostConfig> {
    let limits = &step.limits;
    let network = match step.network {
        StepNetwork::Default => "bridge",
        StepNetwork::None => "none",
        StepNetwork::Host => "host",
    };
    Ok(HostConfig {
        network_mode: network.to_owned(),
        extra_hosts: step.extra_hosts.clone(),
        privileged: step.security == StepSecurity::Insecure,
        userns_mode: match step.users {
            StepUsers::Hosts => "host".to_owned(),
            StepUsers::Mapped => String::new(),
        },
        security_opt: limits.security_options.clone(),
        shm_size: match limits.shm_size {
            0 => defaults.shm_size,
            size => signed(size),
        },
        resources: Resources {
            memory: limits.memory,
            memory_swap: limits.memory_swap,
            cpu_shares: signed(limits.cpu_shares),
            cpu_period: signed(limits.cpu_period),
            cpu_quota: limits.cpu_quota,
            cpuset_cpus: limits.cpuset_cpus.clone(),
            cpuset_mems: limits.cpuset_mems.clone(),
            cgroup_parent: limits.cgroup_parent.clone(),
            ulimits: ulimits(limits, defaults)?,
            ..Resources::default()
        },
        ..HostConfig::default()
    })
}

/// Those of the build, then the daemon's of other names.
fn ulimits(limits: &Limits, defaults: &ContainerDefaults) -> Result<Vec<Ulimit>> {
    let own = limits.ulimits.iter().map(|text| ulimit(text));
    let mut all = own.collect::<Result<Vec<Ulimit>>>()?;
    for limit in &defaults.ulimits {
        if !all.iter().any(|other| other.name == limit.name) {
            all.push(limit.clone());
        }
    }
    Ok(all)
}

/// `name=soft[:hard]`.
fn ulimit(text: &str) -> Result<Ulimit> {
    let wrong = || EngineError::Invalid(format!("invalid ulimit argument: {text}"));
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    Ok(Ulimit {
        name: name.to_owned(),
        soft: soft.parse().map_err(|_| wrong())?,
        hard: hard.parse().map_err(|_| wrong())?,
    })
}

fn mount(mount: &StepMount) -> (MountRecord, PathBuf) {
    let (source, path) = match &mount.source {
        StepSource::Path(path) => (
            MountSource::Bind { path: path.clone(), recursion: Recursion::Recursive },
            path.clone(),
        ),
        // In the words of a container: a volume, whose files show the owners that its processes know.
        StepSource::Own(path) => {
            let (name, subpath) = (path.display().to_string(), String::new());
            let (copy, origin) = (CopyUp::NoCopy, Origin::Named);
            (MountSource::Volume { name, subpath, copy, origin }, path.clone())
        }
        StepSource::Tmpfs(options) => {
            // Programs that a build makes in a temporary folder are run there.
            let own = options.iter().map(|(key, value)| match value.as_str() {
                "" => key.clone(),
                value => format!("{key}={value}"),
            });
            let options = std::iter::once("exec".to_owned()).chain(own).collect();
            (MountSource::Tmpfs { options }, PathBuf::new())
        }
    };
    let access = if mount.is_read_only { Access::ReadOnly } else { Access::ReadWrite };
    let record = MountRecord {
        destination: mount.target.clone(),
        source,
        access,
        mode: String::new(),
        propagation: String::new(),
    };
    (record, path)
}

/// What is mounted of the builder's own, by the names of [`mount`].
fn own_folders(step: &RunStep) -> Vec<String> {
    let own = step.mounts.iter().filter_map(|mount| match &mount.source {
        StepSource::Own(path) => Some(path.display().to_string()),
        StepSource::Path(_) | StepSource::Tmpfs(_) => None,
    });
    own.collect()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn invalid(error: impl std::fmt::Display) -> EngineError {
    EngineError::Invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(step: &RunStep) -> Result<Plan> {
        let config = crate::EngineConfig::new("/data".into(), "/run".into());
        let machine = Host::plain(2);
        let id = ContainerId::from_bytes([0xab; 32]);
        Plan::new(&id, step, (&config.defaults, &machine))
    }

    fn spec(step: &RunStep) -> Spec {
        let place = Place { files: Path::new("/files"), cgroup: "barge/x", remap: None };
        plan(step).unwrap().spec(step, place).unwrap()
    }

    fn step() -> RunStep {
        RunStep {
            rootfs: "/root".into(),
            args: vec!["true".to_owned()],
            workdir: "/".to_owned(),
            ..RunStep::default()
        }
    }

    #[test]
    fn a_step_is_confined_as_a_container_and_an_insecure_one_is_not() {
        let confined = spec(&step());
        let process = confined.process.unwrap();
        assert_eq!(process.env, [PATH]);
        assert_eq!(process.capabilities.unwrap().bounding.len(), 14);
        assert!(!confined.linux.unwrap().masked_paths.is_empty());
        let open = spec(&RunStep { security: StepSecurity::Insecure, ..step() });
        assert!(open.process.unwrap().capabilities.unwrap().bounding.len() > 30);
        assert!(open.linux.unwrap().masked_paths.is_empty());
    }

    #[test]
    fn limits_become_those_of_the_specification() {
        let limits = Limits {
            memory: 64 << 20,
            cpu_shares: 512,
            ulimits: vec!["nofile=10:20".to_owned()],
            cgroup_parent: "/mine/".to_owned(),
            ..Limits::default()
        };
        let step = RunStep { limits, ..step() };
        let plan = plan(&step).unwrap();
        let defaults = crate::EngineConfig::new("/d".into(), "/r".into()).defaults;
        assert_eq!(plan.cgroup(&defaults), format!("mine/{}", "ab".repeat(32)));
        let spec = spec(&step);
        let resources = spec.linux.unwrap().resources.unwrap();
        assert_eq!(resources.memory.unwrap().limit, Some(64 << 20));
        assert_eq!(resources.cpu.unwrap().shares, Some(512));
        assert_eq!(spec.process.unwrap().rlimits[0].hard, 20);
    }

    #[test]
    fn what_cannot_be_is_refused_in_the_words_of_run() {
        let limits = |limits| RunStep { limits, ..step() };
        let error = |step: &RunStep| plan(step).unwrap_err().to_string();
        let few = limits(Limits { memory: 1, ..Limits::default() });
        assert_eq!(error(&few), "Minimum memory limit allowed is 6MB");
        let bad = limits(Limits { ulimits: vec!["nofile".to_owned()], ..Limits::default() });
        assert_eq!(error(&bad), "invalid ulimit argument: nofile");
    }

    #[test]
    fn mounts_come_with_their_access() {
        let step = RunStep {
            mounts: vec![
                StepMount {
                    target: "/src".to_owned(),
                    source: StepSource::Path("/context".into()),
                    is_read_only: true,
                },
                StepMount {
                    target: "/tmp".to_owned(),
                    source: StepSource::Tmpfs(BTreeMap::from([(
                        "size".to_owned(),
                        "4096".to_owned(),
                    )])),
                    is_read_only: false,
                },
            ],
            ..step()
        };
        let mounts = spec(&step).mounts;
        let find = |target: &str| mounts.iter().find(|mount| mount.destination == target).unwrap();
        assert!(find("/src").options.contains(&"rro".to_owned()));
        let memory = find("/tmp");
        assert!(memory.options.contains(&"size=4096".to_owned()));
        assert!(!memory.options.contains(&"noexec".to_owned()), "{:?}", memory.options);
    }
}
