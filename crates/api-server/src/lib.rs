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
mod request_body;
mod request_line;
mod router;
mod routes;
mod status;
mod stream;
mod takeover;
mod version;
mod websocket;

#[cfg(test)]
mod tests;

pub use listen::{Endpoint, ListenError, Listener};

use std::sync::Arc;
use std::time::Duration;

use barge_engine::Engine;

/// Serves the API of `engine` on `listeners` until `stop` says how long requests under way may still take.
pub async fn serve(engine: Engine, listeners: Vec<Listener>, stop: impl Future<Output = Duration>) {
    let app = Arc::new(app::App::new(engine, routes::router()));
    connection::serve(app, listeners, stop).await;
}
