//! Texts: places in the Dockerfile, triggers, output.

use std::ops::RangeInclusive;

use barge_dockerfile::ast::{Instruction, Located};
use barge_dockerfile::{ParseError, excerpt};

use super::Source;
use crate::error::{BuildError, Result};
use crate::files::LONGEST_DOCKERFILE;

impl Source {
    /// Reads a Dockerfile.
    pub(crate) fn parse(name: String, text: String) -> Result<Self> {
        if text.len() as u64 > LONGEST_DOCKERFILE {
            let most = LONGEST_DOCKERFILE >> 20;
            return Err(BuildError::Invalid(format!(
                "the Dockerfile ({name}) is larger than {most} MiB"
            )));
        }
        match barge_dockerfile::parse(&name, &text) {
            Ok(parsed) => Ok(Self { name, text, parsed }),
            Err(error) => Err(BuildError::Dockerfile {
                message: error.to_string(),
                excerpt: error.excerpt(&name, &text),
            }),
        }
    }

    /// An error with the place that it is about.
    pub(crate) fn at<T>(&self, line: &Located<T>, error: BuildError) -> BuildError {
        self.at_lines(line.first_line..=line.last_line, error)
    }

    /// The same, by the lines themselves.
    pub(crate) fn at_lines(&self, lines: RangeInclusive<u32>, error: BuildError) -> BuildError {
        if matches!(error, BuildError::At { .. } | BuildError::Cancelled | BuildError::Elsewhere) {
            return error;
        }
        BuildError::At {
            file: self.name.clone(),
            line: *lines.start(),
            excerpt: excerpt::render(&self.name, &self.text, lines),
            source: Box::new(error),
        }
    }
}

/// Reads the instruction of an `ONBUILD`.
pub(crate) fn parse_trigger(text: &str) -> Result<Located<Instruction>> {
    barge_dockerfile::parse_trigger(text).map_err(|error: ParseError| {
        BuildError::Invalid(format!("ONBUILD trigger {text:?} of the base: {error}"))
    })
}

/// Output that comes in pieces, as text: a character that was cut waits for its rest.
#[derive(Debug, Default)]
pub(crate) struct Utf8(Vec<u8>);

impl Utf8 {
    /// The text so far.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let cut = match std::str::from_utf8(&self.0) {
            Ok(_) => self.0.len(),
            // Too short, not wrong.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.whole_end(),
        };
        let rest = self.0.split_off(cut);
        let text = String::from_utf8_lossy(&self.0).into_owned();
        self.0 = rest;
        text
    }

    /// Where the last whole character ends, when there are wrong bytes before.
    fn whole_end(&self) -> usize {
        let length = self.0.len();
        let cuts = (length.saturating_sub(3)..length).rev();
        let is_short = |&cut: &usize| {
            let rest = std::str::from_utf8(&self.0[cut..]);
            rest.is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        };
        cuts.into_iter().find(is_short).unwrap_or(length)
    }

    /// What is left at the end.
    pub(crate) fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_cut() {
        let mut text = Utf8::default();
        assert_eq!(text.push("é".as_bytes().split_at(1).0), "");
        assert_eq!(text.push("é".as_bytes().split_at(1).1), "é");
        assert_eq!(text.push(b"\xffa\xe2\x82"), "\u{fffd}a");
        assert_eq!(text.push(b"\xac"), "€");
        assert_eq!(text.push(b"\xe2"), "");
        assert_eq!(text.rest(), "\u{fffd}");
    }
}
