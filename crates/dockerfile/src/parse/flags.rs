//! `--name=value` between an instruction and its arguments.

use barge_types::parse_bool;

use super::{Checked, Problem};
use crate::suggest::suggest;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value.
    Text,
    /// A value each time.
    List,
    /// Nothing, `true` or `false`.
    Switch,
}

/// Flags that were given.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<(String, String)>,
}

impl Flags {
    /// Checks words that begin with `--` against what an instruction knows.
    pub(super) fn parse(words: &[String], known: &[(&str, Kind)]) -> Checked<Self> {
        let mut flags = Self::default();
        for word in words {
            let word = word.trim_start_matches("--");
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let Some((_, kind)) = known.iter().find(|(known, _)| *known == name) else {
                let near = suggest(name, known.iter().map(|(known, _)| *known));
                let near = near.map(|near| format!("--{near}"));
                return Err(Problem::mistyped(format!("unknown flag: --{name}"), near));
            };
            if *kind != Kind::List && flags.given.iter().any(|(given, _)| given == name) {
                return Err(Problem::new(format!("duplicate flag specified: --{name}")));
            }
            let value = match (kind, value) {
                (Kind::Switch, None) => "true",
                (Kind::Switch, Some(value)) if parse_bool(value).is_none() => {
                    return Err(Problem::new(format!(
                        "expecting boolean value for flag --{name}, not: {value}"
                    )));
                }
                (_, Some(value)) => value,
                (_, None) => {
                    return Err(Problem::new(format!("missing a value on flag: --{name}")));
                }
            };
            flags.given.push((name.to_owned(), value.to_owned()));
        }
        Ok(flags)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let given = self.given.iter().filter(|(given, _)| given == name);
        given.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(|value| parse_bool(&value))
    }

    /// Those that were given, for errors about flags where none may be.
    pub(super) fn none(words: &[String]) -> Checked<()> {
        Self::parse(words, &[]).map(|_| ())
    }
}

/// Parts flags from the rest; quotes and escapes are taken off them.
pub(crate) fn split(text: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (flag, after) = one(rest, escape);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    (flags, rest)
}

/// The first word without quotes and escapes, and what comes after it.
fn one(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if quote.is_none() && letter.is_whitespace() {
            return (word, &text[at..]);
        }
        if letter == escape {
            word.extend(letters.next().map(|(_, letter)| letter));
        } else if quote == Some(letter) {
            quote = None;
        } else if quote.is_none() && matches!(letter, '\'' | '"') {
            quote = Some(letter);
        } else {
            word.push(letter);
        }
    }
    (word, "")
}
