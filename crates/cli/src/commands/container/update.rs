//! `barge update`: other limits for containers that there are, and more that Docker makes people remove them for.

use barge_api_types::{ContainerEdit, ContainerUpdateRequest, Mount, Resources, RestartPolicy};
use clap::Args as _;

use super::config::{limits, text};
use super::{config, each};
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::{Order, integer, unsigned_16};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "update",
    about: "Update configuration of one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    aliases: &["container update", "update"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    #[arg(long, value_name = "uint16", value_parser = unsigned_16)]
    blkio_weight: Option<u16>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_period: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_quota: Option<i64>,
    /// Limit the CPU real-time period in microseconds
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_rt_period: Option<i64>,
    /// Limit the CPU real-time runtime in microseconds
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = integer)]
    cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = limits::nano_cpus)]
    cpus: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = limits::bytes)]
    memory: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = limits::bytes)]
    memory_reservation: Option<i64>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = limits::swap_bytes)]
    memory_swap: Option<i64>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = integer)]
    pids_limit: Option<i64>,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    /// Set environment variables (with the next start)
    #[arg(long, value_name = "list", value_parser = text::variable)]
    env_add: Vec<String>,
    /// Remove environment variables (with the next start)
    #[arg(long, value_name = "list")]
    env_rm: Vec<String>,
    /// Set another host name (with the next start)
    #[arg(long, value_name = "string")]
    hostname: Option<String>,
    /// Set meta data
    #[arg(long, value_name = "list", value_parser = text::label)]
    label_add: Vec<String>,
    /// Remove meta data
    #[arg(long, value_name = "list")]
    label_rm: Vec<String>,
    /// Attach a filesystem mount (with the next start)
    #[arg(long, value_name = "mount", value_parser = config::mount)]
    mount_add: Vec<Mount>,
    /// Detach the filesystem mount at a path in the container (with the next start)
    #[arg(long, value_name = "list")]
    mount_rm: Vec<String>,
    /// Publish a port to the host
    #[arg(long, value_name = "list")]
    publish_add: Vec<String>,
    /// Publish a port of the container no more
    #[arg(long, value_name = "list")]
    publish_rm: Vec<String>,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int", value_parser = integer, allow_hyphen_values = true)]
    stop_timeout: Option<i64>,
    /// Username or UID (with the next start)
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Working directory inside the container (with the next start)
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
}

impl Flags {
    fn request(self) -> Result<ContainerUpdateRequest> {
        let restart_policy = match &self.restart {
            Some(text) => config::restart_policy(text)?,
            None => RestartPolicy::default(),
        };
        let resources = Resources {
            blkio_weight: self.blkio_weight.unwrap_or_default(),
            cpu_period: self.cpu_period.unwrap_or_default(),
            cpu_quota: self.cpu_quota.unwrap_or_default(),
            cpu_realtime_period: self.cpu_rt_period.unwrap_or_default(),
            cpu_realtime_runtime: self.cpu_rt_runtime.unwrap_or_default(),
            cpu_shares: self.cpu_shares.unwrap_or_default(),
            nano_cpus: self.cpus.unwrap_or_default(),
            cpuset_cpus: self.cpuset_cpus.unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.unwrap_or_default(),
            memory: self.memory.unwrap_or_default(),
            memory_reservation: self.memory_reservation.unwrap_or_default(),
            memory_swap: self.memory_swap.unwrap_or_default(),
            pids_limit: self.pids_limit,
            ..Resources::default()
        };
        let edit = ContainerEdit {
            env_add: text::environment(&[], &self.env_add)?,
            env_rm: self.env_rm,
            label_add: text::pairs(&self.label_add),
            label_rm: self.label_rm,
            publish_add: config::ports(&self.publish_add, &[])?.bindings,
            publish_rm: self.publish_rm,
            mount_add: self.mount_add,
            mount_rm: self.mount_rm,
            hostname: self.hostname,
            user: self.user,
            working_dir: self.workdir,
            stop_signal: self.stop_signal,
            stop_timeout: self.stop_timeout,
        };
        let request = ContainerUpdateRequest { restart_policy, edit, resources };
        if request == ContainerUpdateRequest::default() && self.restart.is_none() {
            return Err(CliError::Invalid(
                "you must provide one or more flags when using this command".to_owned(),
            ));
        }
        Ok(request)
    }
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let request = input.flags::<Flags>()?.request()?;
    let client = session.client().await?;
    let notes = session.streams;
    each(session, &input.arguments, |name| {
        let request = &request;
        async move {
            for warning in client.containers().update(name, request).await? {
                notes.note(format!("{name}: {warning}"));
            }
            Ok(())
        }
    })
    .await
}
