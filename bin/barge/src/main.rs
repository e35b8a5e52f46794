//! `barge`, the command line client; everything is in `barge-cli-core`.

use std::process::ExitCode;

fn main() -> ExitCode {
    barge_cli_core::main(std::env::args_os().skip(1))
}
