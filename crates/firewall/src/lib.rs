//! NAT and filter rules of barge's own, as one atomic batch.

mod error;

pub use error::{FirewallError, Result};
