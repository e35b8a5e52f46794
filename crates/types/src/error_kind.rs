//! The class of an error: what a caller can do about it. `api-server` alone knows the HTTP codes.

/// What kind of failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The named object does not exist.
    NotFound,
    /// The request itself is wrong and will fail again.
    InvalidParameter,
    /// The request clashes with the state of the object.
    Conflict,
    /// The object already is in the wanted state.
    NotModified,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// The service cannot answer now; later it may.
    Unavailable,
    /// Barge does not have this.
    NotImplemented,
    /// Something that should work did not.
    System,
    /// The caller went away.
    Cancelled,
    /// A deadline passed; the error names what blocked.
    Deadline,
}
