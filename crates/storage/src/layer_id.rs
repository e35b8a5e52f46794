//! The name of a layer in a driver: what it is called on disk.

use std::fmt;
use std::str::FromStr;

use crate::error::StorageError;

const INIT: &str = "-init";

/// 64 lower case hexadecimal digits, followed by `-init` for the layer of mount points between image and container.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(String);

impl LayerId {
    /// An id from 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a string does not fail.
            write!(text, "{byte:02x}").ok();
        }
        Self(text)
    }

    /// A new id, from the kernel's random numbers.
    pub fn random() -> Result<Self, StorageError> {
        Ok(Self::from_bytes(random()?))
    }

    /// The id of the layer of mount points that stands on this one.
    pub fn init(&self) -> Self {
        if self.is_init() { self.clone() } else { Self(format!("{}{INIT}", self.0)) }
    }

    /// Whether this is a layer of mount points.
    pub fn is_init(&self) -> bool {
        self.0.ends_with(INIT)
    }

    /// For `x-init`, `x`.
    pub fn without_init(&self) -> Option<Self> {
        self.0.strip_suffix(INIT).map(|id| Self(id.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Random bytes from the kernel.
pub(crate) fn random() -> Result<[u8; 32], StorageError> {
    let mut bytes = [0; 32];
    // Never short for up to 256 bytes (getrandom(2)).
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(StorageError::io("read random bytes for", std::path::Path::new("a layer")))?;
    Ok(bytes)
}

impl FromStr for LayerId {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        let hex = text.strip_suffix(INIT).unwrap_or(text);
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(is_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(StorageError::InvalidLayerId(text.to_owned()))
        }
    }
}

impl From<&barge_types::ContainerId> for LayerId {
    /// The writable layer of a container is named as the container: both are 64 hexadecimal digits.
    fn from(id: &barge_types::ContainerId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl TryFrom<String> for LayerId {
    type Error = StorageError;

    fn try_from(text: String) -> Result<Self, StorageError> {
        text.parse()
    }
}

impl From<LayerId> for String {
    fn from(id: LayerId) -> Self {
        id.0
    }
}

impl AsRef<str> for LayerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LayerId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_with_or_without_init() {
        let id = LayerId::from_bytes([0xab; 32]);
        assert_eq!(id.as_str().parse::<LayerId>().unwrap(), id);
        assert_eq!(id.init().as_str().parse::<LayerId>().unwrap(), id.init());
        assert_eq!(id.init().without_init(), Some(id.clone()));
        assert_eq!(id.without_init(), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "..", "l", &"A".repeat(64), &"a".repeat(63), &format!("{}-x", "a".repeat(64))]
        {
            assert!(text.parse::<LayerId>().is_err(), "{text}");
        }
    }
}
