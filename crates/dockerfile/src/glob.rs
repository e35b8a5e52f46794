//! File name patterns: Go's `filepath.Match` with `**`, as `COPY`, `--exclude` and `.dockerignore` use them.
//!
//! A pattern is matched in time proportional to pattern × path whatever it looks like: possible positions are kept as a
//! set, nothing is tried again.

use thiserror::Error;

/// So many places of a pattern are kept without asking for memory.
const FEW: usize = 64;

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("syntax error in pattern {pattern:?}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
}

/// A pattern, ready to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// What a path starts with for certain.
    prefix: String,
    /// What comes after that.
    parts: Vec<Part>,
    /// What it ends with for certain; the end of the parts too.
    suffix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Itself.
    Char(char),
    /// `?`: any but a separator.
    Any,
    /// `*`: any number of any but separators.
    Star,
    /// `**` at the end: any number of anything.
    Rest,
    /// `**/`: nothing, or what [`Part::Inside`] takes.
    Folders,
    /// Whole folders, at least one; follows on [`Part::Folders`].
    Inside,
    /// `[…]`.
    Class { is_negated: bool, ranges: Vec<(char, char)> },
}

/// Whether a text has anything in it that makes it more than a name.
#[must_use]
pub fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

impl Glob {
    /// Reads a pattern: `* ? [a-z] [^a-z] \x **`. As in Docker, `**` stands for whole folders, with or without a `/` after
    /// it, and at the end for everything.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let error = || PatternError { pattern: pattern.to_owned() };
        let (prefix, suffix) = (String::new(), String::new());
        let mut glob = Self { prefix, parts: Vec::new(), suffix };
        let mut chars = pattern.chars().peekable();
        while let Some(letter) = chars.next() {
            match letter {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    let _separator = chars.next_if_eq(&'/');
                    if chars.peek().is_none() {
                        glob.parts.push(Part::Rest);
                    } else {
                        glob.parts.extend([Part::Folders, Part::Inside]);
                    }
                }
                '*' => glob.parts.push(Part::Star),
                '?' => glob.parts.push(Part::Any),
                '[' => glob.parts.push(class(&mut chars).ok_or_else(error)?),
                '\\' => glob.literal(chars.next().ok_or_else(error)?),
                other => glob.literal(other),
            }
        }
        let certain = |part: &&Part| matches!(part, Part::Char(_));
        let end = glob.parts.iter().rev().take_while(certain).count();
        glob.suffix = glob.parts[glob.parts.len() - end..]
            .iter()
            .filter_map(|part| if let Part::Char(letter) = part { Some(*letter) } else { None })
            .collect();
        Ok(glob)
    }

    fn literal(&mut self, letter: char) {
        if self.parts.is_empty() {
            self.prefix.push(letter);
        } else {
            self.parts.push(Part::Char(letter));
        }
    }

    /// Whether the whole of a path (with `/`, relative) matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(self.prefix.as_str()) else {
            return false;
        };
        if self.parts.is_empty() {
            return rest.is_empty();
        }
        // Most paths do not match most patterns: this is what tells them apart at little cost.
        rest.ends_with(self.suffix.as_str())
            && self.run(rest.chars(), |here| here[self.parts.len()])
    }

    /// Whether anything below of a folder may match.
    #[must_use]
    pub fn may_match_below(&self, folder: &str) -> bool {
        let below = folder.len() + 1;
        let path = || folder.chars().chain(['/']);
        if self.prefix.len() >= below {
            return self.prefix.starts_with(folder) && self.prefix[folder.len()..].starts_with('/');
        }
        if !path().zip(self.prefix.chars()).all(|(one, other)| one == other) {
            return false;
        }
        let rest = path().skip(self.prefix.chars().count());
        self.run(rest, |here| here[..self.parts.len()].contains(&true))
    }

    /// Goes over letters, and asks where one may be after the last one; false when they do not fit.
    fn run(&self, letters: impl Iterator<Item = char>, ask: impl Fn(&[bool]) -> bool) -> bool {
        let size = self.parts.len() + 1;
        let mut few = [[false; FEW]; 2];
        let mut many = Vec::new();
        let (here, next) = if size <= FEW {
            let [here, next] = &mut few;
            (&mut here[..size], &mut next[..size])
        } else {
            many.resize(2 * size, false);
            many.split_at_mut(size)
        };
        let (mut here, mut next) = (here, next);
        here[0] = true;
        self.skip_empty(here);
        for letter in letters {
            next.fill(false);
            self.step(here, letter, next);
            self.skip_empty(next);
            std::mem::swap(&mut here, &mut next);
            if !here.contains(&true) {
                return false;
            }
        }
        ask(here)
    }

    /// Parts that may match nothing are passed over.
    fn skip_empty(&self, here: &mut [bool]) {
        for (index, part) in self.parts.iter().enumerate() {
            if here[index] && matches!(part, Part::Star | Part::Rest | Part::Folders) {
                here[index + 1] = true;
                if *part == Part::Folders {
                    here[index + 2] = true;
                }
            }
        }
    }

    /// Where one may be after one more letter.
    fn step(&self, here: &[bool], letter: char, next: &mut [bool]) {
        for (index, part) in self.parts.iter().enumerate().filter(|(index, _)| here[*index]) {
            match part {
                Part::Char(wanted) => next[index + 1] |= *wanted == letter,
                Part::Any => next[index + 1] |= letter != '/',
                Part::Class { is_negated, ranges } => {
                    let is_in = ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter));
                    // A separator too, as in Go.
                    next[index + 1] |= is_in != *is_negated;
                }
                Part::Star => next[index] |= letter != '/',
                Part::Rest => next[index] = true,
                Part::Folders => {}
                Part::Inside => {
                    next[index] = true;
                    next[index + 1] |= letter == '/';
                }
            }
        }
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Part> {
    let is_negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Part::Class { is_negated, ranges });
        }
        let from = class_char(chars)?;
        let to = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { from };
        ranges.push((from, to));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn a_star_stays_in_its_folder() {
        assert!(matches("*.rs", "lib.rs"));
        assert!(!matches("*.rs", "src/lib.rs"));
        assert!(matches("a/*/c", "a/b/c"));
        assert!(!matches("a/*/c", "a/b/b/c"));
        assert!(matches("a*b*c", "axbybc"));
        assert!(!matches("a?c", "a/c"));
    }

    #[test]
    fn two_stars_stand_for_whole_folders() {
        for path in ["x", "a/x", "a/b/x"] {
            assert!(matches("**/x", path), "{path}");
            assert!(matches("**x", path), "{path}");
        }
        assert!(!matches("**/x", "ax"));
        assert!(!matches("**/x", "a/bx"));
        assert!(matches("a/**/x", "a/x"));
        assert!(matches("a/**/x", "a/b/c/x"));
        assert!(!matches("a/**/x", "a/b/cx"));
        assert!(matches("a/**", "a/b/c"));
        assert!(!matches("a/**", "a"));
        assert!(matches("**", "a/b/c"));
        assert!(matches("**/*.go", "a/b/c.go"));
    }

    #[test]
    fn classes_and_escapes_are_gos() {
        assert!(matches("[a-c]x", "bx"));
        assert!(!matches("[^a-c]x", "bx"));
        assert!(matches("a[^a]b", "a/b"));
        assert!(matches("[\\]a]x", "]x"));
        assert!(matches("\\*", "*"));
        assert!(!matches("\\*", "a"));
        assert!(matches("h[é]llo", "héllo"));
        for bad in ["[", "[a", "[]a]", "[-]", "[a-]", "\\", "a[", "[^]"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_match_below_a_folder_is_known() {
        let below =
            |pattern: &str, folder: &str| Glob::parse(pattern).unwrap().may_match_below(folder);
        assert!(below("a/b/c", "a"));
        assert!(below("a/b/c", "a/b"));
        assert!(!below("a/b/c", "a/b/c"));
        assert!(!below("a/b/c", "b"));
        assert!(!below("ab/c", "a"));
        assert!(below("**/c", "x/y"));
        assert!(below("a/*/c", "a/x"));
        assert!(!below("a/*/c", "a/x/y"));
        assert!(!below("*.md", "docs"));
    }

    #[test]
    fn many_stars_cost_no_time() {
        let pattern = "*a".repeat(100) + "b";
        assert!(!matches(&pattern, &"a".repeat(10_000)));
        let pattern = "**/a*/".repeat(50) + "b";
        assert!(!matches(&pattern, &"aa/".repeat(5_000)));
    }
}
