//! `ENV`, `LABEL` and `ARG`: names with values.

use super::{Checked, Problem, words};
use crate::ast::ArgWord;

/// `NAME=value …`, or the old `NAME value`; values keep their quotes, which go when they are expanded.
pub(super) fn pairs(instruction: &str, rest: &str, escape: char) -> Checked<Vec<(String, String)>> {
    let words = words::lenient(rest, escape);
    let Some(start) = words.first() else {
        return Err(Problem::new(format!("{instruction} requires at least one argument")));
    };
    if is_legacy(start) {
        let (name, value) = words::first(rest);
        if value.is_empty() {
            return Err(Problem::new(format!("{instruction} must have two arguments")));
        }
        return Ok(vec![(name.to_owned(), value.to_owned())]);
    }
    let mut pairs = Vec::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            return Err(Problem::new(format!(
                "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
            )));
        };
        if name.is_empty() {
            return Err(Problem::new(format!("{instruction} names can not be blank")));
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// Whether the first word of pairs says that they are one in the old form.
pub(crate) fn is_legacy(first: &str) -> bool {
    !first.contains('=')
}

pub(super) fn args(rest: &str, escape: char) -> Checked<Vec<ArgWord>> {
    let words = words::lenient(rest, escape);
    if words.is_empty() {
        return Err(Problem::new("ARG requires at least one argument"));
    }
    let mut args = Vec::new();
    for word in words {
        let (name, default) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        if name.is_empty() {
            return Err(Problem::new("ARG names can not be blank"));
        }
        args.push(ArgWord { name: name.to_owned(), default });
    }
    Ok(args)
}
