//! The words every crate shares: ids, digests, references, signals, sizes, ports.
