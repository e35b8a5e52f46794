//! What happens to a container's output.
