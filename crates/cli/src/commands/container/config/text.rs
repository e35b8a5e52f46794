//! Names and values: environment, labels, sysctls, and the files that hold them.

use std::collections::BTreeMap;
use std::env;
use std::fs;

use crate::error::{CliError, Result};

/// A value that Docker's client refuses while reading flags.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub(in crate::commands) struct Refused(pub(in crate::commands) String);

/// What a name alone means in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BareName {
    /// The value of our own environment; nothing when it is not set there.
    FromEnvironment,
    /// The name with an empty value.
    Kept,
}

/// `--attach`
pub(super) fn standard_stream(text: &str) -> std::result::Result<String, Refused> {
    let stream = text.to_ascii_lowercase();
    match stream.as_str() {
        "stdin" | "stdout" | "stderr" => Ok(stream),
        _ => Err(Refused("valid streams are STDIN, STDOUT and STDERR".to_owned())),
    }
}

/// `--env`: `NAME=value`, or `NAME` for the value of our own environment.
pub(in crate::commands) fn variable(text: &str) -> std::result::Result<String, Refused> {
    match text.split_once('=') {
        Some(("", _)) => Err(Refused(format!("invalid environment variable: {text}"))),
        None if text.is_empty() => Err(Refused("invalid environment variable: ".to_owned())),
        Some(_) => Ok(text.to_owned()),
        // A name that we do not have either is sent alone: it unsets the image's.
        None => Ok(match env::var(text) {
            Ok(value) => format!("{text}={value}"),
            Err(_) => text.to_owned(),
        }),
    }
}

/// `--label`
pub(in crate::commands) fn label(text: &str) -> std::result::Result<String, Refused> {
    if text.split('=').next().is_none_or(str::is_empty) {
        return Err(Refused(format!("invalid label '{text}': empty name")));
    }
    Ok(text.to_owned())
}

/// `--sysctl`: only those that belong to a namespace.
pub(super) fn sysctl(text: &str) -> std::result::Result<String, Refused> {
    const NAMES: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let name = text.split_once('=').map(|(name, _)| name);
    let is_known = |name: &str| {
        NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.")
    };
    if name.is_some_and(is_known) {
        Ok(text.to_owned())
    } else {
        Err(Refused(format!("sysctl '{text}' is not allowed")))
    }
}

/// `a=1` → `("a", "1")`, `a` → `("a", "")`.
pub(in crate::commands) fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    texts
        .iter()
        .map(|text| text.split_once('=').unwrap_or((text, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The lines of files, then what the flags say.
pub(in crate::commands) fn environment(files: &[String], flags: &[String]) -> Result<Vec<String>> {
    from_files(files, flags, BareName::FromEnvironment)
}

/// The same for labels.
pub(super) fn labels(files: &[String], flags: &[String]) -> Result<BTreeMap<String, String>> {
    Ok(pairs(&from_files(files, flags, BareName::Kept)?))
}

fn from_files(files: &[String], flags: &[String], bare: BareName) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in files {
        let bytes = fs::read(file).map_err(CliError::file("open", file))?;
        lines.extend(parse_file(&bytes, bare).map_err(|Refused(what)| {
            CliError::Invalid(format!("invalid env file ({file}): {what}"))
        })?);
    }
    lines.extend_from_slice(flags);
    Ok(lines)
}

/// Lines of `NAME=value`; empty ones and `# …` do not count.
fn parse_file(bytes: &[u8], bare: BareName) -> std::result::Result<Vec<String>, Refused> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = Vec::new();
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line)
            .map_err(|_| Refused(format!("invalid utf8 bytes at line {}: {line:?}", number + 1)))?;
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        if name.is_empty() {
            return Err(Refused(format!("no variable name on line '{line}'")));
        }
        if name.contains(char::is_whitespace) {
            return Err(Refused(format!("variable '{name}' contains whitespaces")));
        }
        match (value, bare) {
            (Some(_), _) | (None, BareName::Kept) => lines.push(line.to_owned()),
            (None, BareName::FromEnvironment) => {
                lines.extend(env::var(name).map(|value| format!("{name}={value}")));
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_variable_a_line() {
        let text = b"\xef\xbb\xbfA=1\n# no\n\n  B=x y=z\nPATH\nNOT_SET_ANYWHERE\r\nC=\r\n";
        let lines = parse_file(text, BareName::FromEnvironment).unwrap();
        assert_eq!(lines[..2], ["A=1", "B=x y=z"]);
        assert!(lines[2].starts_with("PATH=/"), "{lines:?}");
        assert_eq!(lines[3..], ["C="]);
        assert_eq!(parse_file(b"a\nb=1", BareName::Kept).unwrap(), ["a", "b=1"]);
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, message) in [
            (&b"a b=1"[..], "variable 'a b' contains whitespaces"),
            (b"=x", "no variable name on line '=x'"),
            (b"A=1\nB=\xff", "invalid utf8 bytes at line 2: [66, 61, 255]"),
        ] {
            let error = parse_file(text, BareName::Kept).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let error = environment(&["/nonexist".to_owned()], &[]).unwrap_err();
        assert_eq!(error.to_string(), "open /nonexist: no such file or directory");
    }

    #[test]
    fn variables_labels_and_sysctls_are_checked_in_dockers_words() {
        let text = |result: std::result::Result<String, Refused>| match result {
            Ok(text) | Err(Refused(text)) => text,
        };
        assert_eq!(text(variable("=x")), "invalid environment variable: =x");
        assert_eq!(text(variable("A=b=c")), "A=b=c");
        assert_eq!(text(variable("NOT_SET_ANYWHERE")), "NOT_SET_ANYWHERE");
        assert!(text(variable("PATH")).starts_with("PATH=/"));
        assert_eq!(text(label("=x")), "invalid label '=x': empty name");
        assert_eq!(text(sysctl("x")), "sysctl 'x' is not allowed");
        assert_eq!(text(sysctl("net.ipv4.ip_forward=1")), "net.ipv4.ip_forward=1");
        assert_eq!(text(standard_stream("STDIN")), "stdin");
        assert_eq!(text(standard_stream("foo")), "valid streams are STDIN, STDOUT and STDERR");
    }
}
