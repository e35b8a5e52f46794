//! Patterns of `${v#p}` and its like beside a slow way to find the same.

#![allow(clippy::unwrap_used, reason = "a test")]

use barge_dockerfile::expand::Expander;
use proptest::prelude::*;
use regex_lite::Regex;

fn expand(text: &str, value: &str) -> String {
    let lookup = |name: &str| (name == "v").then(|| value.to_owned());
    Expander::new('\\', &lookup).word(text).unwrap().value
}

/// Whether a pattern matches the whole of a text.
fn matcher(pattern: &str) -> impl Fn(&str) -> bool {
    let expression =
        Regex::new(&format!("^{}$", pattern.replace('?', ".").replace('*', ".*"))).unwrap();
    move |text| expression.is_match(text)
}

/// Replaces the first match or all of them, each as long as can be.
fn replaced(value: &str, pattern: &str, most: usize) -> String {
    let matches = matcher(pattern);
    let (mut output, mut at, mut done) = (String::new(), 0, 0);
    while at < value.len() {
        let end = (at + 1..=value.len()).rev().find(|end| done < most && matches(&value[at..*end]));
        if let Some(end) = end {
            output.push('-');
            done += 1;
            at = end;
        } else {
            output.push_str(&value[at..=at]);
            at += 1;
        }
    }
    output
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_shortest_and_the_longest_are_cut_off(pattern in "[ab?*]{1,5}", value in "[abc]{0,8}") {
        let matches = matcher(&pattern);
        let starts: Vec<usize> = (0..=value.len()).filter(|end| matches(&value[..*end])).collect();
        let ends: Vec<usize> = (0..=value.len()).filter(|start| matches(&value[*start..])).collect();
        let without_start = |length: Option<&usize>| value[length.copied().unwrap_or(0)..].to_owned();
        let without_end = |start: Option<&usize>| value[..start.copied().unwrap_or(value.len())].to_owned();
        prop_assert_eq!(expand(&format!("${{v#{pattern}}}"), &value), without_start(starts.first()));
        prop_assert_eq!(expand(&format!("${{v##{pattern}}}"), &value), without_start(starts.last()));
        prop_assert_eq!(expand(&format!("${{v%{pattern}}}"), &value), without_end(ends.last()));
        prop_assert_eq!(expand(&format!("${{v%%{pattern}}}"), &value), without_end(ends.first()));
    }

    #[test]
    fn the_first_or_all_are_replaced(pattern in "[ab?*]{1,5}", value in "[abc]{1,8}") {
        prop_assert_eq!(expand(&format!("${{v/{pattern}/-}}"), &value), replaced(&value, &pattern, 1));
        prop_assert_eq!(expand(&format!("${{v//{pattern}/-}}"), &value), replaced(&value, &pattern, usize::MAX));
    }
}
