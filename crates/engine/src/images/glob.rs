//! Go's `path.Match`, which the filter `reference` is read with: `*`, `?`, `[a-z]`, and a backslash before what means
//! itself. Neither of the first two crosses a slash.

/// Whether a pattern is one.
pub(super) fn is_valid(pattern: &str) -> bool {
    let mut rest = pattern.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'\\' if after.is_empty() => return false,
            b'\\' => &after[1..],
            b'[' => match class(after, None) {
                Some((_, after)) => after,
                None => return false,
            },
            _ => after,
        };
    }
    true
}

/// Whether the whole text is what the pattern means. As in Go, a star takes as little as the part behind it allows, and
/// is not asked again once a later star has its turn: the time is the product of both lengths at most.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    while !pattern.is_empty() {
        let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
        let (part, rest) = pattern[stars..].split_at(part_length(&pattern[stars..]));
        let can_skip = if stars == 0 {
            0
        } else {
            text.iter().position(|byte| *byte == b'/').unwrap_or(text.len())
        };
        let is_last = rest.is_empty();
        let left = (0..=can_skip)
            .filter_map(|skipped| begins(part, &text[skipped..]))
            .find(|left| !is_last || left.is_empty());
        let Some(left) = left else { return false };
        (pattern, text) = (rest, left);
    }
    text.is_empty()
}

/// How much of a pattern comes before its next star.
fn part_length(pattern: &[u8]) -> usize {
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'*' => break,
            b'\\' => after.get(1..).unwrap_or_default(),
            b'[' => class(after, None).map_or(&[][..], |(_, after)| after),
            _ => after,
        };
    }
    pattern.len() - rest.len()
}

/// What is left of a text that begins as a pattern without stars means.
fn begins<'a>(mut part: &[u8], mut text: &'a [u8]) -> Option<&'a [u8]> {
    while let Some((first, after)) = part.split_first() {
        let (byte, left) = text.split_first()?;
        let (fits, after) = match first {
            b'?' => (*byte != b'/', after),
            b'[' => class(after, Some(*byte))?,
            b'\\' => {
                let (first, after) = after.split_first()?;
                (first == byte, after)
            }
            _ => (first == byte, after),
        };
        if !fits {
            return None;
        }
        (part, text) = (after, left);
    }
    Some(text)
}

/// Reads a class behind its bracket: whether it has the byte, and what comes after it. None for one that does not end.
fn class(pattern: &[u8], byte: Option<u8>) -> Option<(bool, &[u8])> {
    let (is_not, mut rest) = match pattern.split_first()? {
        (b'^', after) => (true, after),
        _ => (false, pattern),
    };
    let (mut has, mut is_first) = (false, true);
    loop {
        let (next, after) = rest.split_first()?;
        if *next == b']' && !is_first {
            return Some((has != is_not, after));
        }
        is_first = false;
        let (low, after) = one(rest)?;
        let (high, after) = match after.split_first()? {
            (b'-', after) => one(after)?,
            _ => (low, after),
        };
        has |= byte.is_some_and(|byte| (low..=high).contains(&byte));
        rest = after;
    }
}

/// A byte of a class.
fn one(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest.split_first()? {
        (b'-' | b']', _) => None,
        (b'\\', after) => after.split_first().map(|(byte, after)| (*byte, after)),
        (byte, after) => Some((*byte, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_part() {
        assert!(matches("deb*", "debian"));
        assert!(matches("*/app:v?", "user/app:v1"));
        assert!(!matches("*", "user/app"));
        assert!(!matches("debian", "debian:12"));
    }

    #[test]
    fn classes_have_ranges_and_opposites() {
        assert!(matches("v[0-9]", "v7"));
        assert!(!matches("v[^0-9]", "v7"));
        assert!(matches("[ab]c", "bc"));
        assert!(matches("a\\*", "a*") && !matches("a\\*", "ab"));
    }

    #[test]
    fn a_star_takes_what_the_rest_leaves() {
        assert!(matches("*a*b", "xaxxab"));
        assert!(matches("a*", "a") && matches("*", ""));
        assert!(!matches("*a*b", "a/ab"));
        assert!(!matches("a*b", "abc"));
    }

    #[test]
    fn many_stars_cost_neither_stack_nor_time() {
        let text = "a".repeat(300);
        assert!(matches(&"*".repeat(1 << 17), &text));
        assert!(!matches(&format!("{}b", "*a".repeat(60)), &text));
    }

    #[test]
    fn what_does_not_end_is_no_pattern() {
        for pattern in ["[a", "[]", "[a-]", "a\\", "[", "[-a]"] {
            assert!(!is_valid(pattern), "{pattern}");
        }
        assert!(is_valid("[a-z]*?\\["));
    }
}
