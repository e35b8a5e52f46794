//! The Docker Engine REST API over the engine.
