//! The command line: dockerd's own flags.
//!
//! A flag that is not given stays `None`, so that the configuration file can say it; a flag of dockerd's that barge
//! does not have is refused by name instead of being taken for a typing error.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Parser};

use crate::isolation::IsolationFlags;
use crate::runtimes::RuntimeFlags;

/// A self-sufficient daemon for containers.
#[derive(Clone, Debug, Default, PartialEq, Parser)]
#[command(
    name = "barged",
    override_usage = "barged [OPTIONS]",
    disable_version_flag = true,
    args_override_self = true,
    about = "The daemon of barge, a container engine.",
    after_help = "Keys of the configuration file are dockerd's: hosts, data-root, log-opts, …"
)]
pub(crate) struct Flags {
    /// Socket to listen at (unix://PATH, or tcp://LOOPBACK:PORT); may be repeated
    #[arg(short = 'H', long = "host", value_name = "LIST")]
    pub(crate) hosts: Vec<String>,
    /// Folder of everything that outlives a reboot (default /var/lib/barge)
    #[arg(long, value_name = "PATH")]
    pub(crate) data_root: Option<String>,
    /// Folder of sockets, process ids and other run-time state (default /run/barge)
    #[arg(long, value_name = "PATH")]
    pub(crate) exec_root: Option<String>,
    /// Configuration file (default /etc/barge/daemon.json)
    #[arg(long, value_name = "PATH")]
    pub(crate) config_file: Option<PathBuf>,
    /// File for the daemon's process id (default EXEC-ROOT/barge.pid)
    #[arg(short = 'p', long, value_name = "PATH")]
    pub(crate) pidfile: Option<String>,
    /// What is logged: debug, info, warn, error or fatal (default info)
    #[arg(short = 'l', long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Log what is good for finding mistakes
    #[arg(short = 'D', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) debug: Option<bool>,
    /// Group of the unix socket, a name or a number (default barge or docker, when there is one)
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Storage driver (default: the best that works)
    #[arg(short = 's', long, value_name = "DRIVER")]
    pub(crate) storage_driver: Option<String>,
    /// Option of the storage driver, as KEY=VALUE; may be repeated
    #[arg(long = "storage-opt", value_name = "KEY=VALUE")]
    pub(crate) storage_opts: Vec<String>,
    /// Mirror of Docker Hub, as a URL; may be repeated
    #[arg(long = "registry-mirror", value_name = "URL")]
    pub(crate) registry_mirrors: Vec<String>,
    /// Registry that may be spoken to without TLS or with a certificate nobody vouches for, as HOST, HOST:PORT or CIDR; may be repeated
    #[arg(long = "insecure-registry", value_name = "REGISTRY")]
    pub(crate) insecure_registries: Vec<String>,
    /// Layers that are downloaded at once, 0 for all (default 3)
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) max_concurrent_downloads: Option<i64>,
    /// Layers that are uploaded at once, 0 for all (default 5)
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) max_concurrent_uploads: Option<i64>,
    /// How often a download is tried (default 5)
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) max_download_attempts: Option<i64>,
    /// Proxy for requests by http (default HTTP_PROXY of the environment)
    #[arg(long, value_name = "URL")]
    pub(crate) http_proxy: Option<String>,
    /// Proxy for requests by https (default HTTPS_PROXY of the environment)
    #[arg(long, value_name = "URL")]
    pub(crate) https_proxy: Option<String>,
    /// Hosts, domains and CIDRs that need no proxy, comma separated (default NO_PROXY of the environment)
    #[arg(long, value_name = "LIST")]
    pub(crate) no_proxy: Option<String>,
    /// Address and prefix length of the default bridge
    #[arg(long, value_name = "CIDR")]
    pub(crate) bip: Option<String>,
    /// Name of the default bridge, or `none` for no default network (default barge0)
    #[arg(short = 'b', long, value_name = "NAME")]
    pub(crate) bridge: Option<String>,
    /// The part of the bridge's subnet that containers get addresses from
    #[arg(long, value_name = "CIDR")]
    pub(crate) fixed_cidr: Option<String>,
    /// Default route of containers (default: the bridge)
    #[arg(long, value_name = "IP")]
    pub(crate) default_gateway: Option<String>,
    /// MTU of the default bridge and its containers (default 1500)
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u32>,
    /// Let containers of the default bridge reach each other (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) icc: Option<bool>,
    /// Host address that ports are published at when none is named (default 0.0.0.0)
    #[arg(long, value_name = "IP")]
    pub(crate) ip: Option<String>,
    /// Switch on forwarding in the kernel (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) ip_forward: Option<bool>,
    /// Let containers leave the host under its address (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) ip_masq: Option<bool>,
    /// Write packet filter rules (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) iptables: Option<bool>,
    /// Publish ports through a program in user space; barge never does
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) userland_proxy: Option<bool>,
    /// Parent of the containers' cgroups (default barge)
    #[arg(long, value_name = "NAME")]
    pub(crate) cgroup_parent: Option<String>,
    /// Execution options: native.cgroupdriver=cgroupfs
    #[arg(long = "exec-opt", value_name = "KEY=VALUE")]
    pub(crate) exec_opts: Vec<String>,
    /// Ulimits of every container.
    #[arg(
        long = "default-ulimit",
        help = "Ulimits of every container, as NAME=SOFT[:HARD]; may be repeated",
        value_name = "ULIMIT"
    )]
    pub(crate) default_ulimits: Vec<String>,
    /// Size of /dev/shm of containers (default 64MiB)
    #[arg(long, value_name = "BYTES")]
    pub(crate) default_shm_size: Option<String>,
    /// DNS servers of containers; may be repeated
    #[arg(long, value_name = "IP")]
    pub(crate) dns: Vec<String>,
    /// DNS options of containers; may be repeated
    #[arg(long = "dns-opt", alias = "dns-option", value_name = "OPTION")]
    pub(crate) dns_opts: Vec<String>,
    /// DNS search domains of containers; may be repeated
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_search: Vec<String>,
    /// Labels of the daemon, as KEY=VALUE; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Keep containers running without the daemon, which barge always does
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) live_restore: Option<bool>,
    /// Log driver of containers (default json-file)
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<String>,
    /// Options of the log driver, as KEY=VALUE; may be repeated
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub(crate) log_opts: Vec<String>,
    /// Seconds that requests under way get when the daemon stops (default 15)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) shutdown_timeout: Option<u64>,
    #[command(flatten)]
    pub(crate) isolation: IsolationFlags,
    #[command(flatten)]
    pub(crate) runtimes: RuntimeFlags,
    /// Check flags and configuration file and leave
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) validate: bool,
    /// Print the version and leave
    #[arg(short = 'v', long, action = ArgAction::SetTrue)]
    pub(crate) version: bool,
}

/// Flags of dockerd that barge does not have. All of them are for things of later versions, or that it will not do.
pub(crate) const NOT_SUPPORTED: [&str; 40] = [
    "allow-direct-routing",
    "allow-nondistributable-artifacts",
    "api-cors-header",
    "authorization-plugin",
    "bip6",
    "bridge-accept-fwmark",
    "containerd",
    "containerd-namespace",
    "containerd-plugins-namespace",
    "cri-containerd",
    "default-address-pool",
    "default-gateway-v6",
    "default-network-opt",
    "experimental",
    "feature",
    "firewall-backend",
    "fixed-cidr-v6",
    "host-gateway-ip",
    "init-path",
    "ip-forward-no-drop",
    "ip6tables",
    "ipv6",
    "log-format",
    "metrics-addr",
    "network-control-plane-mtu",
    "node-generic-resource",
    "oom-score-adjust",
    "raw-logs",
    "rootless",
    "selinux-enabled",
    "swarm-default-advertise-addr",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy-path",
    "graph",
    "cluster-store",
    "cluster-advertise",
];

/// What became of the command line.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Flags.
    Flags(Box<Flags>),
    /// The help text that was asked for.
    Help(String),
    /// What is wrong, in a form for the user.
    Wrong(String),
}

impl Flags {
    /// Parses the arguments, the program's name included.
    pub(crate) fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Parsed {
        match Self::try_parse_from(arguments) {
            Ok(flags) => Parsed::Flags(Box::new(flags)),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => Parsed::Help(error.to_string()),
            Err(error) => Parsed::Wrong(explain(&error)),
        }
    }
}

fn explain(error: &clap::Error) -> String {
    let culprit = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let text = if error.kind() != ErrorKind::UnknownArgument {
        error
            .to_string()
            .trim_start_matches("error: ")
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    } else if let Some(name) = culprit.strip_prefix("--") {
        let name = name.split('=').next().unwrap_or_default();
        if NOT_SUPPORTED.contains(&name) {
            format!("flag --{name} of dockerd is not supported by barged")
        } else {
            format!("unknown flag: --{name}")
        }
    } else if culprit.starts_with('-') {
        format!("unknown shorthand flag: '{}'", culprit.trim_start_matches('-'))
    } else {
        format!("barged accepts no arguments, but got \"{culprit}\"")
    };
    format!("{text}\nSee 'barged --help'.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Flags {
        match Flags::read(["barged"].iter().chain(words).map(std::ffi::OsString::from)) {
            Parsed::Flags(flags) => *flags,
            Parsed::Help(text) | Parsed::Wrong(text) => panic!("{text}"),
        }
    }

    fn wrong(words: &[&str]) -> String {
        match Flags::read(["barged"].iter().chain(words).map(std::ffi::OsString::from)) {
            Parsed::Wrong(text) => text,
            Parsed::Flags(_) | Parsed::Help(_) => panic!("{words:?} was accepted"),
        }
    }

    #[test]
    fn lists_may_be_repeated_and_booleans_need_an_equals_sign() {
        let flags =
            parse(&["-H", "unix:///a", "-Htcp://127.0.0.1:1", "-D", "--iptables=false", "--icc"]);
        assert_eq!(flags.hosts, ["unix:///a", "tcp://127.0.0.1:1"]);
        assert_eq!((flags.debug, flags.iptables, flags.icc), (Some(true), Some(false), Some(true)));
        assert_eq!(parse(&[]), Flags::default());
    }

    #[test]
    fn the_last_of_a_repeated_flag_counts() {
        assert_eq!(parse(&["--bip", "10.0.0.1/8", "--bip=10.0.0.2/8"]).bip.unwrap(), "10.0.0.2/8");
    }

    #[test]
    fn unknown_flags_are_named() {
        assert_eq!(wrong(&["--nope"]), "unknown flag: --nope\nSee 'barged --help'.");
        assert_eq!(wrong(&["--nope=1"]), "unknown flag: --nope\nSee 'barged --help'.");
        assert!(wrong(&["-z"]).starts_with("unknown shorthand flag: 'z'"));
        assert!(wrong(&["start"]).contains("accepts no arguments, but got \"start\""));
        assert!(wrong(&["--mtu", "big"]).contains("--mtu"));
    }

    #[test]
    fn flags_of_dockerd_that_are_missing_say_so() {
        for name in NOT_SUPPORTED {
            let text = wrong(&[&format!("--{name}=x")]);
            assert!(
                text.starts_with(&format!("flag --{name} of dockerd is not supported")),
                "{text}"
            );
        }
    }

    #[test]
    fn help_is_not_an_error() {
        let parsed = Flags::read(["barged".into(), "--help".into()]);
        assert!(matches!(parsed, Parsed::Help(text) if text.contains("--data-root")));
    }
}
