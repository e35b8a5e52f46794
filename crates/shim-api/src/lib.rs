//! What the daemon and a shim say to each other.
