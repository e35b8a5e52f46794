//! Reads a text from left to right and writes what it means.

use std::collections::BTreeSet;

use super::pattern::{Pattern, Reach};
use super::{DEEPEST, Expander, MOST_ADDED, Quotes, Unset};

/// An error's reason.
type Result<T> = std::result::Result<T, String>;

/// What comes out: as one text, and as words.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) text: String,
    words: Vec<String>,
    word: Option<String>,
}

impl Output {
    /// A letter that ends a word when it is white space.
    fn plain(&mut self, letter: char) {
        self.text.push(letter);
        if letter.is_whitespace() {
            self.words.extend(self.word.take());
        } else {
            self.word.get_or_insert_default().push(letter);
        }
    }

    /// Text that is part of a word whatever it is.
    fn quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.get_or_insert_default().push_str(text);
    }

    pub(super) fn into_words(mut self) -> Vec<String> {
        self.words.extend(self.word);
        self.words
    }
}

/// Whether escapes stay in the text: patterns need them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Remove,
    Keep,
}

/// What ends a text.
#[derive(Clone, Copy)]
struct Until {
    stop: Option<char>,
    escapes: Escapes,
}

/// The state of reading.
pub(super) struct Machine<'e> {
    expander: &'e Expander<'e>,
    rest: &'e str,
    depth: u32,
    left: usize,
    pub(super) used: BTreeSet<String>,
    pub(super) missing: BTreeSet<String>,
}

impl<'e> Machine<'e> {
    pub(super) fn new(expander: &'e Expander<'e>, text: &'e str) -> Self {
        let (used, missing) = (BTreeSet::new(), BTreeSet::new());
        let left = text.len().saturating_add(MOST_ADDED);
        Self { expander, rest: text, depth: 0, left, used, missing }
    }

    /// The whole text.
    pub(super) fn run(&mut self) -> Result<Output> {
        let escapes = match self.expander.quotes {
            Quotes::Keep => Escapes::Keep,
            Quotes::Remove | Quotes::Literal => Escapes::Remove,
        };
        self.until(Until { stop: None, escapes })
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(letter)
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes note of how much came out.
    fn pay(&mut self, length: usize) -> Result<()> {
        let left = self.left.checked_sub(length);
        self.left = left.ok_or_else(|| "what it expands to is too long".to_owned())?;
        Ok(())
    }

    fn until(&mut self, until: Until) -> Result<Output> {
        let mut output = Output::default();
        while let Some(letter) = self.next() {
            if until.stop == Some(letter) {
                return Ok(output);
            }
            match letter {
                '\'' | '"' if self.expander.quotes != Quotes::Literal => {
                    let text = self.quote(letter, until)?;
                    output.quoted(&text);
                }
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|letter| output.plain(letter));
                }
                escape if escape == self.expander.escape => {
                    if until.escapes == Escapes::Keep {
                        output.quoted(escape.encode_utf8(&mut [0; 4]));
                    }
                    if let Some(letter) = self.next() {
                        output.quoted(letter.encode_utf8(&mut [0; 4]));
                    }
                }
                other => output.plain(other),
            }
        }
        match until.stop {
            None => Ok(output),
            Some('}') => Err("syntax error: missing '}'".to_owned()),
            Some(stop) => {
                Err(format!("unexpected end of statement while looking for matching {stop}"))
            }
        }
    }

    /// What is between quotes; the first one is read already.
    fn quote(&mut self, quote: char, until: Until) -> Result<String> {
        let mut text = String::new();
        let keeps = self.expander.quotes == Quotes::Keep;
        if keeps {
            text.push(quote);
        }
        loop {
            let Some(letter) = self.next() else {
                let name = if quote == '"' { "double" } else { "single" };
                return Err(format!(
                    "unexpected end of statement while looking for matching {name}-quote"
                ));
            };
            if letter == quote {
                break;
            }
            if quote == '"' && letter == '$' {
                text += &self.dollar()?;
            } else if quote == '"' && letter == self.expander.escape {
                let Some(escaped) = self.next() else {
                    continue;
                };
                let is_special = matches!(escaped, '"' | '$') || escaped == letter;
                if until.escapes == Escapes::Keep || !is_special {
                    text.push(letter);
                }
                text.push(escaped);
            } else {
                text.push(letter);
            }
        }
        if keeps {
            text.push(quote);
        }
        Ok(text)
    }

    /// A variable; `$` is read already.
    fn dollar(&mut self) -> Result<String> {
        if self.depth == DEEPEST {
            return Err(format!("substitutions are nested more than {DEEPEST} deep"));
        }
        let before = self.rest;
        if !self.next_if('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return match self.get(name)? {
                Some(value) => Ok(value),
                None => Ok(self.without(name, before)),
            };
        }
        self.depth += 1;
        let value = self.braces(before);
        self.depth -= 1;
        value
    }

    /// `${name…}`; up to the brace it is read already, `before` begins with the brace.
    fn braces(&mut self, before: &'e str) -> Result<String> {
        match self.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err("syntax error: missing '}'".to_owned()),
            Some('}') => match self.get(name)? {
                Some(value) => Ok(value),
                None => Ok(self.without(name, before)),
            },
            Some(':') => match self.next() {
                Some(sign @ ('-' | '+' | '?')) => self.substitute(name, (sign, true), before),
                None => Err("syntax error: missing '}'".to_owned()),
                Some(other) => Err(unsupported(&format!(":{other}"), before)),
            },
            Some(sign @ ('-' | '+' | '?')) => self.substitute(name, (sign, false), before),
            Some(sign @ ('#' | '%')) => self.trim(name, sign, before),
            Some('/') => self.replace(name, before),
            Some(other) => Err(unsupported(&other.to_string(), before)),
        }
    }

    /// `${v:-w}` and its like; with `:` an empty value counts as none.
    fn substitute(
        &mut self,
        name: &str,
        (sign, empty_is_unset): (char, bool),
        before: &'e str,
    ) -> Result<String> {
        let value = (self.expander.lookup)(name);
        if value.is_some() {
            self.used.insert(name.to_owned());
        }
        let word = self.until(Until { stop: Some('}'), escapes: Escapes::Remove })?.text;
        if value.is_none() && self.expander.unset == Unset::Keep {
            return Ok(self.written(before));
        }
        let is_set = value.is_some();
        let value = value.filter(|value| !(empty_is_unset && value.is_empty()));
        let value = match (sign, value) {
            ('-', value) => value.unwrap_or(word),
            ('+', Some(_)) => word,
            ('+', None) => String::new(),
            (_, Some(value)) => value,
            (_, None) if !word.is_empty() => return Err(format!("{name}: {word}")),
            (_, None) => {
                let how = if is_set { "empty" } else { "unset" };
                return Err(format!("{name}: is not allowed to be {how}"));
            }
        };
        self.pay(value.len())?;
        Ok(value)
    }

    /// `${v#p}` and its like.
    fn trim(&mut self, name: &str, sign: char, before: &'e str) -> Result<String> {
        let reach = if self.next_if(sign) { Reach::Longest } else { Reach::Shortest };
        let pattern = self.until(Until { stop: Some('}'), escapes: Escapes::Keep })?.text;
        let Some(value) = self.get(name)? else {
            return Ok(self.without(name, before));
        };
        let pattern = Pattern::parse(&pattern, self.expander.escape);
        if sign == '#' {
            pattern.trim_start(&value, reach)
        } else {
            pattern.trim_end(&value, reach)
        }
    }

    /// `${v/p/r}` and `${v//p/r}`.
    fn replace(&mut self, name: &str, before: &'e str) -> Result<String> {
        let most = if self.next_if('/') { usize::MAX } else { 1 };
        let pattern = self.until(Until { stop: Some('/'), escapes: Escapes::Keep })?.text;
        let by = self.until(Until { stop: Some('}'), escapes: Escapes::Remove })?.text;
        let Some(value) = self.get(name)? else {
            return Ok(self.without(name, before));
        };
        let pattern = Pattern::parse(&pattern, self.expander.escape);
        let (value, added) = pattern.replace(&value, (&by, most), self.left)?;
        self.pay(added)?;
        Ok(value)
    }

    /// The name at this place, maybe an empty one.
    fn name(&mut self) -> &'e str {
        let text = self.rest;
        let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
        let length = match self.peek() {
            Some(first) if first.is_ascii_digit() => {
                text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len())
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            Some(first) if is_word(first) => {
                text.find(|letter| !is_word(letter)).unwrap_or(text.len())
            }
            Some(_) | None => 0,
        };
        self.rest = &text[length..];
        &text[..length]
    }

    fn get(&mut self, name: &str) -> Result<Option<String>> {
        let Some(value) = (self.expander.lookup)(name) else {
            return Ok(None);
        };
        self.used.insert(name.to_owned());
        self.pay(value.len())?;
        Ok(Some(value))
    }

    /// A variable that has no value.
    fn without(&mut self, name: &str, before: &'e str) -> String {
        self.missing.insert(name.to_owned());
        match self.expander.unset {
            Unset::Remove => String::new(),
            Unset::Keep => self.written(before),
        }
    }

    /// The variable as it stands, from `before` up to here.
    fn written(&self, before: &str) -> String {
        format!("${}", &before[..before.len() - self.rest.len()])
    }
}

fn unsupported(modifier: &str, before: &str) -> String {
    let near: String = before.chars().take(40).collect();
    format!("unsupported modifier ({modifier}) in substitution: ${near}")
}
