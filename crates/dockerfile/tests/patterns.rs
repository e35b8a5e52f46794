//! Patterns beside regular expressions, which is how Docker matches them.

#![allow(clippy::unwrap_used, reason = "a test")]

use barge_dockerfile::glob::Glob;
use barge_dockerfile::ignore::{Decision, Patterns};
use proptest::prelude::*;
use regex_lite::Regex;

/// A pattern of `a b / * ? [ab]` as a regular expression.
fn translated(pattern: &str) -> Regex {
    let mut output = "^".to_owned();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                letters.next_if_eq(&'/');
                output += if letters.peek().is_none() { ".*" } else { "(.*/)?" };
            }
            '*' => output += "[^/]*",
            '?' => output += "[^/]",
            other => output.push(other),
        }
    }
    Regex::new(&(output + "$")).unwrap()
}

fn patterns() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["a", "b", "/", "*", "**", "**/", "?", "[ab]", "[^a]"]);
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

/// Relative paths without empty parts.
fn paths() -> impl Strategy<Value = String> {
    "[ab]{1,3}(/[ab]{1,3}){0,3}"
}

/// Every beginning of a path that ends with a part of it.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end]).chain([path])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patterns_match_as_regular_expressions_do(pattern in patterns(), path in paths()) {
        let expected = translated(&pattern).is_match(&path);
        prop_assert_eq!(Glob::parse(&pattern).unwrap().matches(&path), expected);
    }

    #[test]
    fn what_matches_below_a_folder_is_foreseen(pattern in patterns(), path in paths()) {
        let glob = Glob::parse(&pattern).unwrap();
        if let Some((folder, _)) = path.rsplit_once('/') && glob.matches(&path) {
            prop_assert!(above(folder).all(|folder| glob.may_match_below(folder)));
        }
    }

    #[test]
    fn the_last_one_that_matches_decides(
        list in prop::collection::vec((any::<bool>(), patterns()), 0..6),
        path in paths(),
    ) {
        let lines = list.iter().map(|(keeps, text)| if *keeps { format!("!{text}\n") } else { format!("{text}\n") });
        let patterns = Patterns::parse(&lines.collect::<String>()).unwrap();
        // One by one, each with its path alone, and what is cleaned away of a pattern left to the crate.
        let matching = list.iter().rev().find(|(_, text)| {
            let alone = Patterns::parse(text).unwrap();
            above(&path).any(|path| alone.matches(path))
        });
        let expected = matching.is_some_and(|(keeps, _)| !keeps);
        prop_assert_eq!(patterns.matches(&path), expected);
        let walked = above(&path).fold(Decision::default(), |folder, path| patterns.decide(path, folder));
        prop_assert_eq!(patterns.is_ignored(walked), expected);
        if above(&path).any(|folder| patterns.can_skip_folder(folder)) {
            prop_assert!(expected);
        }
    }
}
