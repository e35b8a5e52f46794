//! The daemon.

mod config_file;
mod flags;
mod group;
mod logging;
mod pidfile;
mod settings;
mod ulimit;

fn main() {}
