//! Volumes and their drivers.
