//! The Docker Engine REST API, field for field.
