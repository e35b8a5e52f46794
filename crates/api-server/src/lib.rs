//! The Docker Engine REST API over the engine: HTTP, and nothing of what the words mean.
//!
//! `connection` serves sockets, `app` finds the handler, `routes/<noun>.rs` turn a request into a call of the
//! engine and its result into an answer. Status codes are `status`'s alone.

mod app;
mod body;
mod call;
mod connection;
mod detach_keys;
mod hijack;
mod listen;
mod query;
mod reply;
mod router;
mod status;
mod stream;
mod takeover;
mod version;

#[cfg(test)]
mod tests;

pub use listen::{Endpoint, ListenError, Listener};
