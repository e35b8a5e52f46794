//! Query parameters, read as Go's `net/url` and Docker's `httputils` read them.

use std::borrow::Cow;

use barge_api_types::Filters;

use crate::status::ApiError;

/// The parsed query of a request; keys may repeat, the first value of a key counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses `a=1&b=x%20y`. A broken escape is an error, as in Go's `ParseForm`: without its filter, a prune would take
    /// what its client wanted to keep. Bytes that are no text are shown as such, which nothing is called.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((unescape(key)?, unescape(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The first value of `key`, empty when there is none.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// The first value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The first value of `key` when it is not empty.
    pub(crate) fn filled(&self, key: &str) -> Option<String> {
        self.get(key).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// Every value of `key`.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.clone()).collect()
    }

    /// Docker's idea of truth: everything but nothing, `0`, `no`, `false` and `none`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        !matches!(
            self.text(key).trim().to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// [`Query::flag`] with a default for a missing key.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> bool {
        if self.get(key).is_some() { self.flag(key) } else { default }
    }

    /// A number; `None` when it is missing or empty.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, ApiError> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                ApiError::invalid(format!("invalid value for {key}: \"{text}\": invalid syntax"))
            }),
        }
    }

    /// The `filters` parameter.
    pub(crate) fn filters(&self) -> Result<Filters, ApiError> {
        Filters::parse(self.text("filters")).map_err(|error| ApiError::invalid(error.to_string()))
    }
}

/// Undoes query escapes, `+` included.
fn unescape(text: &str) -> Result<String, ApiError> {
    let spaces =
        if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let bytes = decode(&spaces)
        .map_err(|escape| ApiError::invalid(format!("invalid URL escape \"{escape}\"")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Undoes `%41`; `None` for a broken escape or when the bytes are not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    String::from_utf8(decode(text).ok()?).ok()
}

/// Undoes `%41`; an error is the escape that is none.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            out.push(byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let digits = digits.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(value) = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) else {
            let shown = &rest[..rest.len().min(3)];
            return Err(String::from_utf8_lossy(shown).into_owned());
        };
        out.push(value);
        rest = &after[2..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Query {
        Query::parse(text).unwrap()
    }

    #[test]
    fn a_broken_escape_is_an_error_that_shows_it() {
        for (text, shown) in [("a=%zz", "%zz"), ("a=1&%", "%"), ("a=%4", "%4"), ("a=%ä", "%ä")] {
            let error = Query::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid URL escape \"{shown}\""));
        }
    }

    #[test]
    fn values_are_unescaped() {
        let query = parse("a=x%20y+z&b&c=%C3%A4&names=1&names=2&bytes=%ff");
        assert_eq!(query.text("a"), "x y z");
        assert_eq!(query.get("b"), Some(""));
        assert_eq!(query.text("c"), "ä");
        assert_eq!(query.all("names"), ["1", "2"]);
        assert_eq!(query.get("bytes"), Some("\u{fffd}"));
        assert_eq!(query.filled("b"), None);
    }

    #[test]
    fn truth_is_dockers() {
        for text in ["all=1", "all=true", "all=True", "all=yes", "all=x"] {
            assert!(parse(text).flag("all"), "{text}");
        }
        for text in ["", "all", "all=0", "all=False", "all=no", "all=none", "all=%20"] {
            assert!(!parse(text).flag("all"), "{text}");
        }
        assert!(parse("").flag_or("stream", true));
        assert!(!parse("stream=0").flag_or("stream", true));
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(parse("t=-1").number::<i64>("t").unwrap(), Some(-1));
        assert_eq!(parse("").number::<i64>("t").unwrap(), None);
        assert!(parse("t=x").number::<i64>("t").is_err());
        assert!(parse("h=70000").number::<u16>("h").is_err());
    }
}
