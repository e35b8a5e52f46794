//! The flags of `build`: those of Docker's classic builder and those of buildx, one field each.
//!
//! What we do not have is a flag all the same, so that it is refused by its name and with a reason.

use barge_api_types::Ulimit;

use crate::commands::container::config::limits::{bytes, swap_bytes, ulimit};
use crate::commands::container::config::network::extra_host;
use crate::commands::container::config::text::label;
use crate::flags::integer;

#[derive(clap::Args, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
pub(super) struct BuildFlags {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long, value_name = "strings", value_parser = extra_host)]
    pub(super) add_host: Vec<String>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure", "device")
    #[arg(long, value_name = "stringArray")]
    pub(super) allow: Vec<String>,
    /// Add annotation to the image
    #[arg(long, value_name = "stringArray")]
    pub(super) annotation: Vec<String>,
    /// Attestation parameters (format: "type=sbom,generator=image"); none are made unless asked for
    #[arg(long, value_name = "stringArray")]
    pub(super) attest: Vec<String>,
    /// Set build-time variables
    #[arg(long, value_name = "stringArray")]
    pub(super) build_arg: Vec<String>,
    /// Additional build contexts (e.g., name=path)
    #[arg(long, value_name = "stringArray")]
    pub(super) build_context: Vec<String>,
    /// Override the configured builder instance; there is one, called "default"
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) builder: String,
    /// External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")
    #[arg(long, value_name = "stringArray")]
    pub(super) cache_from: Vec<String>,
    /// Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")
    #[arg(long, value_name = "stringArray")]
    pub(super) cache_to: Vec<String>,
    /// Set method for evaluating build ("check", "outline", "targets", "build") (default "build")
    #[arg(long, value_name = "string", default_value = "build")]
    pub(super) call: String,
    /// Set the parent cgroup for the "RUN" instructions during build
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) cgroup_parent: String,
    /// Shorthand for "--call=check"
    #[arg(long)]
    pub(super) check: bool,
    /// Compress the build context using gzip
    #[arg(long)]
    pub(super) compress: bool,
    /// Limit the CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_period: i64,
    /// Limit the CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_quota: i64,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = integer, default_value = "0")]
    pub(super) cpu_shares: i64,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) cpuset_cpus: String,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) cpuset_mems: String,
    /// Enable debug logging
    #[arg(short = 'D', long)]
    pub(super) debug: bool,
    /// Skip image verification (default true)
    #[arg(long, default_value = "true", hide = true)]
    pub(super) disable_content_trust: bool,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string", default_value = "")]
    pub(super) file: String,
    /// Always remove intermediate containers
    #[arg(long)]
    pub(super) force_rm: bool,
    /// Write the image ID to a file
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) iidfile: String,
    /// Container isolation technology
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) isolation: String,
    /// Set metadata for an image
    #[arg(long, value_name = "stringArray", value_parser = label)]
    pub(super) label: Vec<String>,
    /// Shorthand for "--output=type=docker"
    #[arg(long)]
    pub(super) load: bool,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = bytes, default_value = "0")]
    pub(super) memory: i64,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = swap_bytes, default_value = "0")]
    pub(super) memory_swap: i64,
    /// Write build result metadata to a file
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) metadata_file: String,
    /// Set the networking mode for the "RUN" instructions during build (default "default")
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) network: String,
    /// Do not use cache when building the image
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "stringArray")]
    pub(super) no_cache_filter: Vec<String>,
    /// What to do when a step fails: "shell" opens a shell in the state of the failed step
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) on_failure: String,
    /// Output destination (format: "type=local,dest=path")
    #[arg(short, long, value_name = "stringArray")]
    pub(super) output: Vec<String>,
    /// Set target platform for build
    #[arg(long, value_name = "stringArray")]
    pub(super) platform: Vec<String>,
    /// Policy configuration; not supported
    #[arg(long, value_name = "stringArray", hide = true)]
    pub(super) policy: Vec<String>,
    /// Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show
    /// container output (default "auto")
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) progress: String,
    /// Shorthand for "--attest=type=provenance"
    #[arg(long, value_name = "string")]
    pub(super) provenance: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pub(super) pull: bool,
    /// Shorthand for "--output=type=registry,unpack=false"
    #[arg(long)]
    pub(super) push: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Remove intermediate containers after a successful build (default true)
    #[arg(long, default_value = "true")]
    pub(super) rm: bool,
    /// Resources of the build; not supported
    #[arg(long, value_name = "stringArray", hide = true)]
    pub(super) resource: Vec<String>,
    /// Shorthand for "--attest=type=sbom"
    #[arg(long, value_name = "string")]
    pub(super) sbom: Option<String>,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
    #[arg(long, value_name = "stringArray")]
    pub(super) secret: Vec<String>,
    /// Security options
    #[arg(long, value_name = "strings")]
    pub(super) security_opt: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes", value_parser = bytes, default_value = "0")]
    pub(super) shm_size: i64,
    /// Squash newly built layers into a single new layer
    #[arg(long)]
    pub(super) squash: bool,
    #[arg(
        long,
        value_name = "stringArray",
        help = "SSH agent socket or keys to expose to the build (format: \"default|<id>[=<socket>|<key>[,<key>]]\")"
    )]
    pub(super) ssh: Vec<String>,
    #[arg(
        short,
        long,
        value_name = "stringArray",
        help = "Image identifier (format: \"[registry/]repository[:tag]\")"
    )]
    pub(super) tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string", default_value = "")]
    pub(super) target: String,
    /// Ulimit options (default [])
    #[arg(long, value_name = "ulimit", value_parser = ulimit)]
    pub(super) ulimit: Vec<Ulimit>,
}
