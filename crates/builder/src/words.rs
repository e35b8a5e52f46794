//! Words of instructions with their variables replaced.

use barge_dockerfile::expand::{ExpandError, Expander};

use crate::error::{BuildError, Result};

/// Replaces variables as a Dockerfile's escape character has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    escape: char,
}

impl Words {
    pub(crate) fn new(escape: char) -> Self {
        Self { escape }
    }

    /// One text becomes one text.
    pub(crate) fn one(self, text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String> {
        let expanded = Expander::new(self.escape, lookup).word(text);
        expanded.map(|expanded| expanded.value).map_err(|error| wrong(&error))
    }

    /// One text becomes words.
    pub(crate) fn many(
        self,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<String>> {
        let expanded = Expander::new(self.escape, lookup).words(text);
        expanded.map(|expanded| expanded.value).map_err(|error| wrong(&error))
    }

    /// A heredoc's content: quotes mean nothing.
    pub(crate) fn heredoc(
        self,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String> {
        let expander = Expander::new(self.escape, lookup);
        let expanded = expander.quotes(barge_dockerfile::expand::Quotes::Literal).word(text);
        expanded.map(|expanded| expanded.value).map_err(|error| wrong(&error))
    }
}

fn wrong(error: &ExpandError) -> BuildError {
    BuildError::Invalid(error.to_string())
}
