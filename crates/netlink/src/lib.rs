//! Typed rtnetlink requests: links, addresses, routes, neighbours.

mod error;

pub use error::{NetlinkError, Result};
