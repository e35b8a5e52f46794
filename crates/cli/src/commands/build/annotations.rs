//! `--annotation`: `[type[,type]][[platform]]:key=value`, as buildx has it.
//!
//! Annotations go to the manifest of an image; what says so is taken off the key, and what asks for
//! another place is refused. A colon without a type before it belongs to the key.

use std::collections::BTreeMap;

use barge_types::Platform;

use super::fields::wrong;
use crate::error::Result;

/// Where buildx puts annotations.
const TYPES: [&str; 4] = ["manifest", "index", "manifest-descriptor", "index-descriptor"];

/// All of them; `platforms` are those that are built for, none is the daemon's own.
pub(super) fn parse(texts: &[String], platforms: &[String]) -> Result<BTreeMap<String, String>> {
    texts.iter().map(|text| annotation(text, platforms)).collect()
}

fn annotation(text: &str, platforms: &[String]) -> Result<(String, String)> {
    let invalid = || wrong(format!("invalid annotation {text:?}, expected key=value"));
    let (key, value) = text.split_once('=').ok_or_else(invalid)?;
    let key = match key.split_once(':') {
        Some((places, key)) if places.split(',').any(|place| TYPES.contains(&split(place).0)) => {
            for place in places.split(',') {
                check(place, platforms).map_err(|reason| {
                    wrong(format!("--annotation {text}: {place} is not supported: {reason}"))
                })?;
            }
            key
        }
        Some(_) | None => key,
    };
    if key.is_empty() {
        return Err(invalid());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A type, and the platform in brackets behind it.
fn split(place: &str) -> (&str, Option<&str>) {
    match place.strip_suffix(']').and_then(|place| place.split_once('[')) {
        Some((kind, platform)) => (kind, Some(platform)),
        None => (place, None),
    }
}

/// Whether the manifest of each platform is meant; the reason if not.
fn check(place: &str, platforms: &[String]) -> std::result::Result<(), String> {
    let (kind, platform) = split(place);
    if kind != "manifest" {
        return Err("annotations are those of a manifest".to_owned());
    }
    let Some(platform) = platform else {
        return Ok(());
    };
    let platform: Platform = platform.parse().map_err(|error| format!("{error}"))?;
    let is_built = match platforms {
        [] => platform == Platform::host(),
        [only] => *only == platform.to_string(),
        _ => false,
    };
    if is_built { Ok(()) } else { Err("it is not the only platform built".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, platforms: &[&str]) -> std::result::Result<String, String> {
        let platforms: Vec<String> = platforms.iter().map(|&text| text.to_owned()).collect();
        let parsed = annotation(text, &platforms).map_err(|error| error.to_string());
        parsed.map(|(key, value)| format!("{key}={value}"))
    }

    #[test]
    fn a_type_is_no_part_of_the_key() {
        for text in ["a=b", "manifest:a=b", "manifest,manifest:a=b", "manifest[linux/amd64]:a=b"] {
            assert_eq!(key(text, &["linux/amd64"]).as_deref(), Ok("a=b"), "{text}");
        }
        let own = format!("manifest[{}]:a=b=c", Platform::host());
        assert_eq!(key(&own, &[]).as_deref(), Ok("a=b=c"));
        assert_eq!(key("org.foo:x=y", &[]).as_deref(), Ok("org.foo:x=y"));
        assert_eq!(key("manifest:org.foo:x=y", &[]).as_deref(), Ok("org.foo:x=y"));
    }

    #[test]
    fn other_places_than_the_manifest_are_refused_by_their_name() {
        for (text, place) in [
            ("index:a=b", "index"),
            ("manifest,index:a=b", "index"),
            ("manifest-descriptor:a=b", "manifest-descriptor"),
            ("index-descriptor[linux/amd64]:a=b", "index-descriptor[linux/amd64]"),
            ("manifest,other:a=b", "other"),
        ] {
            let error = key(text, &["linux/amd64"]).unwrap_err();
            let wanted = format!("--annotation {text}: {place} is not supported: ");
            assert!(error.starts_with(&wanted), "{error}");
        }
        for platforms in [&["linux/arm64"][..], &["linux/amd64", "linux/arm64"]] {
            let error = key("manifest[linux/amd64]:a=b", platforms).unwrap_err();
            assert!(error.ends_with("it is not the only platform built"), "{error}");
        }
        for text in ["x", "=y", "manifest:=y"] {
            assert!(key(text, &[]).unwrap_err().starts_with("invalid annotation"), "{text}");
        }
    }
}
