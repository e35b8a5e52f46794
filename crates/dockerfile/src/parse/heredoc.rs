//! `<<EOF` in a line: which documents follow on it.

use super::flags;
use super::words::{self, Json};
use crate::ast::Heredoc;

/// The documents that a line announces, without their content.
pub(super) fn announced(line: &str, escape: char) -> Vec<Heredoc> {
    let (name, mut rest) = words::first(line);
    let mut name = name.to_ascii_uppercase();
    if name == "ONBUILD" {
        let (inner, after) = words::first(rest);
        name = inner.to_ascii_uppercase();
        rest = after;
    }
    if !matches!(name.as_str(), "ADD" | "COPY" | "RUN") {
        return Vec::new();
    }
    let (_, rest) = flags::split(rest, escape);
    if !matches!(words::json(rest), Json::No) {
        return Vec::new();
    }
    words::quoted(rest, escape).into_iter().filter_map(|word| parse(word, escape)).collect()
}

/// A word as the start of a document.
pub(super) fn parse(word: &str, escape: char) -> Option<Heredoc> {
    let (descriptor, rest) = word.split_once("<<")?;
    if !descriptor.chars().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let descriptor = if descriptor.is_empty() { 0 } else { descriptor.parse().ok()? };
    let (is_chomped, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let name = words::unquote(rest, escape);
    let is_expanded = name == rest;
    (!name.is_empty()).then(|| Heredoc {
        name,
        descriptor,
        is_expanded,
        is_chomped,
        content: String::new(),
    })
}
