//! Object ids: 64 lower-case hexadecimal digits, shown to people by their first twelve.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::to_hex;
use crate::{Digest, DigestError};

/// The text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {text:?}: expected 64 hexadecimal digits")]
pub struct IdError {
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id of 32 random bytes.
            ///
            /// An id whose first twelve digits are all decimal would be taken for a number by some clients when it
            /// is shown short, so the caller draws again until [`Self::is_number_like`] is false.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(to_hex(&bytes))
            }

            /// Whether the short form consists of decimal digits only.
            #[must_use]
            pub fn is_number_like(&self) -> bool {
                self.short().bytes().all(|digit| digit.is_ascii_digit())
            }

            /// All 64 digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first twelve digits.
            #[must_use]
            pub fn short(&self) -> &str {
                &self.0[..12]
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Digest::from_hex(text)
                    .map(|digest| Self(digest.hex()))
                    .map_err(|_| IdError { text: text.to_owned() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.short())
            }
        }
    };
}

id! {
    /// Names a container for as long as it exists.
    ContainerId
}
id! {
    /// Names a process that was started in a running container.
    ExecId
}
id! {
    /// Names a network.
    NetworkId
}

/// Names an image: the digest of its configuration's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(Digest);

impl ImageId {
    /// The id of the image whose configuration has this digest.
    #[must_use]
    pub const fn new(config: Digest) -> Self {
        Self(config)
    }

    /// The digest of the configuration.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// The first twelve digits, without the algorithm.
    #[must_use]
    pub fn short(&self) -> String {
        let mut hex = self.0.hex();
        hex.truncate(12);
        hex
    }
}

impl FromStr for ImageId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_64_digits_and_short_is_twelve() {
        let id = ContainerId::from_bytes([0xab; 32]);
        assert_eq!(id.as_str().len(), 64);
        assert_eq!(id.short(), "abababababab");
        assert!(!id.is_number_like());
        assert!(ContainerId::from_bytes([0x12; 32]).is_number_like());
    }

    #[test]
    fn other_text_is_no_id() {
        assert!("abc".parse::<ContainerId>().is_err());
        assert!("../../../etc/passwd".parse::<ContainerId>().is_err());
    }
}
