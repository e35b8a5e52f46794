//! What is wrong with a Dockerfile, in the words of Docker's parser where clients and people know them.

use std::fmt;

use crate::excerpt;

/// Why a Dockerfile cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What was expected.
    pub message: String,
    /// The first of its lines, from 1; 0 when it is about the whole file.
    pub first_line: u32,
    /// The last of its lines.
    pub last_line: u32,
    /// The text of the first line.
    pub text: String,
    /// What was meant, perhaps.
    pub suggestion: Option<String>,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first_line > 0 {
            write!(f, "dockerfile parse error on line {}: ", self.first_line)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(word) => write!(f, " (did you mean {word}?)"),
            None => Ok(()),
        }
    }
}

impl ParseError {
    /// About the whole file.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            first_line: 0,
            last_line: 0,
            text: String::new(),
            suggestion: None,
        }
    }

    /// The lines around it, for a person to read; empty when it is about the whole file.
    #[must_use]
    pub fn excerpt(&self, name: &str, dockerfile: &str) -> String {
        if self.first_line == 0 {
            return String::new();
        }
        excerpt::render(name, dockerfile, self.first_line..=self.last_line)
    }
}
