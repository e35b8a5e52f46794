//! The runtime program: what runs inside a new container until its command does.
//!
//! It is started by the shim with a socket at descriptor 3 (`init`), and by itself as the container's small init
//! (`docker-init`). It has no options and reads no files of the host.

use std::io::Write as _;
use std::process::ExitCode;

use barge_runtime_core::{init, reaper};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == reaper::NAME) {
        return reaper::main(arguments);
    }
    match arguments.next() {
        Some(word) if word == "init" => init::main(),
        Some(word) => refuse(&format!("unknown command {word:?}; the only one is \"init\"")),
        None => refuse("started without a command; it is started by barge-shim"),
    }
}

fn refuse(text: &str) -> ExitCode {
    // With stderr closed there is nobody to tell.
    writeln!(std::io::stderr(), "barge-runtime: {text}").ok();
    ExitCode::FAILURE
}
