//! Platforms: `os[/architecture[/variant]]`, normalised as the OCI image specification's names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is an invalid platform: expected os/architecture[/variant], as in linux/amd64")]
pub struct PlatformError {
    text: String,
}

/// An operating system, an architecture and perhaps a variant of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// The platform of this machine.
    #[must_use]
    pub fn host() -> Self {
        Self { os: "linux".into(), architecture: host_architecture().into(), variant: None }
    }

    /// The operating system, `linux` for all that barge runs.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture by Go's names.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant, as `v8` of arm64.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }
}

fn host_architecture() -> &'static str {
    canonical_architecture(std::env::consts::ARCH)
}

/// Other names of an architecture → Go's name; a name that is not in the table stays as it is.
fn canonical_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "armhf" | "armel" => "arm",
        "powerpc64le" => "ppc64le",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError { text: text.to_owned() };
        let part_is_valid = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        if parts.len() > 3 || !parts.iter().all(|part| part_is_valid(part)) {
            return Err(wrong());
        }
        let (os, architecture) = match parts.as_slice() {
            [only] if is_known_architecture(canonical_architecture(only)) => ("linux", *only),
            [os] => (*os, host_architecture()),
            [os, architecture, ..] => (*os, *architecture),
            [] => return Err(wrong()),
        };
        Ok(Self {
            os: os.to_owned(),
            architecture: canonical_architecture(architecture).to_owned(),
            variant: parts.get(2).map(|&variant| variant.to_owned()),
        })
    }
}

fn is_known_architecture(name: &str) -> bool {
    ["amd64", "arm64", "386", "arm", "ppc64le", "s390x", "riscv64", "loong64", "mips64le"]
        .contains(&name)
}

impl TryFrom<String> for Platform {
    type Error = PlatformError;

    fn try_from(text: String) -> Result<Self, PlatformError> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (text, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("Linux/AMD64", "linux/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), normal);
        }
        assert_eq!("linux".parse::<Platform>().unwrap(), Platform::host());
    }

    #[test]
    fn a_wrong_platform_is_named() {
        for text in ["", "linux/", "a/b/c/d", "li nux/amd64"] {
            assert!(text.parse::<Platform>().unwrap_err().to_string().contains(text));
        }
    }
}
