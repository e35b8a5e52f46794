//! What a network wants of the packet filter, and who provides it.
//!
//! A backend owns what it made under the name it was given, and nothing else: it never flushes, changes or reads rules
//! of others. What it cannot do is overrule them: a packet that a foreign table drops (such as the FORWARD chain with
//! policy DROP that a stopped Docker leaves behind) is dropped, whatever is accepted here, since netfilter asks every
//! table.

use std::fmt::Debug;
use std::net::Ipv4Addr;

use barge_types::Protocol;

use crate::error::Result;

/// A backend of the packet filter.
///
/// Every verb is atomic: it takes effect as a whole or not at all, and no packet sees a half of it.
pub trait FirewallBackend: Send + Sync + Debug {
    /// The word users type.
    fn name(&self) -> &'static str;

    /// Makes the rules exactly these, whatever was there before under our name.
    ///
    /// # Errors
    /// When the kernel refuses; then what was there before still holds.
    fn replace(&self, rules: &Ruleset) -> Result<()>;

    /// Publishes ports, in time that does not depend on how many are published already.
    ///
    /// # Errors
    /// When the kernel refuses, or a port leads elsewhere already; then none is published.
    fn publish(&self, ports: &[Publication]) -> Result<()>;

    /// Withdraws ports; those that are not published are no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn withdraw(&self, ports: &[Publication]) -> Result<()>;

    /// Opens passages, whether or not they are open already, in time that does not depend on how many are.
    ///
    /// # Errors
    /// When the kernel refuses; then none is opened.
    fn admit(&self, passages: &[Passage]) -> Result<()>;

    /// Closes passages; those that are not open are no error. Connections that were made through them go on.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn shut(&self, passages: &[Passage]) -> Result<()>;

    /// Removes everything of ours.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn clear(&self) -> Result<()>;
}

/// All rules of one daemon.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// One for each bridge.
    pub networks: Vec<NetworkRules>,
    /// The ports of all running containers.
    pub ports: Vec<Publication>,
    /// What passes between containers that are kept apart.
    pub passages: Vec<Passage>,
}

/// The rules of one bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkRules {
    /// Name of the bridge's interface.
    pub bridge: String,
    /// Its subnet: any address in it.
    pub subnet: Ipv4Addr,
    /// Length of the subnet's prefix.
    pub prefix: u8,
    /// Whether its containers reach each other.
    pub between_containers: Verdict,
    /// Whether its containers leave the host under the host's address.
    pub masquerade: Masquerade,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It passes.
    Accept,
    /// It does not.
    Drop,
}

/// Whether packets that leave get the host's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Masquerade {
    /// They do.
    Yes,
    /// They keep their own.
    No,
}

/// A port of the host that leads to a container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Publication {
    /// Which protocol.
    pub protocol: Protocol,
    /// The host's address; `0.0.0.0` is all of them.
    pub host: Ipv4Addr,
    /// The host's port.
    pub host_port: u16,
    /// The container's address.
    pub container: Ipv4Addr,
    /// The container's port.
    pub container_port: u16,
}

/// A port of one container that another may reach where containers are kept apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Passage {
    /// Which protocol.
    pub protocol: Protocol,
    /// Who may.
    pub from: Ipv4Addr,
    /// Whom.
    pub to: Ipv4Addr,
    /// The port of the latter.
    pub port: u16,
}
