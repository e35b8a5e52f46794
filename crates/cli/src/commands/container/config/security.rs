//! `--security-opt`: profiles are read here, because they lie on this side of the connection.

use std::collections::BTreeSet;
use std::fs;

use crate::error::{CliError, Result};

/// What the flags ask for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Security {
    pub(super) options: Vec<String>,
    /// Empty lists where nothing of `/proc` and `/sys` is to be hidden or protected; none for the
    /// daemon's own.
    pub(super) masked_paths: Option<Vec<String>>,
    pub(super) readonly_paths: Option<Vec<String>>,
}

/// `--security-opt`
pub(super) fn security(texts: &[String]) -> Result<Security> {
    let mut security = Security::default();
    for text in texts {
        if text == "systempaths=unconfined" {
            security.masked_paths = Some(Vec::new());
            security.readonly_paths = Some(Vec::new());
            continue;
        }
        let pair = text.split_once('=').or_else(|| text.split_once(':'));
        let (name, value) = match pair {
            Some((name, value)) if !value.is_empty() => (name, value),
            // The only one that needs no value.
            Some(("no-new-privileges", value)) => ("no-new-privileges", value),
            None if text == "no-new-privileges" => ("no-new-privileges", ""),
            Some(_) | None => {
                return Err(CliError::Invalid(format!("Invalid --security-opt: {text:?}")));
            }
        };
        security.options.push(match (name, value) {
            ("seccomp", "builtin" | "unconfined") => text.clone(),
            ("seccomp", path) => format!("seccomp={}", profile(path)?),
            _ => text.clone(),
        });
    }
    Ok(security)
}

/// `--cap-add` and `--cap-drop`: `net_admin` as `CAP_NET_ADMIN`; `ALL` is no capability.
pub(super) fn capabilities(texts: &[String]) -> Vec<String> {
    let named = texts.iter().map(|text| {
        let name = text.trim().to_ascii_uppercase();
        if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    });
    // Once is enough.
    let unique: BTreeSet<String> = named.collect();
    unique.into_iter().collect()
}

fn profile(path: &str) -> Result<String> {
    let failed = |what: &str, why: String| {
        CliError::Invalid(format!("{what} seccomp profile ({path}) failed: {why}"))
    };
    let bytes = fs::read(path)
        .map_err(|source| failed("opening", CliError::file("open", path)(source).to_string()))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| failed("compacting json for", error.to_string()))?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_sent_as_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.json");
        fs::write(&path, "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n").unwrap();
        let texts = [format!("seccomp={}", path.display()), "seccomp:unconfined".to_owned()];
        let found = security(&texts).unwrap();
        assert_eq!(
            found.options,
            ["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "seccomp:unconfined"]
        );
        fs::write(&path, "{").unwrap();
        assert!(security(&texts).is_err());
    }

    #[test]
    fn wrong_options_are_refused_in_dockers_words() {
        for (text, message) in [
            ("foo", "Invalid --security-opt: \"foo\""),
            ("label=", "Invalid --security-opt: \"label=\""),
            (
                "seccomp=/nonexist",
                "opening seccomp profile (/nonexist) failed: open /nonexist: no such file or directory",
            ),
        ] {
            assert_eq!(security(&[text.to_owned()]).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn capabilities_have_their_full_names() {
        let texts = ["net_admin", "ALL", "CAP_CHOWN", "NET_ADMIN"].map(str::to_owned);
        assert_eq!(capabilities(&texts), ["ALL", "CAP_CHOWN", "CAP_NET_ADMIN"]);
    }

    #[test]
    fn system_paths_can_be_laid_bare() {
        let texts = ["no-new-privileges", "no-new-privileges:true", "systempaths=unconfined"];
        let found = security(&texts.map(str::to_owned)).unwrap();
        assert_eq!(found.options, ["no-new-privileges", "no-new-privileges:true"]);
        assert_eq!(found.masked_paths, Some(Vec::new()));
    }
}
