//! `--chmod`: octal, or symbolic as of `chmod(1)` (`u=rwX,go-w`), applied to each file's own mode.

use super::error::{FilesError, Result};

/// What becomes of modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChmodSpec(Spec);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Spec {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

/// One `ugo+rwx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clause {
    /// Bits of the classes that it is about: 0o4700, 0o2070, 0o1007.
    who: u32,
    operator: Operator,
    /// The permissions, for every class.
    bits: u32,
    /// `X`.
    folders_execute: bool,
    /// `u`, `g`, `o` on the right side: the mode's own bits of that class.
    copied: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;

impl ChmodSpec {
    /// Reads a `--chmod`.
    ///
    /// # Errors
    /// [`FilesError::Mode`].
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || FilesError::Mode { text: text.to_owned() };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).map_err(|_| wrong())?;
            return if mode <= 0o7777 { Ok(Self(Spec::Octal(mode))) } else { Err(wrong()) };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            parse_part(part, &mut clauses).ok_or_else(wrong)?;
        }
        Ok(Self(Spec::Symbolic(clauses)))
    }

    /// The mode of something that has `mode`.
    pub(crate) fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        match &self.0 {
            Spec::Octal(octal) => *octal,
            Spec::Symbolic(clauses) => {
                clauses.iter().fold(mode & 0o7777, |mode, clause| clause.apply(mode, is_folder))
            }
        }
    }
}

impl Clause {
    fn apply(self, mode: u32, is_folder: bool) -> u32 {
        let mut bits = self.bits;
        if self.folders_execute && (is_folder || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        if let Some(shift) = self.copied {
            let of_class = mode >> shift & 7;
            bits |= of_class << 6 | of_class << 3 | of_class;
        }
        let bits = bits & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            // Of folders, chmod(1) keeps the set-id bits that nobody mentions.
            Operator::Set if is_folder => mode & !(self.who & 0o1777) | bits,
            Operator::Set => mode & !self.who | bits,
        }
    }
}

fn parse_part(part: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let start = part.find(['+', '-', '='])?;
    let (classes, mut rest) = part.split_at(start);
    let mut who = 0;
    for class in classes.chars() {
        who |= match class {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => USER | GROUP | OTHERS,
            _ => return None,
        };
    }
    if classes.is_empty() {
        who = USER | GROUP | OTHERS;
    }
    while let Some(sign) = rest.chars().next() {
        let operator = match sign {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        rest = rest.get(1..)?;
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (letters, after) = rest.split_at(end);
        let mut clause = Clause { who, operator, bits: 0, folders_execute: false, copied: None };
        for letter in letters.chars() {
            match letter {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                'X' => clause.folders_execute = true,
                's' => clause.bits |= 0o6000,
                't' => clause.bits |= 0o1000,
                'u' if letters.len() == 1 => clause.copied = Some(6),
                'g' if letters.len() == 1 => clause.copied = Some(3),
                'o' if letters.len() == 1 => clause.copied = Some(0),
                _ => return None,
            }
        }
        // `+t` is about others in the table above, and about everybody as people write it.
        if clause.bits & 0o1000 != 0 {
            clause.who |= 0o1000;
        }
        clauses.push(clause);
        rest = after;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(spec: &str, mode: u32) -> u32 {
        ChmodSpec::parse(spec).unwrap().apply(mode, false)
    }

    #[test]
    fn octal_modes_replace() {
        assert_eq!(apply("755", 0o600), 0o755);
        assert_eq!(apply("04755", 0o600), 0o4755);
        assert_eq!(apply("0", 0o600), 0);
    }

    #[test]
    fn symbolic_modes_change_what_is_there() {
        assert_eq!(apply("u+x", 0o644), 0o744);
        assert_eq!(apply("go-rwx", 0o755), 0o700);
        assert_eq!(apply("a=r", 0o4755), 0o444);
        assert_eq!(apply("u=rwX,go=rX", 0o600), 0o644);
        assert_eq!(apply("u=rwX,go=rX", 0o700), 0o755);
        assert_eq!(apply("+x", 0o644), 0o755);
        assert_eq!(apply("u+s", 0o755), 0o4755);
        assert_eq!(apply("g+s,u+s", 0o755), 0o6755);
        assert_eq!(apply("+t", 0o755), 0o1755);
        assert_eq!(apply("g=u", 0o640), 0o660);
        assert_eq!(apply("u=rw+x", 0o000), 0o700);
        let folder = ChmodSpec::parse("a=rX").unwrap();
        assert_eq!(folder.apply(0o700, true), 0o555);
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "8", "77777", "u", "x+u", "u+q", "u+x,", "-1x", "u+rg"] {
            let error = ChmodSpec::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("invalid chmod parameter"), "{text}: {error}");
        }
    }
}
