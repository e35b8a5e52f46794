//! `--secret` and `--ssh`: read here, so that the daemon never opens a file in our name.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use barge_api_types::BuildSecret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fields::{self, wrong};
use crate::error::{CliError, Result};

/// As large as BuildKit takes one.
const LARGEST: u64 = 500 * 1024;

/// Where a secret comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Variable(String),
}

/// All of `--secret`, read.
pub(super) fn secrets(texts: &[String]) -> Result<BTreeMap<String, BuildSecret>> {
    let mut secrets = BTreeMap::new();
    for text in texts {
        let (id, source) = secret(text, |name| env::var_os(name).is_some())?;
        let bytes = read(&source)?;
        secrets.insert(id, BuildSecret(STANDARD.encode(bytes)));
    }
    Ok(secrets)
}

/// `id=key,src=file` or `id=key,env=NAME`; the id alone names a variable, or a file.
fn secret(text: &str, is_variable: impl Fn(&str) -> bool) -> Result<(String, Source)> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for (key, value) in fields::parse(text)? {
        match key.as_str() {
            "type" if value == "file" || value == "env" => kind = Some(value),
            "type" => return Err(wrong(format!("unsupported secret type {value:?}"))),
            "id" => id = Some(value),
            "source" | "src" => file = Some(value),
            "env" => variable = Some(value),
            _ => return Err(wrong(format!("unexpected key '{key}' in '{key}={value}'"))),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| wrong("secret missing id"))?;
    let source = match (file, variable) {
        (Some(_), Some(_)) => return Err(wrong(format!("secret {id:?} has both src and env"))),
        (None, Some(name)) => Source::Variable(name),
        // With `type=env` a source is a name, too.
        (Some(name), None) if kind.as_deref() == Some("env") => Source::Variable(name),
        (Some(file), None) => Source::File(PathBuf::from(file)),
        (None, None) if kind.as_deref() == Some("env") => Source::Variable(id.clone()),
        (None, None) if kind.is_none() && is_variable(&id) => Source::Variable(id.clone()),
        (None, None) => Source::File(PathBuf::from(&id)),
    };
    Ok((id, source))
}

fn read(source: &Source) -> Result<Vec<u8>> {
    match source {
        Source::Variable(name) => {
            use std::os::unix::ffi::OsStringExt;
            // One that is not set is an empty secret, as in BuildKit.
            Ok(env::var_os(name).map(OsStringExt::into_vec).unwrap_or_default())
        }
        Source::File(path) => {
            let failed = || CliError::file("failed to read the secret: open", path);
            let mut bytes = Vec::new();
            let file = File::open(path).map_err(failed())?;
            file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed())?;
            if bytes.len() as u64 > LARGEST {
                return Err(wrong(format!(
                    "secret file {} is larger than {LARGEST} bytes",
                    path.display()
                )));
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Source) {
        secret(text, |name| name == "SET").unwrap()
    }

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        let file = |path: &str| Source::File(PathBuf::from(path));
        let variable = |name: &str| Source::Variable(name.to_owned());
        for (text, id, source) in [
            ("id=a,src=/x", "a", file("/x")),
            ("type=file,id=a,source=x", "a", file("x")),
            ("id=a,env=B", "a", variable("B")),
            ("type=env,id=a", "a", variable("a")),
            ("type=env,id=a,src=B", "a", variable("B")),
            ("id=SET", "SET", variable("SET")),
            ("id=SET,type=file", "SET", file("SET")),
            ("id=unset", "unset", file("unset")),
        ] {
            assert_eq!(parsed(text), (id.to_owned(), source), "{text}");
        }
    }

    #[test]
    fn wrong_secrets_are_refused_in_words() {
        for (text, message) in [
            ("x", "invalid field 'x' must be a key=value pair"),
            ("src=/x", "secret missing id"),
            ("id=a,type=vault", "unsupported secret type \"vault\""),
            ("id=a,mode=1", "unexpected key 'mode' in 'mode=1'"),
            ("id=a,src=b,env=C", "secret \"a\" has both src and env"),
        ] {
            assert_eq!(secret(text, |_| false).unwrap_err().to_string(), message);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        std::fs::write(&path, vec![b'x'; 500 * 1024 + 1]).unwrap();
        assert!(read(&Source::File(path.clone())).unwrap_err().to_string().contains("larger than"));
        std::fs::write(&path, "secret\n").unwrap();
        let all = secrets(&[format!("id=k,src={}", path.display())]).unwrap();
        assert_eq!(all["k"], BuildSecret(STANDARD.encode("secret\n")));
    }
}
