//! What our table contains, by name.

/// `protocol . port → container . port`, for ports of every address of the host.
pub(super) const PORT_TARGETS: &str = "port-targets";
/// `protocol . address . port → container . port`, for ports of one address.
pub(super) const PORT_TARGETS_OF_ADDRESS: &str = "port-targets-of-address";

/// `protocol . source . destination . port`: what passes between containers that are kept apart.
pub(super) const PASSAGES: &str = "passages";

/// Keeps the host's loopback addresses out of the containers' reach.
pub(super) const GUARD: &str = "guard-loopback";
/// Redirects what comes from outside, and from containers.
pub(super) const PREROUTING: &str = "redirect-incoming";
/// Redirects what the host itself sends.
pub(super) const OUTPUT: &str = "redirect-own";
/// Gives the host's address to what leaves.
pub(super) const POSTROUTING: &str = "masquerade";
/// Decides what passes from and to bridges.
pub(super) const FORWARD: &str = "forward";
