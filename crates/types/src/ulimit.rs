//! The limits of a process that Docker's `--ulimit` names.

/// The names, without `RLIMIT_` (getrlimit(2)), as Docker's clients and `ulimit` write them.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Whether there is a limit of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}
