//! `--link`: another container under a name of this one's own.

use super::invalid;
use crate::error::Result;

/// One link of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkTo {
    /// Whom: a name or an id in a request, the id in a record, which no `rename` changes.
    pub(crate) target: String,
    /// What it is called here.
    pub(crate) alias: String,
}

impl LinkTo {
    /// Parses `NAME`, `NAME:ALIAS`, and what `inspect` shows: `/NAME:/OWN_NAME/ALIAS`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(invalid("empty string specified for links"));
        }
        let bad = || invalid(format!("bad format for links: {text}"));
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (target, alias) = match text.split_once(':') {
            None => (text, last(text)),
            Some((target, alias)) if target.starts_with('/') => (target, last(alias)),
            Some((target, alias)) => (target, alias.to_owned()),
        };
        // It becomes a word in a line of /etc/hosts and a part of a path.
        let is_bad = |letter: char| {
            letter.is_whitespace() || letter.is_control() || matches!(letter, '/' | ':' | '#')
        };
        if alias.is_empty() || alias.contains(is_bad) {
            return Err(bad());
        }
        Ok(Self { target: target.strip_prefix('/').unwrap_or(target).to_owned(), alias })
    }

    /// As a record has it.
    pub(crate) fn to_record(&self) -> String {
        format!("{}:{}", self.target, self.alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_name_or_two_or_what_inspect_shows() {
        for (text, target, alias) in [
            ("db", "db", "db"),
            ("db:postgres", "db", "postgres"),
            ("/db", "db", "db"),
            ("/db:/web/postgres", "db", "postgres"),
            ("web/db", "web/db", "db"),
            ("web/db:other", "web/db", "other"),
        ] {
            let link = LinkTo::parse(text).unwrap();
            assert_eq!((link.target.as_str(), link.alias.as_str()), (target, alias), "{text}");
            assert_eq!(LinkTo::parse(&link.to_record()).unwrap(), link);
        }
    }

    #[test]
    fn other_text_is_no_link() {
        let refusal = |text: &str| LinkTo::parse(text).unwrap_err().to_string();
        assert_eq!(refusal(""), "empty string specified for links");
        for text in ["a:b:c", "a:", "/", "/a:/b/", "a:b/c", "a:b c", "a:b\nc", "a:b#"] {
            assert_eq!(refusal(text), format!("bad format for links: {text}"));
        }
    }
}
