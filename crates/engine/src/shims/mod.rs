//! The daemon's side of its shims: one connection each, requests pipelined on it, events coming back.

mod connection;
mod spawn;

pub(crate) use connection::{Answer, Connection, ShimEvent};
pub(crate) use spawn::{Programs, spawn};
