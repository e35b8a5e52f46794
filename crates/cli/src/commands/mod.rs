//! The tables of commands: what each is called, what it takes, what it does. One file per noun and
//! verb.

use std::pin::Pin;

use clap::{ArgMatches, Command, FromArgMatches};

use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

mod archive_file;
mod build;
mod container;
mod image;
mod inspect;
mod later;
mod manifest;
mod network;
mod registry;
mod system;
mod volume;

pub(crate) use later::later;

/// A command that does something.
#[derive(Debug)]
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What follows the name in the usage line.
    pub(crate) usage: &'static str,
    /// All its names, if it has more than one.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) arity: Arity,
    pub(crate) order: Order,
    /// Adds the flags to a command: only ever called for the one in use.
    pub(crate) flags: fn(Command) -> Command,
    pub(crate) run: Run,
}

/// What a command does.
pub(crate) type Run = for<'a> fn(&'a Session, Input) -> Running<'a>;

/// It, doing it.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// A command that groups others.
#[derive(Debug)]
pub(crate) struct Noun {
    pub(crate) about: &'static str,
    pub(crate) verbs: &'static [Entry],
}

/// A name in a table of commands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Further names, not listed.
    pub(crate) also: &'static [&'static str],
    pub(crate) what: What,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Verb(&'static Verb),
    Noun(&'static Noun),
}

/// How many arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    None,
    Exactly(usize),
    AtLeast(usize),
    AtMost(usize),
    Between(usize, usize),
}

/// What was given to a command.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) matches: ArgMatches,
    pub(crate) arguments: Vec<String>,
}

/// For verbs without flags.
#[derive(clap::Args, Debug)]
pub(crate) struct NoFlags {}

impl Input {
    /// The flags, typed.
    pub(crate) fn flags<F: FromArgMatches>(&self) -> Result<F> {
        F::from_arg_matches(&self.matches).map_err(|error| CliError::Invalid(error.to_string()))
    }

    /// The argument at `index`; the arity has made sure of it, or it is empty.
    pub(crate) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }
}

impl What {
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Verb(verb) => verb.about,
            Self::Noun(noun) => noun.about,
        }
    }
}

impl Noun {
    pub(crate) fn find(&self, name: &str) -> Option<&'static Verb> {
        match find_in(self.verbs, name)?.what {
            What::Verb(verb) => Some(verb),
            What::Noun(_) => None,
        }
    }
}

impl Arity {
    /// Docker's words when the number does not fit, and whether it says "See" or "Run" for help.
    pub(crate) fn check(self, given: usize) -> std::result::Result<(), (String, &'static str)> {
        let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
        match self {
            Self::None if given > 0 => Err(("accepts no arguments".to_owned(), "Run")),
            Self::Exactly(count) if given != count => {
                Err((format!("requires {count} {}", plural(count)), "Run"))
            }
            Self::AtLeast(count) if given < count => {
                Err((format!("requires at least {count} {}", plural(count)), "See"))
            }
            Self::AtMost(count) if given > count => {
                Err((format!("requires at most {count} {}", plural(count)), "Run"))
            }
            Self::Between(least, most) if given < least || given > most => Err((
                format!("requires at least {least} and at most {most} {}", plural(most)),
                "Run",
            )),
            Self::None
            | Self::Exactly(_)
            | Self::AtLeast(_)
            | Self::AtMost(_)
            | Self::Between(..) => Ok(()),
        }
    }
}

const fn verb(name: &'static str, verb: &'static Verb) -> Entry {
    Entry { name, also: &[], what: What::Verb(verb) }
}

const fn verb_also(
    name: &'static str,
    also: &'static [&'static str],
    verb: &'static Verb,
) -> Entry {
    Entry { name, also, what: What::Verb(verb) }
}

const fn noun(name: &'static str, noun: &'static Noun) -> Entry {
    Entry { name, also: &[], what: What::Noun(noun) }
}

/// What most people use.
pub(crate) const COMMON: &[Entry] = &[
    verb("run", &container::run::VERB),
    verb("exec", &container::exec::VERB),
    verb("ps", &container::ls::VERB),
    verb("build", &build::VERB),
    verb("pull", &image::pull::VERB),
    verb("push", &image::push::VERB),
    verb("images", &image::ls::VERB),
    verb("login", &registry::login::VERB),
    verb("logout", &registry::logout::VERB),
    verb("search", &registry::search::VERB),
    verb("version", &system::version::VERB),
    verb("info", &system::info::VERB),
];

/// The nouns.
pub(crate) const NOUNS: &[Entry] = &[
    noun("builder", &build::BUILDER),
    noun("buildx", &build::BUILDX),
    noun("container", &container::NOUN),
    noun("image", &image::NOUN),
    noun("manifest", &manifest::NOUN),
    noun("network", &network::NOUN),
    noun("system", &system::NOUN),
    noun("volume", &volume::NOUN),
];

/// The rest.
pub(crate) const VERBS: &[Entry] = &[
    verb("attach", &container::attach::VERB),
    verb("commit", &container::commit::VERB),
    verb("cp", &container::cp::VERB),
    verb("create", &container::create::VERB),
    verb("diff", &container::diff::VERB),
    verb("events", &system::events::VERB),
    verb("export", &container::export::VERB),
    verb("history", &image::history::VERB),
    verb("import", &image::import::VERB),
    verb("inspect", &inspect::VERB),
    verb("kill", &container::kill::VERB),
    verb("load", &image::load::VERB),
    verb("logs", &container::logs::VERB),
    verb("pause", &container::pause::VERB),
    verb("port", &container::port::VERB),
    verb("rename", &container::rename::VERB),
    verb("restart", &container::restart::VERB),
    verb("rm", &container::rm::VERB),
    verb("rmi", &image::rm::VERB),
    verb("save", &image::save::VERB),
    verb("start", &container::start::VERB),
    verb("stats", &container::stats::VERB),
    verb("stop", &container::stop::VERB),
    verb("tag", &image::tag::VERB),
    verb("top", &container::top::VERB),
    verb("unpause", &container::unpause::VERB),
    verb("update", &container::update::VERB),
    verb("wait", &container::wait::VERB),
];

/// All of them.
pub(crate) const TABLES: &[&[Entry]] = &[COMMON, NOUNS, VERBS];

/// Names like `word`: mistyped by a letter or two, or not written to the end.
pub(crate) fn similar(tables: &[&[Entry]], word: &str) -> Vec<&'static str> {
    let mut found: Vec<(usize, &'static str)> = tables
        .iter()
        .copied()
        .flatten()
        .filter_map(|entry| {
            let distance = distance(entry.name, word);
            let is_begun = word.len() > 1 && entry.name.starts_with(word);
            // Of a short word not much may be wrong.
            let allowed = if word.len().min(entry.name.len()) > 3 { 2 } else { 1 };
            (distance <= allowed || is_begun).then_some((distance, entry.name))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, name)| name).collect()
}

/// How many letters were added, left out, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, &left) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, &right) in other.iter().enumerate() {
            let changed = last[column] + usize::from(left != right);
            let mut least = changed.min(last[column + 1] + 1).min(next[column] + 1);
            let is_swapped =
                row > 0 && column > 0 && left == other[column - 1] && one[row - 1] == right;
            if is_swapped {
                least = least.min(before[column - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut last, next);
    }
    last[other.len()]
}

/// The command of that name.
pub(crate) fn find(name: &str) -> Option<Entry> {
    TABLES.iter().find_map(|table| find_in(table, name))
}

fn find_in(table: &[Entry], name: &str) -> Option<Entry> {
    table.iter().find(|entry| entry.name == name || entry.also.contains(&name)).copied()
}

/// `barge --version`.
pub(crate) fn version_line() -> String {
    format!("Barge version {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_flags_can_be_built() {
        let nouns = NOUNS.iter().filter_map(|entry| match entry.what {
            What::Noun(noun) => Some(noun.verbs),
            What::Verb(_) => None,
        });
        for entry in [COMMON, VERBS].into_iter().chain(nouns).flatten() {
            let What::Verb(verb) = entry.what else {
                continue;
            };
            let command = (verb.flags)(Command::new(verb.name));
            crate::flags::shape(command, verb.order).debug_assert();
            let named = |name: &str| name.rsplit(' ').next() == Some(entry.name);
            assert!(
                verb.aliases.is_empty() || verb.aliases.iter().any(|alias| named(alias)),
                "{} is missing among the aliases of {}",
                entry.name,
                verb.name
            );
        }
    }

    #[test]
    fn mistyped_words_have_proposals() {
        assert_eq!(similar(TABLES, "pul"), ["pull"]);
        assert_eq!(similar(TABLES, "plul"), ["pull"]);
        assert_eq!(similar(TABLES, "imag"), ["image", "images"]);
        assert_eq!(similar(TABLES, "vresion"), ["version"]);
        assert_eq!(similar(&[image::NOUN.verbs], "psuh"), ["push"]);
        assert!(similar(TABLES, "x").iter().all(|name| name.len() <= 2));
        assert!(similar(TABLES, "completely-else").is_empty());
    }

    #[test]
    fn numbers_of_arguments_are_told_in_dockers_words() {
        for (arity, given, text) in [
            (Arity::None, 1, Some("accepts no arguments")),
            (Arity::Exactly(1), 0, Some("requires 1 argument")),
            (Arity::Exactly(2), 3, Some("requires 2 arguments")),
            (Arity::AtLeast(1), 0, Some("requires at least 1 argument")),
            (Arity::AtMost(1), 2, Some("requires at most 1 argument")),
            (Arity::Between(1, 2), 0, Some("requires at least 1 and at most 2 arguments")),
            (Arity::AtLeast(2), 5, None),
            (Arity::None, 0, None),
        ] {
            let told = arity.check(given).err().map(|(text, _)| text);
            assert_eq!(told.as_deref(), text);
        }
    }
}
