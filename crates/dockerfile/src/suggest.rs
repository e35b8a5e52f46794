//! What somebody may have meant who mistyped a word.

/// Words longer than this are not mistyped ones.
const LONGEST: usize = 64;

/// The one of `words` that is nearest to `word`, when it is near enough: up to two letters too many, missing or different,
/// a third of the word at most; letters' case does not count.
#[must_use]
pub fn suggest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if wanted.len() > LONGEST || wanted.is_empty() {
        return None;
    }
    let near = words.into_iter().filter(|known| *known != word && known.len() <= LONGEST * 4);
    let near = near.map(|known| (distance(&wanted, known), known));
    let (distance, known) = near.min_by_key(|(distance, _)| *distance)?;
    let allowed = (wanted.len().max(known.chars().count()).div_ceil(3)).min(2);
    (distance <= allowed).then_some(known)
}

/// Letters to add, drop, change or swap with their neighbour (optimal string alignment).
fn distance(one: &[char], other: &str) -> usize {
    let other: Vec<char> = other.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.iter().enumerate() {
        let mut row = vec![line + 1];
        for (column, there) in other.iter().enumerate() {
            let changed = above[column] + usize::from(letter != there);
            let mut best = changed.min(above[column + 1] + 1).min(row[column] + 1);
            let is_swap =
                line > 0 && column > 0 && *letter == other[column - 1] && one[line - 1] == *there;
            if is_swap {
                best = best.min(before[column - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTRUCTIONS: [&str; 4] = ["RUN", "FROM", "COPY", "ENTRYPOINT"];

    #[test]
    fn a_mistyped_word_is_recognised() {
        assert_eq!(suggest("RUNN", INSTRUCTIONS), Some("RUN"));
        assert_eq!(suggest("FORM", INSTRUCTIONS), Some("FROM"));
        assert_eq!(suggest("entrypiont", INSTRUCTIONS), Some("ENTRYPOINT"));
    }

    #[test]
    fn a_word_of_its_own_is_not() {
        assert_eq!(suggest("PORTABLE", INSTRUCTIONS), None);
        assert_eq!(suggest("X", INSTRUCTIONS), None);
        assert_eq!(suggest("", INSTRUCTIONS), None);
        assert_eq!(suggest(&"R".repeat(100_000), INSTRUCTIONS), None);
    }
}
