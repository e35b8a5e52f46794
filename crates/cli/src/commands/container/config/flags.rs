//! The flags that `run` and `create` share: one field each, in the order of Docker's help.
//!
//! What Docker's client refuses while reading flags has a parser here; what it refuses afterwards,
//! and with other words, is a text here and is looked at when the request is made.

use barge_api_types::{DeviceRequest, Mount, ThrottleDevice, Ulimit, WeightDevice};

use super::network::NetworkAttachment;
use super::{devices, limits, mounts, network, text};
use crate::flags::{integer, unsigned_16};
use crate::format::duration;

/// The flags that describe a container.
#[derive(clap::Args, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
pub(in crate::commands) struct ContainerFlags {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list", value_parser = network::extra_host)]
    pub(super) add_host: Vec<String>,
    /// Add an annotation to the container (passed through to the OCI runtime) (default map[])
    #[arg(long, value_name = "map")]
    pub(super) annotation: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = text::standard_stream)]
    pub(super) attach: Vec<String>,
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    #[arg(long, value_name = "uint16", value_parser = unsigned_16, default_value = "0")]
    pub(super) blkio_weight: u16,
    /// Block IO weight (relative device weight) (default [])
    #[arg(long, value_name = "list", value_parser = devices::weight)]
    pub(super) blkio_weight_device: Vec<WeightDevice>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    pub(super) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    pub(super) cap_drop: Vec<String>,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) cgroup_parent: String,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) cgroupns: String,
    /// Write the container ID to the file
    #[arg(long, value_name = "string", default_value = "")]
    pub(in crate::commands) cidfile: String,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_period: i64,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_quota: i64,
    /// Limit CPU real-time period in microseconds
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_rt_period: i64,
    /// Limit CPU real-time runtime in microseconds
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_rt_runtime: i64,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_shares: i64,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = limits::nano_cpus, default_value = "0")]
    pub(super) cpus: i64,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) cpuset_cpus: String,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) cpuset_mems: String,
    /// Add a host device to the container
    #[arg(long, value_name = "list")]
    pub(super) device: Vec<String>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "list", value_parser = devices::cgroup_rule)]
    pub(super) device_cgroup_rule: Vec<String>,
    /// Limit read rate (bytes per second) from a device (default [])
    #[arg(long, value_name = "list", value_parser = devices::bytes_per_second)]
    pub(super) device_read_bps: Vec<ThrottleDevice>,
    /// Limit read rate (IO per second) from a device (default [])
    #[arg(long, value_name = "list", value_parser = devices::operations_per_second)]
    pub(super) device_read_iops: Vec<ThrottleDevice>,
    /// Limit write rate (bytes per second) to a device (default [])
    #[arg(long, value_name = "list", value_parser = devices::bytes_per_second)]
    pub(super) device_write_bps: Vec<ThrottleDevice>,
    /// Limit write rate (IO per second) to a device (default [])
    #[arg(long, value_name = "list", value_parser = devices::operations_per_second)]
    pub(super) device_write_iops: Vec<ThrottleDevice>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = network::dns_server)]
    pub(super) dns: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    pub(super) dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = network::dns_search)]
    pub(super) dns_search: Vec<String>,
    /// Container NIS domain name
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) domainname: String,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    pub(super) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = text::variable)]
    pub(super) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    pub(super) env_file: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list")]
    pub(super) expose: Vec<String>,
    /// GPU devices to add to the container ('all' to pass all GPUs)
    #[arg(long, value_name = "gpu-request", value_parser = devices::gpus)]
    pub(super) gpus: Vec<DeviceRequest>,
    /// Add additional groups to join
    #[arg(long, value_name = "list")]
    pub(super) group_add: Vec<String>,
    /// Command to run to check health
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) health_cmd: String,
    /// Time between running the check (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse, default_value = "0")]
    pub(super) health_interval: i64,
    /// What to do once it is unhealthy (none|restart|stop|kill)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) health_on_failure: String,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) health_retries: i64,
    /// Time between running the check during the start period (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse, default_value = "0")]
    pub(super) health_start_interval: i64,
    /// Start period for the container to initialize before starting health-retries countdown
    /// (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse, default_value = "0")]
    pub(super) health_start_period: i64,
    /// Maximum time to allow one check to run (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = duration::parse, default_value = "0")]
    pub(super) health_timeout: i64,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string", default_value = "")]
    pub(super) hostname: String,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(super) init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) ip: String,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) ip6: String,
    /// IPC mode to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) ipc: String,
    /// Container isolation technology
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) isolation: String,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = text::label)]
    pub(super) label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "list")]
    pub(super) label_file: Vec<String>,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = network::link)]
    pub(super) link: Vec<String>,
    /// Container IPv4/IPv6 link-local addresses
    #[arg(long, value_name = "list")]
    pub(super) link_local_ip: Vec<String>,
    /// Logging driver for the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) log_driver: String,
    /// Log driver options
    #[arg(long, value_name = "list")]
    pub(super) log_opt: Vec<String>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) mac_address: String,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = limits::bytes, default_value = "0")]
    pub(super) memory: i64,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = limits::bytes, default_value = "0")]
    pub(super) memory_reservation: i64,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = limits::swap_bytes, default_value = "0")]
    pub(super) memory_swap: i64,
    /// Tune container memory swappiness (0 to 100) (default -1)
    #[arg(long, value_name = "int", value_parser = integer, default_value = "-1")]
    pub(super) memory_swappiness: i64,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount", value_parser = mounts::mount)]
    pub(super) mount: Vec<Mount>,
    /// Connect a container to a network
    #[arg(long, alias = "net", value_name = "network", value_parser = network::attachment)]
    pub(super) network: Vec<NetworkAttachment>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "list")]
    pub(super) network_alias: Vec<String>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    pub(super) no_healthcheck: bool,
    /// Disable OOM Killer
    #[arg(long)]
    pub(super) oom_kill_disable: bool,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) oom_score_adj: i64,
    /// PID namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) pid: String,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) pids_limit: i64,
    /// Give extended privileges to this container
    #[arg(long)]
    pub(super) privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    pub(super) publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub(super) publish_all: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(super) read_only: bool,
    /// Restart policy to apply when a container exits (default "no")
    #[arg(long, value_name = "string", default_value = "no")]
    pub(super) restart: String,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    pub(super) rm: bool,
    /// Runtime to use for this container
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) runtime: String,
    /// Security Options
    #[arg(long, value_name = "list")]
    pub(super) security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", value_parser = limits::bytes, default_value = "0")]
    pub(super) shm_size: i64,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    pub(super) stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int", value_parser = integer)]
    pub(super) stop_timeout: Option<i64>,
    /// Storage driver options for the container
    #[arg(long, value_name = "list")]
    pub(super) storage_opt: Vec<String>,
    /// Sysctl options (default map[])
    #[arg(long, value_name = "map", value_parser = text::sysctl)]
    pub(super) sysctl: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "list")]
    pub(super) tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Ulimit options (default [])
    #[arg(long, value_name = "ulimit", value_parser = limits::ulimit)]
    pub(super) ulimit: Vec<Ulimit>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string", default_value = "")]
    pub(super) user: String,
    /// User namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) userns: String,
    /// UTS namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) uts: String,
    /// Bind mount a volume
    #[arg(short, long, value_name = "list")]
    pub(super) volume: Vec<String>,
    /// Optional volume driver for the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) volume_driver: String,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "list")]
    pub(super) volumes_from: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "")]
    pub(super) workdir: String,
}
