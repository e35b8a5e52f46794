//! The build checks of the Dockerfile reference (`build --check`, and the warnings of every build).
//!
//! They look at the text alone. What a base image defines is asked of the caller; where it does not know, a variable that
//! may come from the image is not complained of.

mod casing;
mod from;
mod rules;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::ast::{CheckDirective, Dockerfile, Located};
use crate::ignore::Patterns;
use crate::parse::lines::Lines;

pub use rules::{RULES, Rule};

/// More findings help nobody, and more suggestions cost time: of each so many.
const MOST: usize = 1_000;

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// What it is about here.
    pub detail: String,
    /// The first of its lines, from 1.
    pub first_line: u32,
    /// The last one.
    pub last_line: u32,
}

/// What the checks know besides the text.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// `--build-arg`.
    pub build_args: &'a BTreeMap<String, Option<String>>,
    /// The ignore file of the context.
    pub ignore: Option<&'a Patterns>,
    /// The environment (`NAME=value`) of an image; nothing when it is not known.
    pub environment: &'a dyn Fn(&str) -> Option<Vec<String>>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("build_args", &self.build_args).finish_non_exhaustive()
    }
}

/// Checks a Dockerfile; `text` is what it was read from. Findings come in the order of their lines.
#[must_use]
pub fn check(text: &str, dockerfile: &Dockerfile, options: &Options<'_>) -> Vec<Finding> {
    let directive = &dockerfile.directives.check;
    let mut findings = Findings { list: Vec::new(), directive, hints: 0 };
    // It has been read before, so it can be read.
    if let Ok(lines) = Lines::read(text) {
        casing::check(&lines, &mut findings);
    }
    let bases = from::check(dockerfile, options, &mut findings);
    stage::check(dockerfile, (options, &bases), &mut findings);
    findings.list.sort_by_key(|finding| finding.first_line);
    findings.list
}

/// What was found so far, by rules that apply.
struct Findings<'a> {
    list: Vec<Finding>,
    directive: &'a CheckDirective,
    /// How many suggestions were looked for.
    hints: usize,
}

impl Findings<'_> {
    fn applies(&self, rule: &Rule) -> bool {
        let has = |list: &[String]| list.iter().any(|name| name == "all" || name == rule.name);
        // What is asked for by `experimental` applies even when all are skipped, as in BuildKit.
        if rule.is_experimental {
            return has(&self.directive.experimental);
        }
        !has(&self.directive.skip)
    }

    /// ` (did you mean x?)`, when there is something near.
    fn hint<'w>(&mut self, word: &str, words: impl Iterator<Item = &'w str>, mark: &str) -> String {
        self.hints += 1;
        if self.hints > MOST {
            return String::new();
        }
        let near = crate::suggest(word, words.take(MOST));
        near.map(|near| format!(" (did you mean {mark}{near}?)")).unwrap_or_default()
    }

    fn add(&mut self, rule: Rule, (first_line, last_line): (u32, u32), detail: String) {
        if self.list.len() < MOST && self.applies(&rule) {
            self.list.push(Finding { rule, detail, first_line, last_line });
        }
    }
}

fn place<T>(located: &Located<T>) -> (u32, u32) {
    (located.first_line, located.last_line)
}
