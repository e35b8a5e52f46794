//! The `/v1.NN` in front of a path: which API the client speaks, and Docker's words when barge does not.

use std::fmt;

use barge_api_types::{API_VERSION, MIN_API_VERSION};

/// An API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u16,
    minor: u16,
}

/// The newest version spoken; also what a path without a version means.
pub(crate) const NEWEST: ApiVersion = ApiVersion::new(1, 51);
/// The oldest version spoken.
pub(crate) const OLDEST: ApiVersion = ApiVersion::new(1, 24);

/// A version that is not spoken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    /// Newer than ours.
    #[error("client version {0} is too new. Maximum supported API version is {API_VERSION}")]
    TooNew(String),
    /// Older than what is supported.
    #[error(
        "client version {0} is too old. Minimum supported API version is {MIN_API_VERSION}, please upgrade your client to a newer version"
    )]
    TooOld(String),
}

impl ApiVersion {
    pub(crate) const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Parses `1.51`; more parts are ignored as Docker's comparison does for equal ones.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next().map_or(Some(0), |minor| minor.parse().ok())?;
        Some(Self { major, minor })
    }

    /// Checks the version of a path; none is the newest.
    pub(crate) fn negotiate(text: Option<&str>) -> Result<Self, VersionError> {
        let Some(text) = text else { return Ok(NEWEST) };
        // Digits and dots that are no version (`1..2`, or more digits than any version has) compare as very old.
        let version = Self::parse(text).unwrap_or(Self::new(0, 0));
        if version < OLDEST {
            Err(VersionError::TooOld(text.to_owned()))
        } else if version > NEWEST {
            Err(VersionError::TooNew(text.to_owned()))
        } else {
            Ok(version)
        }
    }

    /// Before 1.24 an error's body was plain text.
    pub(crate) fn has_json_errors(text: Option<&str>) -> bool {
        text.is_none_or(|text| Self::parse(text).is_some_and(|version| version >= OLDEST))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// Takes the version off a path: `/v1.51/info` is `(Some("1.51"), "/info")`.
pub(crate) fn split(path: &str) -> (Option<&str>, &str) {
    let whole = (None, path);
    let Some(rest) = path.strip_prefix("/v") else {
        return whole;
    };
    let Some(end) = rest.find('/') else {
        return whole;
    };
    let (version, rest) = rest.split_at(end);
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return whole;
    }
    (Some(version), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_split_from_its_version() {
        assert_eq!(split("/v1.51/info"), (Some("1.51"), "/info"));
        assert_eq!(split("/info"), (None, "/info"));
        assert_eq!(split("/volumes"), (None, "/volumes"));
        assert_eq!(split("/version"), (None, "/version"));
        assert_eq!(split("/v1.51"), (None, "/v1.51"));
        assert_eq!(split("/vx/info"), (None, "/vx/info"));
    }

    #[test]
    fn spoken_versions_are_accepted() {
        assert_eq!(ApiVersion::negotiate(None), Ok(NEWEST));
        assert_eq!(ApiVersion::negotiate(Some("1.24")), Ok(OLDEST));
        assert_eq!(ApiVersion::negotiate(Some("1.51")), Ok(NEWEST));
        assert_eq!(NEWEST.to_string(), API_VERSION);
        assert_eq!(OLDEST.to_string(), MIN_API_VERSION);
    }

    #[test]
    fn others_are_refused_in_dockers_words() {
        let text = |version| ApiVersion::negotiate(Some(version)).unwrap_err().to_string();
        assert_eq!(
            text("1.99"),
            "client version 1.99 is too new. Maximum supported API version is 1.51"
        );
        assert_eq!(
            text("1.10"),
            "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        assert!(text("2").contains("too new"));
        assert!(text("1..2").contains("too old"));
        assert!(text("99999999").contains("too old"));
    }

    #[test]
    fn old_versions_get_plain_text() {
        assert!(ApiVersion::has_json_errors(None));
        assert!(ApiVersion::has_json_errors(Some("1.99")));
        assert!(!ApiVersion::has_json_errors(Some("1.23")));
    }
}
