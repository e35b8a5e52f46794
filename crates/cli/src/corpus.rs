//! Every command and every flag is in a black-box test: what is registered and nobody runs fails here.
//!
//! A line of `tests/cli/*.txt` is read with the client's own parser. What Docker's client does not have, and what is
//! tested otherwise, is looked for in the tests' sources: a statement that names the command and the flag.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;

use crate::commands::{self, TABLES, Verb, What};
use crate::flags::shape;

const FORMATS: &str = include_str!("../../../tests/cli/formats.txt");
const CREATES: &str = include_str!("../../../tests/cli/creates.txt");
const COMMANDS: &str = include_str!("../../../tests/cli/commands.txt");

/// A command, whatever its paths are, with the flags that were used.
type Used = BTreeMap<&'static str, BTreeSet<String>>;

/// Of images, builds and registries, which have tests of their own kind: a corpus of builds, a registry.
const ELSEWHERE: [&str; 8] =
    ["image", "manifest", "builder", "buildx", "build", "login", "logout", "search"];

/// What tells a command from all others: `ls` has many nouns. `run` and `create` read the same flags with the same code.
fn key(verb: &Verb) -> &'static str {
    if verb.name == "run" { "Create a new container" } else { verb.about }
}

/// All commands with their paths.
fn verbs() -> Vec<(String, &'static Verb)> {
    let mut verbs = Vec::new();
    for entry in TABLES.iter().copied().flatten() {
        match entry.what {
            What::Verb(verb) => verbs.push((entry.name.to_owned(), verb)),
            What::Noun(noun) => verbs.extend(noun.verbs.iter().filter_map(|inner| {
                let What::Verb(verb) = inner.what else { return None };
                Some((format!("{} {}", entry.name, inner.name), verb))
            })),
        }
    }
    verbs
}

/// Words separated by blanks; quotes keep them together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (position, part) in line.split('\'').enumerate() {
        let mut pieces = if position % 2 == 0 { part.split(' ').collect() } else { vec![part] };
        words.last_mut().unwrap().push_str(pieces.remove(0));
        words.extend(pieces.into_iter().map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Marks the command and the flags of a line; a line that is wrong on purpose marks its command.
fn mark(words: &[String], used: &mut Used) {
    let Some((first, mut rest)) = words.split_first() else { return };
    let verb = match commands::find(first).map(|entry| entry.what) {
        Some(What::Verb(verb)) => Some(verb),
        Some(What::Noun(noun)) => {
            let word = rest.first().map_or("", String::as_str);
            rest = rest.get(1..).unwrap_or_default();
            noun.find(word)
        }
        None => None,
    };
    let Some(verb) = verb else { return };
    let marked = used.entry(key(verb)).or_default();
    let mut command = shape((verb.flags)(clap::Command::new(verb.name)), verb.order);
    let Ok(matches) = command.try_get_matches_from_mut(rest) else { return };
    for flag in command.get_arguments() {
        if matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine) {
            marked.extend(flag.get_long().map(str::to_owned));
        }
    }
}

/// The words of the literals of each statement of a source.
fn statements(source: &str) -> Vec<Vec<String>> {
    let (mut statements, mut literal) = (vec![Vec::new()], None::<String>);
    let mut letters = source.chars();
    while let Some(letter) = letters.next() {
        match (&mut literal, letter) {
            (Some(text), '"') => {
                let words = text.split_whitespace().map(str::to_owned);
                statements.last_mut().unwrap().extend(words);
                literal = None;
            }
            // Whatever is escaped, it separates no words of a command line that is looked for.
            (Some(text), '\\') => text.extend(letters.next()),
            (Some(text), letter) => text.push(letter),
            (None, '"') => literal = Some(String::new()),
            (None, ';') => statements.push(Vec::new()),
            (None, '\'') => {
                // A letter by itself, or the name of a lifetime.
                let ahead = letters.as_str();
                let length = if ahead.starts_with('\\') { 2 } else { 1 };
                let is_letter = ahead.chars().nth(length) == Some('\'');
                letters.by_ref().take(if is_letter { length + 1 } else { 0 }).for_each(drop);
            }
            (None, _) => {}
        }
    }
    statements
}

/// All sources below a folder of tests.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "sh") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The command lines that are compared with those of Docker's client.
fn compared() -> Used {
    let lines = |text: &'static str| text.lines().filter(|line| !line.starts_with('#'));
    let formats = lines(FORMATS).map(|line| line.trim_start_matches("~ ").to_owned());
    let creates = lines(CREATES).map(|line| format!("create {line}"));
    let commands = lines(COMMANDS).filter_map(|line| Some(line.split_once(": ")?.1.to_owned()));
    let mut used = Used::new();
    for line in formats.chain(creates).chain(commands) {
        mark(&words(&line), &mut used);
    }
    used
}

fn has_flag(words: &[String], flag: &clap::Arg) -> bool {
    let long = format!("--{}", flag.get_long().unwrap());
    let is_it = |word: &String| {
        let name = word.split('=').next().unwrap();
        let is_short = |letter| name.len() == 2 && name.starts_with('-') && name.ends_with(letter);
        name == long || flag.get_short().is_some_and(is_short)
    };
    words.iter().any(is_it)
}

/// The words that each statement of the tests has, with the command that a file is about.
fn statements_of_tests() -> Vec<Vec<String>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let mut found = Vec::new();
    for folder in ["cli", "build"] {
        sources(&tests.join(folder), &mut found);
    }
    let of = |(path, text): &(PathBuf, String)| {
        let is_about_builds = path.to_string_lossy().contains("/build");
        let mut statements = statements(text);
        if is_about_builds {
            statements.iter_mut().for_each(|words| words.push("build".to_owned()));
        }
        statements
    };
    found.iter().flat_map(of).collect()
}

#[test]
fn every_command_and_flag_is_in_a_black_box_test() {
    let used = compared();
    let statements = statements_of_tests();
    let mut missing = Vec::new();
    let verbs = verbs();
    let is_elsewhere = |path: &str| ELSEWHERE.contains(&path.split(' ').next().unwrap_or_default());
    let others: BTreeSet<_> =
        verbs.iter().filter(|(path, _)| is_elsewhere(path)).map(|(_, verb)| key(verb)).collect();
    for (path, verb) in verbs.iter().filter(|(_, verb)| !others.contains(key(verb))) {
        let paths: Vec<Vec<&str>> = verbs
            .iter()
            .filter(|(_, other)| key(other) == key(verb))
            .map(|(path, _)| path.split(' ').collect())
            .collect();
        let is_named = |words: &Vec<String>| {
            let has = |name: &&str| words.iter().any(|word| word == name);
            paths.iter().any(|path| path.iter().all(has))
        };
        let named: Vec<&Vec<String>> = statements.iter().filter(|words| is_named(words)).collect();
        if named.is_empty() && !used.contains_key(key(verb)) {
            missing.push(path.clone());
        }
        let marked = used.get(key(verb));
        let command = shape((verb.flags)(clap::Command::new(verb.name)), verb.order);
        let flags = command.get_arguments().filter(|flag| {
            flag.get_long().is_some_and(|long| {
                long != "help" && !marked.is_some_and(|marked| marked.contains(long))
            })
        });
        let lacking = flags.filter(|flag| !named.iter().any(|words| has_flag(words, flag)));
        missing.extend(lacking.map(|flag| format!("{path} --{}", flag.get_long().unwrap())));
    }
    assert!(missing.is_empty(), "no test has\n  {}", missing.join("\n  "));
}

#[test]
fn a_statement_is_read_to_its_end() {
    let read = statements(r#"run(&["a b", "c;\"d"], ';'); let x: &'a str = f("e"); "#);
    assert_eq!(read, [vec!["a", "b", "c;\"d"], vec!["e"], vec![]]);
}
