//! `.dockerignore`: which files of a context a build does not see.
//!
//! The last pattern that matches a path, or a folder that it is in, decides; one with `!` takes back.

use thiserror::Error;

use crate::glob::{Glob, PatternError};

/// An ignore file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IgnoreError {
    /// A `!` with nothing after it.
    #[error("illegal exclusion pattern: \"!\" on line {line}")]
    Nothing {
        /// From 1.
        line: usize,
    },
    /// A pattern is none.
    #[error("cannot read line {line} of the ignore file")]
    Pattern {
        /// From 1.
        line: usize,
        /// Why.
        source: PatternError,
    },
}

/// The patterns of an ignore file, or of `--exclude`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    glob: Glob,
    effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Ignore,
    Keep,
}

impl Patterns {
    /// Reads a file: one pattern a line, `#` in the first column begins a comment.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Self::default();
        for (index, line) in text.lines().enumerate() {
            if !line.starts_with('#') {
                patterns.add(line, index + 1)?;
            }
        }
        Ok(patterns)
    }

    /// The same of patterns one by one (`--exclude`).
    pub fn of_list<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, IgnoreError> {
        let mut patterns = Self::default();
        for (index, pattern) in list.into_iter().enumerate() {
            patterns.add(pattern, index + 1)?;
        }
        Ok(patterns)
    }

    fn add(&mut self, pattern: &str, line: usize) -> Result<(), IgnoreError> {
        let pattern = pattern.trim();
        let (pattern, effect) = match pattern.strip_prefix('!') {
            Some(rest) => (rest.trim(), Effect::Keep),
            None => (pattern, Effect::Ignore),
        };
        if pattern.is_empty() {
            return match effect {
                Effect::Ignore => Ok(()),
                Effect::Keep => Err(IgnoreError::Nothing { line }),
            };
        }
        let glob = Glob::parse(&clean(pattern));
        let glob = glob.map_err(|source| IgnoreError::Pattern { line, source })?;
        self.rules.push(Rule { glob, effect });
        Ok(())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether some take back what others ignore.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.effect == Effect::Keep)
    }

    /// Whether a path (relative, with `/`) is ignored.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.is_ignored(self.decide_whole(path))
    }

    /// Whether a folder is ignored with everything that can be in it.
    #[must_use]
    pub fn can_skip_folder(&self, path: &str) -> bool {
        self.can_skip(path, self.decide_whole(path))
    }

    /// Which pattern decides about a path whose folder has been decided about: for walks of a tree, where it costs less
    /// than [`Self::matches`]. For the topmost ones the folder's is [`Decision::default`].
    #[must_use]
    pub fn decide(&self, path: &str, folder: Decision) -> Decision {
        let from = folder.0.map_or(0, |index| index + 1);
        let later = self.rules[from..].iter().rposition(|rule| rule.glob.matches(path));
        later.map_or(folder, |index| Decision(Some(from + index)))
    }

    /// Whether a decision is that the path is ignored.
    #[must_use]
    pub fn is_ignored(&self, decision: Decision) -> bool {
        decision.0.is_some_and(|index| self.rules[index].effect == Effect::Ignore)
    }

    /// [`Self::can_skip_folder`] for a folder that has been decided about.
    #[must_use]
    pub fn can_skip(&self, path: &str, decision: Decision) -> bool {
        let Some(index) = decision.0 else {
            return false;
        };
        self.is_ignored(decision)
            && self.rules[index..]
                .iter()
                .all(|rule| rule.effect == Effect::Ignore || !rule.glob.may_match_below(path))
    }

    fn decide_whole(&self, path: &str) -> Decision {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        ends.fold(Decision::default(), |folder, end| self.decide(&path[..end], folder))
    }
}

/// The pattern that decides about a path, if any does; of use with the patterns that it came from only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision(Option<usize>);

/// A pattern as Go's `filepath.Clean` leaves it, without the separator at its start.
fn clean(pattern: &str) -> String {
    let is_rooted = pattern.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_rooted => {}
            other => parts.push(other),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(text: &str, path: &str) -> bool {
        Patterns::parse(text).unwrap().matches(path)
    }

    #[test]
    fn a_folder_is_ignored_with_what_is_in_it() {
        for pattern in ["target", "target/", "/target", "./target", "*", "tar*", "**/target"] {
            assert!(ignored(pattern, "target"), "{pattern}");
            assert!(ignored(pattern, "target/debug/x"), "{pattern}");
        }
        assert!(!ignored("target", "src/target"));
        assert!(ignored("**/target", "src/target/x"));
        assert!(!ignored("target/*", "target"));
        assert!(ignored("target/*", "target/a/b"));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let text = "*.md\n!README.md\nREADME-secret.md\n";
        assert!(ignored(text, "a.md"));
        assert!(!ignored(text, "README.md"));
        assert!(ignored("*.md\n!README*.md\nREADME-secret.md", "README-secret.md"));
        assert!(!ignored("*.md\nREADME-secret.md\n!README*.md", "README-secret.md"));
        assert!(!ignored("a\n!a/b", "a/b/c"));
        assert!(ignored("a\n!a/b", "a/c"));
    }

    #[test]
    fn comments_blank_lines_and_marks_are_not_patterns() {
        let text = "\u{feff}# a\n\n  \n  b  \r\n #c\n";
        assert!(!ignored(text, "a"));
        assert!(ignored(text, "b"));
        assert!(ignored(text, "#c"), "a comment begins in the first column");
        assert!(Patterns::parse("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Patterns::parse("a\n!\n").unwrap_err();
        assert_eq!(error.to_string(), "illegal exclusion pattern: \"!\" on line 2");
        let error = Patterns::parse("[").unwrap_err();
        assert_eq!(error, IgnoreError::Pattern { line: 1, source: Glob::parse("[").unwrap_err() });
    }

    #[test]
    fn a_folder_is_skipped_only_when_nothing_in_it_is_wanted() {
        let skips = |text: &str, path: &str| Patterns::parse(text).unwrap().can_skip_folder(path);
        assert!(skips("a", "a"));
        assert!(skips("a", "a/b"));
        assert!(!skips("a", "b"));
        assert!(!skips("a\n!a/b/c", "a"));
        assert!(!skips("a\n!a/b/c", "a/b"));
        assert!(skips("a\n!a/b/c", "a/x"));
        assert!(!skips("*\n!**/*.rs", "src"));
        assert!(skips("!a/b\na", "a"), "what is taken back before counts no more");
        assert!(!skips("a\n!a", "a"));
    }

    #[test]
    fn names_above_the_context_match_nothing() {
        assert!(!ignored("../a", "a"));
        assert!(ignored("/../a", "a"));
        assert!(ignored("x/../a", "a"));
        assert!(!ignored(".", "a"));
    }
}
