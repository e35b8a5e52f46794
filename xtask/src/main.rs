//! The project's own commands: build, check, test, bench.

fn main() {}
