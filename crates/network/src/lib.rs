//! The Container Network Model: networks, endpoints, sandboxes and their drivers.
