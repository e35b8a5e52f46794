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

/// Whether the whole text is what the pattern means.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    fits(pattern.as_bytes(), text.as_bytes())
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let Some((first, after)) = pattern.split_first() else { return text.is_empty() };
    if *first == b'*' {
        let skips =
            || text.split_first().is_some_and(|(byte, left)| *byte != b'/' && fits(pattern, left));
        return fits(after, text) || skips();
    }
    let Some((byte, left)) = text.split_first() else { return false };
    match first {
        b'?' => *byte != b'/' && fits(after, left),
        b'[' => class(after, Some(*byte)).is_some_and(|(has, after)| has && fits(after, left)),
        b'\\' => {
            after.split_first().is_some_and(|(first, after)| first == byte && fits(after, left))
        }
        _ => first == byte && fits(after, left),
    }
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
    fn what_does_not_end_is_no_pattern() {
        for pattern in ["[a", "[]", "[a-]", "a\\", "[", "[-a]"] {
            assert!(!is_valid(pattern), "{pattern}");
        }
        assert!(is_valid("[a-z]*?\\["));
    }
}
