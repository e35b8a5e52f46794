//! Names of containers, as Docker allows them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is no name for a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
pub struct NameError {
    text: String,
}

/// A container's name, without the leading slash that the API shows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// The name without a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Two characters at least: the first a letter or digit, the others also `_`, `.` or `-`.
fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() >= 2
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

impl FromStr for ContainerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if is_valid(name) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for ContainerName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

impl AsRef<str> for ContainerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_names_are_names() {
        for name in ["web", "a1", "A_b.c-d", "/web", "1web"] {
            assert!(name.parse::<ContainerName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_bad_name_is_named_in_the_error() {
        for name in ["", "a", "-web", "we b", "we/b", "//web", "wéb", "_web"] {
            let error = name.parse::<ContainerName>().unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
                )
            );
        }
    }
}
