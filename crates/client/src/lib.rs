//! Asks a daemon over its REST API.
