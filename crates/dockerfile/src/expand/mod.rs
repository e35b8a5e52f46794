//! Variables in the words of instructions: `$v`, `${v}` and what a shell can do with them.
//!
//! It looks up nothing itself and cannot be made to work long: nesting, the length of what comes out and the work of
//! patterns are limited.

mod machine;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use machine::Machine;

/// How deep `${a:-${b:-…}}` goes.
const DEEPEST: u32 = 32;
/// How much longer than the text what comes out of it may be. A single variable of more than 128 KiB cannot be given to a
/// process (`MAX_ARG_STRLEN`).
const MOST_ADDED: usize = 1 << 20;

/// A text in which variables cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to process {text:?}: {reason}")]
pub struct ExpandError {
    /// The text, its beginning if it is long.
    pub text: String,
    /// Why not, in BuildKit's words.
    pub reason: String,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded<T> {
    /// The text or the words.
    pub value: T,
    /// Variables that were asked for and have a value.
    pub used: BTreeSet<String>,
    /// Those that have none, where nothing stands for them (`${v:-…}` does).
    pub unset: BTreeSet<String>,
}

/// What becomes of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// They group and are removed, as are escapes: words of instructions.
    Remove,
    /// They group and stay, as do escapes: text that is shown.
    Keep,
    /// They mean nothing: heredocs.
    Literal,
}

/// What becomes of variables without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// They vanish.
    Remove,
    /// They stay as they are written: text that is shown.
    Keep,
}

/// How variables are expanded.
#[derive(Clone, Copy)]
pub struct Expander<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    escape: char,
    quotes: Quotes,
    unset: Unset,
}

impl fmt::Debug for Expander<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander").field("quotes", &self.quotes).finish_non_exhaustive()
    }
}

impl<'a> Expander<'a> {
    /// For words of instructions; `escape` as the directive says.
    #[must_use]
    pub fn new(escape: char, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, escape, quotes: Quotes::Remove, unset: Unset::Remove }
    }

    /// The same with quotes treated otherwise.
    #[must_use]
    pub fn quotes(self, quotes: Quotes) -> Self {
        Self { quotes, ..self }
    }

    /// The same with missing variables treated otherwise.
    #[must_use]
    pub fn unset(self, unset: Unset) -> Self {
        Self { unset, ..self }
    }

    /// One text becomes one text.
    pub fn word(&self, text: &str) -> Result<Expanded<String>, ExpandError> {
        let mut machine = Machine::new(self, text);
        let output = machine.run().map_err(|reason| error(text, reason))?;
        Ok(Expanded { value: output.text, used: machine.used, unset: machine.missing })
    }

    /// One text becomes words, parted by white space that is not quoted; values of variables that are not quoted are parted
    /// too (`EXPOSE $PORTS`).
    pub fn words(&self, text: &str) -> Result<Expanded<Vec<String>>, ExpandError> {
        let mut machine = Machine::new(self, text);
        let output = machine.run().map_err(|reason| error(text, reason))?;
        Ok(Expanded { value: output.into_words(), used: machine.used, unset: machine.missing })
    }
}

fn error(text: &str, reason: String) -> ExpandError {
    ExpandError { text: text.chars().take(200).collect(), reason }
}
