//! Words of an instruction: quotes, escapes and variables, as a Dockerfile has them.

use super::wrong;
use crate::error::Result;

/// Splits at white space outside quotes; quotes and escapes stay.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' if quote != Some('\'') => {
                word.push(c);
                word.extend(characters.next());
            }
            '\'' | '"' => {
                match quote {
                    None => quote = Some(c),
                    Some(open) if open == c => quote = None,
                    Some(_) => {}
                }
                word.push(c);
            }
            c if c.is_whitespace() && quote.is_none() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Words, expanded.
pub(super) fn list(text: &str, env: &[String]) -> Result<Vec<String>> {
    split(text).iter().map(|word| expand(word, env)).collect()
}

/// `k=v k2="v 2"`, or the old form `k the rest`.
pub(super) fn pairs(
    instruction: &str,
    text: &str,
    env: &[String],
) -> Result<Vec<(String, String)>> {
    let words = split(text);
    let Some(first) = words.first() else {
        return wrong(format!("{instruction} requires at least one argument"));
    };
    if !first.contains('=') {
        let Some((key, value)) = text.split_once(char::is_whitespace) else {
            return wrong(format!("{instruction} must have two arguments"));
        };
        return Ok(vec![(expand(key, env)?, expand(value.trim(), env)?)]);
    }
    let mut pairs = Vec::new();
    for word in &words {
        let Some((key, value)) = word.split_once('=') else {
            return wrong(format!(
                "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
            ));
        };
        let key = expand(key, env)?;
        if key.is_empty() {
            return wrong(format!("{instruction} names can not be blank"));
        }
        pairs.push((key, expand(value, env)?));
    }
    Ok(pairs)
}

/// Takes quotes and escapes away and puts variables in.
pub(super) fn expand(text: &str, env: &[String]) -> Result<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    let mut is_in_quotes = false;
    while let Some(c) = characters.get(at).copied() {
        at += 1;
        match c {
            '\'' if !is_in_quotes => {
                let Some(end) = position(&characters, at, '\'') else {
                    return wrong(format!(
                        "unexpected end of statement while looking for matching single-quote in {text:?}"
                    ));
                };
                out.extend(&characters[at..end]);
                at = end + 1;
            }
            '"' => is_in_quotes = !is_in_quotes,
            '\\' => {
                let next = characters.get(at).copied();
                at += 1;
                match next {
                    // In double quotes a backslash is one, except before what it can quote.
                    Some(next) if is_in_quotes && !matches!(next, '"' | '$' | '\\') => {
                        out.push('\\');
                        out.push(next);
                    }
                    Some(next) => out.push(next),
                    None => out.push('\\'),
                }
            }
            '$' => at = variable(&characters, at, env, &mut out)?,
            c => out.push(c),
        }
    }
    if is_in_quotes {
        return wrong(format!(
            "unexpected end of statement while looking for matching double-quote in {text:?}"
        ));
    }
    Ok(out)
}

fn position(characters: &[char], from: usize, wanted: char) -> Option<usize> {
    characters.iter().skip(from).position(|c| *c == wanted).map(|at| at + from)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `$NAME`, `${NAME}`, `${NAME:-otherwise}`, `${NAME:+instead}`; `at` is after the dollar. Returns
/// where to go on.
fn variable(characters: &[char], at: usize, env: &[String], out: &mut String) -> Result<usize> {
    if characters.get(at) != Some(&'{') {
        let end = at + characters.iter().skip(at).take_while(|c| is_name(**c)).count();
        if end == at {
            out.push('$');
        } else {
            let name: String = characters[at..end].iter().collect();
            out.push_str(lookup(&name, env).unwrap_or_default());
        }
        return Ok(end);
    }
    let Some(end) = position(characters, at, '}') else {
        return wrong("syntax error: missing '}'");
    };
    let inner: String = characters[at + 1..end].iter().collect();
    let name_length = inner.chars().take_while(|c| is_name(*c)).count();
    let (name, modifier) = inner.split_at(name_length);
    let value = lookup(name, env).filter(|value| !value.is_empty());
    match (name, modifier.get(..2), modifier.get(2..)) {
        ("", ..) => return wrong("syntax error: bad substitution"),
        (_, None, _) if modifier.is_empty() => out.push_str(value.unwrap_or_default()),
        (_, Some(":-"), Some(otherwise)) => match value {
            Some(value) => out.push_str(value),
            None => out.push_str(&expand(otherwise, env)?),
        },
        (_, Some(":+"), Some(instead)) => {
            if value.is_some() {
                out.push_str(&expand(instead, env)?);
            }
        }
        _ => return wrong(format!("unsupported modifier ({modifier}) in substitution")),
    }
    Ok(end + 1)
}

fn lookup<'a>(name: &str, env: &'a [String]) -> Option<&'a str> {
    env.iter()
        .find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, v)| v)
}
