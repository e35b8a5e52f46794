//! `key=value,key=value`: one line of CSV, as `--secret`, `--output` and the cache's flags take it.

use crate::error::{CliError, Result};

/// What is there, in its order; keys in lower case.
pub(super) type Fields = Vec<(String, String)>;

/// Splits at commas; `"a,b"` keeps one, and `""` within quotes is a quote.
pub(super) fn split(text: &str) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, behind) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)
                .ok_or_else(|| wrong(format!("a quote is not closed in {text:?}")))?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        parts.push(part);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(parts),
            None => return Err(wrong(format!("text behind a closing quote in {text:?}"))),
        }
    }
}

/// What is in quotes, and what stands behind them.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                value.push('"');
                rest = next;
            }
            None => return Some((value, rest)),
        }
    }
}

/// All of them as keys and values.
pub(super) fn parse(text: &str) -> Result<Fields> {
    split(text)?
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_ascii_lowercase(), value.to_owned())),
            None => Err(wrong(format!("invalid field '{field}' must be a key=value pair"))),
        })
        .collect()
}

/// Something that was written wrongly.
pub(super) fn wrong(text: impl Into<String>) -> CliError {
    CliError::Invalid(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_a_line_of_csv() {
        assert_eq!(split("a,b").unwrap(), ["a", "b"]);
        assert_eq!(split("").unwrap(), [""]);
        assert_eq!(split("\"name=a,b\",\"c=\"\"d\"\"\"").unwrap(), ["name=a,b", "c=\"d\""]);
        assert!(split("\"x").is_err());
        assert!(split("\"x\"y").is_err());
        assert_eq!(
            parse("ID=x,src=/a=b").unwrap(),
            [("id".to_owned(), "x".to_owned()), ("src".to_owned(), "/a=b".to_owned())]
        );
        assert_eq!(
            parse("id").unwrap_err().to_string(),
            "invalid field 'id' must be a key=value pair"
        );
    }
}
