//! The project's own commands, run as `cargo xtask NAME`. `cargo xtask` alone lists them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod bench;
mod build;
mod check;
mod layers;
mod packages;
mod sizes;
mod soak;
mod test;
mod vm_test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  quickstart     build the release programs and run the hello image with them
  build          build the programs (--release, --profile NAME)
  check          fmt, clippy, layers, sizes, docs
  check-layers   only: no crate depends on one above it
  check-sizes    only: no source file is longer than it may be
  test           install what the tests need and run them all (as root)
  bench          measure barge beside docker and podman (--rounds N, --only TEXT, --profile NAME)
  soak           10,000 containers in turn and 200 at once leave nothing (--runs N, --at-once N)
  vm-test        only: the tests that need a kernel with cgroup v2 alone, in a virtual machine
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let outcome = match command {
        "bench" => bench::run(rest),
        "quickstart" => build::quickstart(),
        "build" => build::programs(rest).map(|_| ()),
        "check" => check::run(),
        "check-layers" => layers::run(),
        "check-sizes" => sizes::run(),
        "soak" => soak::run(rest),
        "test" => test::run(rest),
        "vm-test" => vm_test::run(rest),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprint!("xtask: there is no command {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
