//! The process beside each container; see `barge_shim_core`. Started by the daemon, never by hand.

use std::error::Error as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "--version") {
        return say(&mut std::io::stdout(), concat!("barge-shim ", env!("CARGO_PKG_VERSION")));
    }
    match barge_shim_core::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("barge-shim: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(": ");
                text.push_str(&error.to_string());
                cause = error.source();
            }
            say(&mut std::io::stderr(), &text);
            ExitCode::FAILURE
        }
    }
}

fn say(out: &mut dyn std::io::Write, text: &str) -> ExitCode {
    match writeln!(out, "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
