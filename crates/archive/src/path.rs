//! Names of entries, made clean: relative to the root, no `.`, no `..`, no doubled slashes.
//!
//! Cleaning is lexical, as Go's `filepath.Clean` that Docker uses; symbolic links are dealt with when a name is opened.

use crate::error::{ArchiveError, Result};

/// Cleans a name. Leading slashes mean the root; the root itself is the empty name.
///
/// # Errors
/// A name that climbs above the root, or holds a NUL byte.
pub fn clean(name: &[u8]) -> Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    if name.contains(&0) {
        return Err(ArchiveError::entry(name, "a name cannot hold a NUL byte"));
    }
    let absolute = name.first() == Some(&b'/');
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                // "/.." is "/", as for the kernel; "../x" is refused, as Docker does.
                if parts.pop().is_none() && !absolute {
                    return Err(ArchiveError::breakout(name, "the name climbs above the root"));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// Splits a clean name into its folder (empty: the root) and its last part.
pub fn split(clean: &[u8]) -> (&[u8], &[u8]) {
    match clean.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (clean.get(..at).unwrap_or_default(), clean.get(at + 1..).unwrap_or_default()),
        None => (b"", clean),
    }
}

/// Joins a clean folder name and a last part.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    let mut joined = Vec::with_capacity(folder.len() + 1 + name.len());
    joined.extend_from_slice(folder);
    joined.push(b'/');
    joined.extend_from_slice(name);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        for (name, want) in [
            ("./", ""),
            ("/", ""),
            ("./etc//passwd", "etc/passwd"),
            ("/etc/", "etc"),
            ("a/../b", "b"),
            ("/../x", "x"),
        ] {
            assert_eq!(clean(name.as_bytes()).unwrap(), want.as_bytes(), "{name}");
        }
    }

    #[test]
    fn climbing_names_are_refused() {
        for name in ["..", "../x", "a/../../x", "./../x"] {
            let error = clean(name.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("outside"), "{error}");
        }
        assert!(clean(b"a\0b").is_err());
    }

    #[test]
    fn folder_and_last_part() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(join(b"", b"x"), b"x");
        assert_eq!(join(b"a", b"x"), b"a/x");
    }
}
