//! Names of volumes, as Docker allows them: they are names of folders, so nothing here can lead out
//! of one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::VolumeError;

/// The longest name of a folder.
const LONGEST: usize = 255;

/// A volume's name: two characters at least, the first a letter or digit, the others also `_`, `.`
/// or `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, VolumeError> {
        if text.len() == 1 {
            return Err(VolumeError::NameTooShort(text.to_owned()));
        }
        let is_inner =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let first = text.bytes().next();
        let is_right = first.is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text.bytes().all(is_inner)
            && text.len() <= LONGEST;
        if is_right {
            Ok(Self(text.to_owned()))
        } else {
            Err(VolumeError::NameCharacters(text.to_owned()))
        }
    }
}

impl TryFrom<String> for VolumeName {
    type Error = VolumeError;

    fn try_from(text: String) -> Result<Self, VolumeError> {
        text.parse()
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}

impl AsRef<str> for VolumeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_are_names() {
        for name in ["ab", "a1_b.c-d", "0x", &"a".repeat(64)] {
            assert_eq!(name.parse::<VolumeName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_are_refused_in_dockers_words() {
        assert_eq!(
            "a".parse::<VolumeName>().unwrap_err().to_string(),
            "create a: volume name is too short, names should be at least two alphanumeric characters"
        );
        assert_eq!(
            "a/b".parse::<VolumeName>().unwrap_err().to_string(),
            "create a/b: \"a/b\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        );
        for name in ["", "..", "../x", ".hidden", "-x", "_x", "a b", "a\0b", "é1", &"a".repeat(256)]
        {
            assert!(name.parse::<VolumeName>().is_err(), "{name:?}");
        }
    }
}
