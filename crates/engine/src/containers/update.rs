//! `update`: other limits, another restart policy and other ports, live for a container that runs; and what else
//! [`edit`] can change.

use std::sync::Arc;

use barge_api_types::{ContainerEdit, ContainerUpdateRequest, HostConfig, Resources};
use barge_oci::runtime::{LinuxPids, LinuxResources};
use barge_shim_api::Request;
use barge_sys::fault;
use barge_types::RestartPolicy;

use super::container::{Container, Presence};
use super::record::ContainerRecord;
use super::settings::{self, Settings, discard_limits, invalid};
use super::unfinished::Unfinished;
use super::{Containers, to_the_end};
use super::{edit, edited, unrecorded};
use crate::blocking;
use crate::error::{EngineError, Result};
use crate::rollback::Rollback;

impl Containers {
    /// Changes what the request says and leaves the rest. Nothing has changed when it fails. Returns what this host
    /// cannot do of it, and what is in force only later.
    pub async fn update(
        self: &Arc<Self>,
        name: &str,
        request: ContainerUpdateRequest,
    ) -> Result<Vec<String>> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        to_the_end(async move {
            let _verb = container.verb.lock().await;
            if container.watch().borrow().presence == Presence::Removed {
                return Err(EngineError::NoSuchContainer(container.id.to_string()));
            }
            let mut request = request;
            let mut warnings = discard_limits(&mut request.resources, &this.machine);
            warnings.extend(this.update_locked(&container, &request).await?);
            Ok(warnings)
        })
        .await
    }

    pub(super) async fn update_locked(
        self: &Arc<Self>,
        container: &Arc<Container>,
        request: &ContainerUpdateRequest,
    ) -> Result<Option<String>> {
        let (before, settings_before) = (container.record(), container.settings());
        let is_running = container.state().running().is_some();
        let edit = if is_running {
            edit::split(&request.edit)
        } else {
            edit::Split { now: request.edit.clone(), ..edit::Split::default() }
        };
        let mut record = (*before).clone();
        record.host_config = merged(&before.host_config, request)?;
        if !is_running {
            // What waited for the next start comes before what is said now.
            for earlier in std::mem::take(&mut record.pending) {
                edit::apply(&earlier, &mut record)?;
            }
        }
        edit::apply(&edit.now, &mut record)?;
        if edit.later != ContainerEdit::default() {
            record.pending.push(edit.later.clone());
        }
        self.check_pending(&record)?;
        if let Some(user) = request.edit.user.clone().filter(|user| !user.is_empty()) {
            let (this, container) = (Arc::clone(self), Arc::clone(container));
            blocking::run(move || this.check_user(&container, &user)).await?;
        }
        let settings = Settings::parse(&record.config, &record.host_config, &self.machine)?;
        let limits = live(&request.resources, &record.host_config.resources)?;
        let limits =
            Some(limits).filter(|limits| is_running && *limits != LinuxResources::default());
        let is_live = limits.is_some() || (is_running && settings_before.ports != settings.ports);
        let (record, unfinished) = note(container, (request, record), is_live).await?;
        let done = self.carry_out(container, limits, (record, settings)).await;
        if let Some(unfinished) = unfinished {
            blocking::run(move || {
                unfinished.end();
                Ok(())
            })
            .await?;
        }
        done?;
        self.tell(container, "update");
        Ok(edit::warning(&edit.later))
    }

    /// What is in force at once, then the record; all of it is taken back when a part fails.
    async fn carry_out(
        self: &Arc<Self>,
        container: &Arc<Container>,
        limits: Option<LinuxResources>,
        (record, settings): (ContainerRecord, Settings),
    ) -> Result<()> {
        let before = container.record();
        let settings_before = container.settings();
        let had_ports = self.republish(container, (&settings_before, &settings)).await?;
        fault::point("update: ports published");
        let has_limits = limits.is_some();
        let mut done = Ok(());
        if let Some(limits) = limits {
            done = self.set_limits(container, limits).await;
            fault::point("update: limits set");
        }
        if done.is_ok() {
            done = self.record_update(container, (record, settings)).await;
            if done.is_err() && has_limits {
                let old = settings::to_limits(&before.host_config.resources)?;
                self.set_limits(container, old).await.ok();
            }
        }
        if let (Err(_), Some(had)) = (&done, had_ports) {
            self.take_back_ports(container, had).await;
        }
        done
    }

    /// The disk first, then memory.
    async fn record_update(
        self: &Arc<Self>,
        container: &Arc<Container>,
        (mut record, settings): (ContainerRecord, Settings),
    ) -> Result<()> {
        let (this, container) = (Arc::clone(self), Arc::clone(container));
        blocking::run(move || {
            let mut undo = Rollback::default();
            let before = container.record();
            let is_stopped = container.state().running().is_none();
            if is_stopped {
                this.make_new_mounts(&mut record, &mut undo)?;
            }
            fault::point("update: about to be recorded");
            record.save(&container.folder)?;
            fault::point("update: recorded");
            unrecorded::forget(&container.folder);
            undo.commit();
            container.replace(record, settings);
            this.let_go(&before, &container.record());
            Ok(())
        })
        .await
    }

    async fn set_limits(&self, container: &Container, limits: LinuxResources) -> Result<()> {
        let request = Request::Update { resources: Box::new(limits) };
        self.ask(container, "update the limits", &request).await
    }
}

/// Writes down what is about to change: in the request that the container was made by, and what is live in a note.
async fn note(
    container: &Container,
    (request, mut record): (&ContainerUpdateRequest, ContainerRecord),
    is_live: bool,
) -> Result<(ContainerRecord, Option<Unfinished>)> {
    let (folder, request) = (container.folder.clone(), request.clone());
    blocking::run(move || {
        if request != ContainerUpdateRequest::default() {
            edited::remember(&mut record, &folder, &request);
        }
        let unfinished = is_live.then(|| Unfinished::begin(&folder, (&request, &record)));
        let unfinished = unfinished.transpose()?;
        Ok((record, unfinished))
    })
    .await
}

/// The configuration after the change, by dockerd's rules: what is zero or absent stays.
fn merged(before: &HostConfig, request: &ContainerUpdateRequest) -> Result<HostConfig> {
    let mut host = before.clone();
    let change = &request.resources;
    check_kinds(change)?;
    check_conflicts(&host.resources, change)?;
    change_limits(&mut host.resources, change);
    if !request.restart_policy.name.is_empty() {
        host.restart_policy = request.restart_policy.clone();
        let parsed = RestartPolicy::from_api(
            &host.restart_policy.name,
            host.restart_policy.maximum_retry_count,
        );
        if host.auto_remove && parsed.is_ok_and(|policy| policy != RestartPolicy::No) {
            return Err(EngineError::Conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
                    .to_owned(),
            ));
        }
    }
    Ok(host)
}

/// What is zero or absent stays.
pub(super) fn change_limits(own: &mut Resources, change: &Resources) {
    for (own, change) in [
        (&mut own.cpu_shares, change.cpu_shares),
        (&mut own.nano_cpus, change.nano_cpus),
        (&mut own.cpu_period, change.cpu_period),
        (&mut own.cpu_quota, change.cpu_quota),
        (&mut own.cpu_realtime_period, change.cpu_realtime_period),
        (&mut own.cpu_realtime_runtime, change.cpu_realtime_runtime),
        (&mut own.memory, change.memory),
        (&mut own.memory_swap, change.memory_swap),
        (&mut own.memory_reservation, change.memory_reservation),
    ] {
        if change != 0 {
            *own = change;
        }
    }
    for (own, change) in
        [(&mut own.cpuset_cpus, &change.cpuset_cpus), (&mut own.cpuset_mems, &change.cpuset_mems)]
    {
        if !change.is_empty() {
            own.clone_from(change);
        }
    }
    if change.blkio_weight != 0 {
        own.blkio_weight = change.blkio_weight;
    }
    if change.pids_limit.is_some() {
        own.pids_limit = change.pids_limit;
    }
}

/// What cannot be changed is named, not ignored.
fn check_kinds(change: &Resources) -> Result<()> {
    let asked = [
        (change.memory_swappiness.is_some_and(|value| value >= 0), "MemorySwappiness"),
        (change.oom_kill_disable == Some(true), "OomKillDisable"),
        (!change.devices.is_empty(), "Devices"),
        (!change.device_cgroup_rules.is_empty(), "DeviceCgroupRules"),
        (!change.device_requests.is_empty(), "DeviceRequests"),
        (!change.ulimits.is_empty(), "Ulimits"),
        (!change.blkio_weight_device.is_empty(), "BlkioWeightDevice"),
        (!change.blkio_device_read_bps.is_empty(), "BlkioDeviceReadBps"),
        (!change.blkio_device_write_bps.is_empty(), "BlkioDeviceWriteBps"),
        (!change.blkio_device_read_iops.is_empty(), "BlkioDeviceReadIOps"),
        (!change.blkio_device_write_iops.is_empty(), "BlkioDeviceWriteIOps"),
        (!change.cgroup_parent.is_empty(), "CgroupParent"),
    ];
    match asked.iter().find(|(is_asked, _)| *is_asked) {
        Some((_, name)) => {
            Err(invalid(format!("{name} of a container cannot be updated: make a new one")))
        }
        None => Ok(()),
    }
}

fn check_conflicts(own: &Resources, change: &Resources) -> Result<()> {
    let cases = [
        (change.nano_cpus > 0 && own.cpu_period > 0, ("Nano CPUs", "CPU Period")),
        (change.nano_cpus > 0 && own.cpu_quota > 0, ("Nano CPUs", "CPU Quota")),
        (change.cpu_period > 0 && own.nano_cpus > 0, ("CPU Period", "NanoCPUs")),
        (change.cpu_quota > 0 && own.nano_cpus > 0, ("CPU Quota", "NanoCPUs")),
    ];
    if let Some((_, (new, old))) = cases.iter().find(|(is_case, _)| *is_case) {
        return Err(EngineError::Conflict(format!(
            "Conflicting options: {new} cannot be updated as {old} has already been set"
        )));
    }
    // -1 is no limit.
    if change.memory > 0
        && change.memory_swap == 0
        && own.memory_swap > 0
        && change.memory > own.memory_swap
    {
        return Err(EngineError::Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
                .to_owned(),
        ));
    }
    Ok(())
}

/// What the kernel is told: the changes alone.
fn live(change: &Resources, merged: &Resources) -> Result<LinuxResources> {
    // Not twice the memory, as it would be for a new container.
    let memory_swap = if change.memory == 0 { change.memory_swap } else { merged.memory_swap };
    let mut limits = settings::to_limits(&Resources { memory_swap, ..change.clone() })?;
    // Neither says "no limit" to a new container; to one that has a limit both do.
    if let Some(0) = change.pids_limit {
        limits.pids = Some(LinuxPids { limit: -1 });
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(resources: Resources) -> ContainerUpdateRequest {
        ContainerUpdateRequest { resources, ..ContainerUpdateRequest::default() }
    }

    fn host(resources: Resources) -> HostConfig {
        HostConfig { resources, ..HostConfig::default() }
    }

    #[test]
    fn what_is_not_said_stays() {
        let own = host(Resources {
            memory: 100,
            memory_swap: 200,
            cpu_shares: 5,
            ..Resources::default()
        });
        let change = Resources { memory: 150, pids_limit: Some(7), ..Resources::default() };
        let after = merged(&own, &request(change.clone())).unwrap().resources;
        assert_eq!((after.memory, after.memory_swap, after.cpu_shares), (150, 200, 5));
        assert_eq!(after.pids_limit, Some(7));
        let limits = live(&change, &after).unwrap();
        let memory = limits.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(150), Some(200)));
        assert_eq!(limits.cpu, None);
    }

    #[test]
    fn no_pids_limit_is_one_that_is_taken_away() {
        let change = Resources { pids_limit: Some(0), ..Resources::default() };
        assert_eq!(live(&change, &change).unwrap().pids, Some(LinuxPids { limit: -1 }));
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused_in_dockers_words() {
        let own = host(Resources {
            memory: 100,
            memory_swap: 200,
            cpu_quota: 5000,
            ..Resources::default()
        });
        for (change, text) in [
            (
                Resources { memory: 300, ..Resources::default() },
                "Memory limit should be smaller than already set memoryswap limit",
            ),
            (
                Resources { nano_cpus: 1, ..Resources::default() },
                "Nano CPUs cannot be updated as CPU Quota has already been set",
            ),
            (
                Resources { oom_kill_disable: Some(true), ..Resources::default() },
                "OomKillDisable of a container cannot be updated",
            ),
        ] {
            let error = merged(&own, &request(change)).unwrap_err().message();
            assert!(error.contains(text), "{error}");
        }
    }
}
