//! Query parameters, read as Go's `net/url` and Docker's `httputils` read them.

use std::borrow::Cow;

use barge_api_types::Filters;

use crate::status::ApiError;

/// The parsed query of a request; keys may repeat, the first value of a key counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses `a=1&b=x%20y`. A pair with a broken escape is dropped, as Go drops it.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(key)?, unescape(value)?))
        });
        Self(pairs.collect())
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
fn unescape(text: &str) -> Option<String> {
    let spaces =
        if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode(&spaces)
}

/// Undoes `%41`; `None` for a broken escape or when the bytes are not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unescaped() {
        let query = Query::parse("a=x%20y+z&b&c=%C3%A4&names=1&names=2&bad=%zz");
        assert_eq!(query.text("a"), "x y z");
        assert_eq!(query.get("b"), Some(""));
        assert_eq!(query.text("c"), "ä");
        assert_eq!(query.all("names"), ["1", "2"]);
        assert_eq!(query.get("bad"), None);
        assert_eq!(query.filled("b"), None);
    }

    #[test]
    fn truth_is_dockers() {
        for text in ["all=1", "all=true", "all=True", "all=yes", "all=x"] {
            assert!(Query::parse(text).flag("all"), "{text}");
        }
        for text in ["", "all", "all=0", "all=False", "all=no", "all=none", "all=%20"] {
            assert!(!Query::parse(text).flag("all"), "{text}");
        }
        assert!(Query::parse("").flag_or("stream", true));
        assert!(!Query::parse("stream=0").flag_or("stream", true));
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(Query::parse("t=-1").number::<i64>("t").unwrap(), Some(-1));
        assert_eq!(Query::parse("").number::<i64>("t").unwrap(), None);
        assert!(Query::parse("t=x").number::<i64>("t").is_err());
        assert!(Query::parse("h=70000").number::<u16>("h").is_err());
    }
}
