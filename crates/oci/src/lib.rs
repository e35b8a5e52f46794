//! The OCI runtime and image specifications as types.
