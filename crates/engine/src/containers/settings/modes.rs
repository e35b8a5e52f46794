//! Whose namespaces a container uses: its own, the host's, another container's.

use barge_api_types::{ContainerConfig, HostConfig};

use super::{Host, invalid};
use crate::error::Result;

/// Whose network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetworkMode {
    /// An own namespace, attached to a network of this name (`bridge`, `none`).
    Named(String),
    /// The host's.
    Host,
    /// That of the container with this name or id.
    Container(String),
}

impl NetworkMode {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("container", name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            Some(_) | None => match text {
                "" | "default" | "bridge" => Ok(Self::Named("bridge".to_owned())),
                "host" => Ok(Self::Host),
                "container" | "container:" => Err(invalid(
                    "invalid network mode: invalid container format container:<name|id>",
                )),
                name => Ok(Self::Named(name.to_owned())),
            },
        }
    }

    /// The network's name; none when another container's is used.
    pub(crate) fn network_name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Host => Some("host"),
            Self::Container(_) => None,
        }
    }

    /// Whether the container has a network namespace of its own.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

/// What cannot be asked of a container that uses another's network or the host's.
pub(crate) fn check_network(
    mode: &NetworkMode,
    config: &ContainerConfig,
    host: &HostConfig,
) -> Result<()> {
    let conflict = |what: &str| Err(invalid(format!("conflicting options: {what}")));
    match mode {
        NetworkMode::Container(_) => {
            if !config.hostname.is_empty() {
                return conflict("hostname and the network mode");
            }
            if !host.links.is_empty() {
                return conflict(
                    "container type network can't be used with links. This would result in undefined behavior",
                );
            }
            if !host.dns.is_empty() {
                return conflict("dns and the network mode");
            }
            if !host.extra_hosts.is_empty() {
                return conflict("custom host-to-IP mapping and the network mode");
            }
            if !config.mac_address.is_empty() {
                return conflict("mac-address and the network mode");
            }
            if !host.port_bindings.is_empty() || host.publish_all_ports {
                return conflict("port publishing and the container type network mode");
            }
            if !config.exposed_ports.is_empty() {
                return conflict("port exposing and the container type network mode");
            }
            Ok(())
        }
        NetworkMode::Host if !host.links.is_empty() => conflict(
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
        NetworkMode::Host if !config.mac_address.is_empty() => {
            conflict("mac-address and the network mode")
        }
        NetworkMode::Host | NetworkMode::Named(_) => Ok(()),
    }
}

/// A host name cannot be given to a container that has the host's.
pub(crate) fn check_hostname(uts_mode: &str, config: &ContainerConfig) -> Result<()> {
    if uts_mode == "host" && !config.hostname.is_empty() {
        return Err(invalid("conflicting options: hostname and the UTS mode"));
    }
    Ok(())
}

/// `host` opts out of what the daemon may do to all containers.
pub(crate) fn check_user_namespace(text: &str) -> Result<()> {
    match text {
        "" | "host" => Ok(()),
        _ => Err(invalid(format!("invalid USER mode: {text}"))),
    }
}

/// Whose process ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PidMode {
    Private,
    Host,
    Container(String),
}

impl PidMode {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("container:")) {
            ("", _) => Ok(Self::Private),
            ("host", _) => Ok(Self::Host),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            _ => Err(invalid(format!("invalid PID mode: {text}"))),
        }
    }
}

/// Whose System V IPC, POSIX queues and /dev/shm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IpcMode {
    /// Own, and nobody can join it.
    Private,
    /// Own, without /dev/shm.
    Without,
    /// Own, and others can join it.
    Shareable,
    Host,
    Container(String),
}

impl IpcMode {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("container:")) {
            ("" | "private", _) => Ok(Self::Private),
            ("none", _) => Ok(Self::Without),
            ("shareable", _) => Ok(Self::Shareable),
            ("host", _) => Ok(Self::Host),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            _ => Err(invalid(format!("invalid IPC mode: {text}"))),
        }
    }
}

/// Whose host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UtsMode {
    Private,
    Host,
}

impl UtsMode {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(invalid(format!("invalid UTS mode: {text}"))),
        }
    }
}

/// Whose view of the cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CgroupMode {
    Private,
    Host,
}

impl CgroupMode {
    /// What a container gets that says nothing. Docker's default is private on cgroup v2 and host on v1; barge's is
    /// private on both, as nothing inside needs to see the host's tree. A privileged container gets the host's on v1,
    /// as its tools expect.
    pub(crate) fn default_for(host: &HostConfig, machine: &Host) -> &'static str {
        if host.privileged && machine.has_cgroup_v1 { "host" } else { "private" }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(invalid(format!("invalid cgroup namespace mode: {text}"))),
        }
    }
}
