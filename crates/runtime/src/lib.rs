//! Makes a container of a bundle: namespaces, mounts, capabilities, seccomp, exec.
