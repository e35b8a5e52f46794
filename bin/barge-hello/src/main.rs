//! What the hello image runs: says what it sees.

fn main() {}
