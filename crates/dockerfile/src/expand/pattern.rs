//! Patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and escaped letters.
//!
//! Positions are kept as a set, so the work is pattern × value, and that is limited.

/// The most that pattern × value may be.
const MOST_WORK: usize = 1 << 26;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Char(char),
    Any,
    Star,
}

/// Which of several matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Shortest,
    Longest,
}

#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    pub(super) fn parse(text: &str, escape: char) -> Self {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(letter) = chars.next() {
            match letter {
                '*' if parts.last() == Some(&Part::Star) => {}
                '*' => parts.push(Part::Star),
                '?' => parts.push(Part::Any),
                letter if letter == escape => {
                    parts.push(Part::Char(chars.next().unwrap_or(letter)));
                }
                other => parts.push(Part::Char(other)),
            }
        }
        Self { parts }
    }

    fn check(&self, value: &str) -> Result<(), String> {
        if self.parts.len().saturating_mul(value.len()) > MOST_WORK {
            return Err("the pattern and the value are too long".to_owned());
        }
        Ok(())
    }

    /// Without what matches at its start.
    pub(super) fn trim_start(&self, value: &str, reach: Reach) -> Result<String, String> {
        self.check(value)?;
        let letters: Vec<char> = value.chars().collect();
        let length = reached(&self.parts, letters.iter().copied(), reach).unwrap_or(0);
        Ok(letters[length..].iter().collect())
    }

    /// Without what matches at its end.
    pub(super) fn trim_end(&self, value: &str, reach: Reach) -> Result<String, String> {
        self.check(value)?;
        let parts: Vec<Part> = self.parts.iter().rev().copied().collect();
        let letters: Vec<char> = value.chars().collect();
        let length = reached(&parts, letters.iter().rev().copied(), reach).unwrap_or(0);
        Ok(letters[..letters.len() - length].iter().collect())
    }

    /// With something else for the first matches, each as long as can be; says how much longer than the value it may have
    /// become, `left` at most.
    pub(super) fn replace(
        &self,
        value: &str,
        (by, most): (&str, usize),
        left: usize,
    ) -> Result<(String, usize), String> {
        self.check(value)?;
        if self.parts.is_empty() {
            return Ok((value.to_owned(), 0));
        }
        if value.is_empty() && self.parts == [Part::Star] {
            return Ok((by.to_owned(), by.len()));
        }
        let letters: Vec<char> = value.chars().collect();
        let (mut output, mut added, mut at, mut done) = (String::new(), 0, 0, 0);
        while at < letters.len() {
            let found = (done < most).then(|| self.at(&letters[at..])).flatten();
            match found {
                Some(length) if length > 0 => {
                    added += by.len();
                    if added > left {
                        return Err("what it expands to is too long".to_owned());
                    }
                    output.push_str(by);
                    done += 1;
                    at += length;
                    // A star took everything up to the last place where the rest fits: there is none after it.
                    if self.has_star() {
                        break;
                    }
                }
                // Where the letters before the star fit but not the rest, it fits nowhere further on.
                None if done < most && self.has_star() && self.head_fits(&letters[at..]) => break,
                Some(_) | None => {
                    output.push(letters[at]);
                    at += 1;
                }
            }
        }
        output.extend(&letters[at..]);
        Ok((output, added))
    }

    fn has_star(&self) -> bool {
        self.parts.contains(&Part::Star)
    }

    /// Whether the parts before the first star fit.
    fn head_fits(&self, letters: &[char]) -> bool {
        let head = self.parts.iter().take_while(|part| **part != Part::Star);
        let mut letters = letters.iter();
        head.into_iter().all(|part| letters.next().is_some_and(|letter| fits(*part, *letter)))
    }

    /// The length of the longest match at the start of some letters.
    fn at(&self, letters: &[char]) -> Option<usize> {
        if !self.head_fits(letters) {
            return None;
        }
        if !self.has_star() {
            return Some(self.parts.len());
        }
        reached(&self.parts, letters.iter().copied(), Reach::Longest)
    }
}

fn fits(part: Part, letter: char) -> bool {
    match part {
        Part::Char(wanted) => wanted == letter,
        Part::Any | Part::Star => true,
    }
}

/// How many letters the parts match from the start on.
fn reached(parts: &[Part], letters: impl Iterator<Item = char>, reach: Reach) -> Option<usize> {
    let mut here = vec![false; parts.len() + 1];
    let mut next = here.clone();
    here[0] = true;
    pass_stars(parts, &mut here);
    let mut found = here[parts.len()].then_some(0);
    for (index, letter) in letters.enumerate() {
        if found.is_some() && reach == Reach::Shortest || !here.contains(&true) {
            break;
        }
        next.fill(false);
        for (place, part) in parts.iter().enumerate().filter(|(place, _)| here[*place]) {
            let to = if *part == Part::Star { place } else { place + 1 };
            next[to] |= fits(*part, letter);
        }
        pass_stars(parts, &mut next);
        std::mem::swap(&mut here, &mut next);
        if here[parts.len()] {
            found = Some(index + 1);
        }
    }
    found
}

fn pass_stars(parts: &[Part], here: &mut [bool]) {
    for (place, part) in parts.iter().enumerate() {
        if here[place] && *part == Part::Star {
            here[place + 1] = true;
        }
    }
}
