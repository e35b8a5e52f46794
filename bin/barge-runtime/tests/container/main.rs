//! Containers for real: a busybox root file system, Docker's default specification, the program as it is shipped.
//!
//! Needs root. Everything is made in temporary folders and namespaces of the containers, and is gone with them.

#[cfg(test)]
mod errors;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod laboratory;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod reaper;
#[cfg(test)]
mod terminal;
