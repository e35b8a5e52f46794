//! NAT and filter rules of barge's own, as one atomic batch.
//!
//! A daemon says which bridges it has and which ports are published; a backend makes that so, touching nothing that is
//! not its own. No program is run: the kernel is spoken to directly.

mod backend;
mod drivers;
mod error;

pub use backend::{
    FirewallBackend, Masquerade, NetworkRules, Passage, Publication, Ruleset, Verdict,
};
pub use drivers::nftables::Nftables;
pub use drivers::none::None;
pub use error::{FirewallError, Result};
