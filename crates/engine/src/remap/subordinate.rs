//! The ranges of ids that a user of the host may give away: subuid(5) and subgid(5).
//!
//! Text in, ranges out. A line that makes no sense is an error here, where shadow's own programs skip it: what it was
//! meant to say decides on whom containers are.

use barge_sys::spawn::IdMap;

/// Why a file's text gives no map.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangesError {
    /// A line has not the form.
    #[error("line {line} is not USER:FIRST:COUNT: {text:?}")]
    Malformed { line: usize, text: String },
    /// No line is about the user.
    #[error("no ranges of user {user}: add a line such as {user}:{free}:{USUAL_COUNT}")]
    None { user: String, free: u32 },
    /// The host's root is in one of them.
    #[error("a range of user {0} begins with the host's root")]
    HasRoot(String),
    /// Two of them have ids in common.
    #[error("ranges of user {0} overlap")]
    Overlap(String),
    /// Nobody can get a range any more.
    #[error("no {USUAL_COUNT} ids are left after the ranges that are there")]
    Full,
    /// There are more ids than there are numbers, or more ranges than the kernel takes.
    #[error("the ranges of user {0} are too many or too long")]
    TooMany(String),
}

/// As many lines as the kernel takes in a map (user_namespaces(7)).
const MOST_RANGES: usize = 340;
/// Where ranges begin on a system that has none (login.defs(5), `SUB_UID_MIN`).
pub(crate) const FIRST_FREE: u32 = 100_000;
/// How many ids a container is expected to have.
pub(crate) const USUAL_COUNT: u32 = 65536;

/// Whose ranges are meant: a line names a user, or has the user's number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) name: &'a str,
    pub(crate) uid: Option<u32>,
}

struct Line<'a> {
    owner: &'a str,
    first: u32,
    count: u32,
}

fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, RangesError>> {
    let meant = text.lines().enumerate().map(|(at, line)| (at, line.trim()));
    meant.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(at, line)| {
        let parts: Vec<&str> = line.split(':').collect();
        match parts.as_slice() {
            [owner, first, count] => match (first.parse(), count.parse()) {
                (Ok(first), Ok(count)) => Ok(Line { owner, first, count }),
                _ => Err(RangesError::Malformed { line: at + 1, text: line.to_owned() }),
            },
            _ => Err(RangesError::Malformed { line: at + 1, text: line.to_owned() }),
        }
    })
}

/// The first id that no range has, if one of the usual length fits there.
pub(crate) fn first_free(text: &str) -> Result<u32, RangesError> {
    let mut free = FIRST_FREE;
    for line in lines(text) {
        let line = line?;
        free = free.max(line.first.saturating_add(line.count));
    }
    // The last number of all is no id.
    free.checked_add(USUAL_COUNT).map(|_end| free).ok_or(RangesError::Full)
}

/// All ranges of a user, one after the other from 0 on, those with lower ids first.
pub(crate) fn map_of(text: &str, owner: Owner<'_>) -> Result<Vec<IdMap>, RangesError> {
    let user = || owner.name.to_owned();
    let number = owner.uid.map(|uid| uid.to_string());
    let mut ranges = Vec::new();
    for line in lines(text) {
        let line = line?;
        if (line.owner == owner.name || Some(line.owner) == number.as_deref()) && line.count > 0 {
            ranges.push((line.first, line.count));
        }
    }
    if ranges.is_empty() {
        return Err(RangesError::None { user: user(), free: first_free(text)? });
    }
    if ranges.len() > MOST_RANGES {
        return Err(RangesError::TooMany(user()));
    }
    ranges.sort_unstable();
    let (mut inside, mut end) = (0_u32, 0_u32);
    let mut maps = Vec::new();
    for (first, count) in ranges {
        if first == 0 {
            return Err(RangesError::HasRoot(user()));
        }
        if first < end {
            return Err(RangesError::Overlap(user()));
        }
        maps.push(IdMap { inside, outside: first, count });
        let next = first.checked_add(count).zip(inside.checked_add(count));
        (end, inside) = next.ok_or_else(|| RangesError::TooMany(user()))?;
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Owner<'_> = Owner { name: "me", uid: Some(1000) };

    fn map(inside: u32, outside: u32, count: u32) -> IdMap {
        IdMap { inside, outside, count }
    }

    #[test]
    fn all_ranges_of_a_user_follow_each_other_whatever_their_order() {
        let text = "# ours\nme:300000:1000\nother:200000:65536\n\n1000:100000:65536\nme:500:0\n";
        let maps = map_of(text, ME).unwrap();
        assert_eq!(maps, [map(0, 100_000, 65536), map(65536, 300_000, 1000)]);
        // A name that is a number is no other user's number.
        let other = Owner { name: "other", uid: None };
        assert_eq!(map_of(text, other).unwrap(), [map(0, 200_000, 65536)]);
    }

    #[test]
    fn a_user_without_ranges_is_told_what_to_add() {
        let error = map_of("other:100000:65536\n", ME).unwrap_err().to_string();
        assert_eq!(error, "no ranges of user me: add a line such as me:165536:65536");
        let error = map_of("", ME).unwrap_err().to_string();
        assert!(error.ends_with("me:100000:65536"), "{error}");
    }

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        let refused = |text: &str| map_of(text, ME).unwrap_err();
        assert_eq!(refused("me:0:65536"), RangesError::HasRoot("me".into()));
        assert_eq!(refused("me:10:10\nme:19:5"), RangesError::Overlap("me".into()));
        assert_eq!(refused("me:4294967290:10"), RangesError::TooMany("me".into()));
        assert_eq!(refused("me:4294967295:1"), RangesError::TooMany("me".into()));
        assert_eq!(refused("you:4294901760:65535"), RangesError::Full);
        let many: String = (1..400).map(|at| format!("me:{}:1\n", at * 2)).collect();
        assert_eq!(refused(&many), RangesError::TooMany("me".into()));
        for (text, line) in [("me:1", 1), ("x:1:1\nme:a:1", 2), ("me:1:-1", 1), ("me:1:1:1", 1)] {
            assert!(matches!(refused(text), RangesError::Malformed { line: at, .. } if at == line));
        }
    }
}
