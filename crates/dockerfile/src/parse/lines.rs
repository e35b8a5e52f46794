//! Lines of a file become lines of the language: comments out, continued ones joined, heredocs after them.
//!
//! As in BuildKit, an escape character at the end continues a line unless another one stands before it, and comments and
//! empty lines within a continued line are passed over.

use std::iter::Peekable;
use std::str::SplitInclusive;

use super::{directives, heredoc};
use crate::ast::{Directives, Heredoc, Located};
use crate::error::ParseError;

/// The longest line of a file, as in Docker.
const LONGEST: usize = 65_535;
/// The largest file.
const LARGEST: usize = 16 << 20;

/// A file in lines of the language.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) directives: Directives,
    pub(crate) lines: Vec<Line>,
}

/// One instruction's text.
#[derive(Debug)]
pub(crate) struct Line {
    /// Joined.
    pub(crate) text: String,
    /// As it stands, heredocs too.
    pub(crate) raw: String,
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) heredocs: Vec<Heredoc>,
    /// The text of comments right before it.
    pub(crate) comments: Vec<String>,
    /// Whether an empty line stands within.
    pub(crate) has_empty: bool,
}

impl Line {
    pub(crate) fn locate<T>(&self, value: T) -> Located<T> {
        Located {
            value,
            first_line: self.first,
            last_line: self.last,
            text: self.text.trim_end().to_owned(),
        }
    }
}

/// Physical lines with their numbers.
struct Reader<'t> {
    lines: Peekable<SplitInclusive<'t, char>>,
    /// The number of the last line that was read.
    number: u32,
}

impl<'t> Reader<'t> {
    /// The next line with what ends it.
    fn next(&mut self) -> Result<Option<&'t str>, ParseError> {
        let Some(line) = self.lines.next() else {
            return Ok(None);
        };
        self.number = self.number.saturating_add(1);
        if line.len() > LONGEST {
            let message = format!("dockerfile line greater than maximum allowed size of {LONGEST}");
            return Err(self.error(message, self.number, line));
        }
        Ok(Some(line))
    }

    fn error(&self, message: String, first: u32, line: &str) -> ParseError {
        let text = line.chars().take(200).collect::<String>().trim_end().to_owned();
        ParseError { message, first_line: first, last_line: self.number, text, suggestion: None }
    }
}

impl Lines {
    pub(crate) fn read(text: &str) -> Result<Self, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > LARGEST {
            let message = format!("the Dockerfile is larger than {} MiB", LARGEST >> 20);
            return Err(ParseError::whole(message));
        }
        let (directives, skipped) = directives::read(text)?;
        let mut reader = Reader { lines: text.split_inclusive('\n').peekable(), number: 0 };
        let mut lines = Vec::new();
        let mut comments = Vec::new();
        while let Some(line) = reader.next()? {
            // `// syntax=…` is a comment where directives stand only.
            let is_directive = reader.number <= skipped;
            match comment(line) {
                _ if is_directive => {}
                Some(text) => comments.push(text.to_owned()),
                None => {
                    let before = std::mem::take(&mut comments);
                    lines.extend(
                        joined(&mut reader, line, directives.escape)?
                            .map(|line| Line { comments: before, ..line }),
                    );
                }
            }
        }
        Ok(Self { directives, lines })
    }
}

/// An instruction that begins on a line; nothing when the line is blank.
fn joined(reader: &mut Reader<'_>, start: &str, escape: char) -> Result<Option<Line>, ParseError> {
    let first = reader.number;
    let (text, mut goes_on) = without_escape(start.trim_start(), escape);
    if !goes_on && text.trim().is_empty() {
        return Ok(None);
    }
    let mut line = Line {
        text: text.to_owned(),
        raw: start.to_owned(),
        first,
        last: first,
        heredocs: Vec::new(),
        comments: Vec::new(),
        has_empty: false,
    };
    while goes_on {
        let Some(next) = reader.next()? else {
            break;
        };
        line.raw.push_str(next);
        if comment(next).is_some() {
            continue;
        }
        if next.trim().is_empty() {
            line.has_empty = true;
            continue;
        }
        let (text, more) = without_escape(next, escape);
        line.text.push_str(text);
        goes_on = more;
    }
    line.last = reader.number;
    if line.text.trim().is_empty() {
        return Ok(None);
    }
    for mut document in heredoc::announced(&line.text, escape) {
        read_heredoc(reader, &mut document, &mut line)?;
        line.heredocs.push(document);
    }
    line.last = reader.number;
    Ok(Some(line))
}

fn read_heredoc(
    reader: &mut Reader<'_>,
    document: &mut Heredoc,
    line: &mut Line,
) -> Result<(), ParseError> {
    loop {
        let Some(next) = reader.next()? else {
            let message = format!("unterminated heredoc: no line that is {:?}", document.name);
            return Err(reader.error(message, line.first, &line.text));
        };
        line.raw.push_str(next);
        let content = if document.is_chomped { next.trim_start_matches('\t') } else { next };
        if content.trim_end_matches(['\r', '\n']) == document.name {
            return Ok(());
        }
        document.content.push_str(content);
    }
}

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('#').map(str::trim)
}

/// A line without what ends it, and whether it goes on.
fn without_escape(line: &str, escape: char) -> (&str, bool) {
    let line = line.trim_end_matches(['\r', '\n']);
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape);
    match before {
        Some(before) if !before.ends_with(escape) => (before, true),
        Some(_) | None => (line, false),
    }
}
