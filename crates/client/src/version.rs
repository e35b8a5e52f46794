//! Which version of the API the paths name: ours, until a daemon says that it knows only an older
//! one.
//!
//! There is no round trip to find out before the first call. A daemon that is too old refuses it by
//! naming the version it has; the call is then repeated. Only what cannot be repeated (an archive
//! that is sent along) asks beforehand.

use std::sync::atomic::{AtomicU16, Ordering};

/// The newest version that is spoken: 1.51.
const NEWEST: u16 = 51;

/// A version of the API, `1.47`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(u16);

impl ApiVersion {
    /// The newest that this client speaks.
    pub const NEWEST: Self = Self(NEWEST);

    /// `1.` and the number.
    #[must_use]
    pub const fn new(minor: u16) -> Self {
        Self(minor)
    }

    /// Reads `1.47`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().strip_prefix("1.")?.parse().ok().map(Self)
    }

    /// Finds the version in Docker's refusal: `client version 1.51 is too new. Maximum supported API
    /// version is 1.41`.
    pub(crate) fn of_refusal(message: &str) -> Option<Self> {
        let (_, version) = message.split_once("Maximum supported API version is ")?;
        Self::parse(version.trim_end_matches('.'))
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// The version in use, and whether the daemon agreed to it.
#[derive(Debug)]
pub(crate) struct Agreed {
    version: AtomicU16,
    /// 0: not yet known to fit, 1: it does.
    settled: AtomicU16,
}

impl Agreed {
    pub(crate) fn assumed() -> Self {
        Self { version: AtomicU16::new(NEWEST), settled: AtomicU16::new(0) }
    }

    pub(crate) fn fixed(version: ApiVersion) -> Self {
        Self { version: AtomicU16::new(version.0), settled: AtomicU16::new(1) }
    }

    pub(crate) fn get(&self) -> ApiVersion {
        ApiVersion(self.version.load(Ordering::Relaxed))
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn settle(&self, version: ApiVersion) {
        self.version.store(version.0, Ordering::Relaxed);
        self.settled.store(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_version() {
        assert_eq!(
            ApiVersion::of_refusal(
                "client version 1.51 is too new. Maximum supported API version is 1.41"
            ),
            Some(ApiVersion::new(41))
        );
        assert_eq!(ApiVersion::of_refusal("No such image: x"), None);
        assert_eq!(ApiVersion::NEWEST.to_string(), "1.51");
        assert_eq!(ApiVersion::parse("2.0"), None);
    }
}
