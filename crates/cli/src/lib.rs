//! The command line: commands, flags, tables, the terminal.
//!
//! Words, help, errors and exit codes are those of Docker's client, with our name in them. Only the
//! command in use is built as a clap command: start-up does not grow with the number of commands.
//! Nothing here knows the engine; what a command needs it asks through `barge-client`.

mod app;
mod commands;
mod config_file;
mod context;
#[cfg(test)]
mod corpus;
mod credentials;
mod daemon;
mod error;
mod filters;
mod flags;
mod format;
mod help;
mod progress;
mod reconnect;
mod root;
mod session;
mod streams;
mod terminal;

pub use app::main;

/// The program's name, in every text that names it.
const PROGRAM: &str = "barge";
