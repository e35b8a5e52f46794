//! The process beside each container: its stdio, its log, its exit status.
//!
//! One thread, one loop around poll(2), no asynchronous runtime: there is one of these per
//! container, and it is to cost less than a megabyte. It outlives the daemon that started it.
//! Nothing that a daemon, a client or the container does may make it wait: each descriptor gets one
//! step at a time.
//!
//! | file | what |
//! |---|---|
//! | `setup` | leaving the starter's session |
//! | `main_loop` | poll, and who gets the outcome |
//! | `listener`, `connection` | daemons |
//! | `requests` | what they ask |
//! | `container`, `process`, `launch` | the container, its processes, how they are made |
//! | `stdio` | pipes, terminals, attached streams, the log |
//! | `exit` | `exit.json` |

mod connection;
mod container;
mod error;
mod exit;
mod launch;
mod listener;
mod main_loop;
mod other;
mod process;
mod requests;
mod setup;
mod stdio;

pub use error::ShimError;

/// Lives the whole life of a shim. The daemon's connection is its stdin, or descriptor 3.
pub fn run() -> Result<(), ShimError> {
    let control = setup::control_connection()?;
    let signals = setup::detach()?;
    main_loop::Shim::new(control, signals)?.run()
}
