//! The `filters` parameter: `{"label": {"a=b": true}}`, or before API 1.22 `{"label": ["a=b"]}`.
//!
//! Keys are or'ed within and and'ed between; what a key means is the list's own business.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Parsed filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

/// Why a filter was refused; the texts are Docker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// Not JSON of either form.
    Malformed(String),
    /// A key that the list does not know.
    UnknownKey(String),
    /// A value that the key cannot have.
    BadValue {
        /// The key.
        key: String,
        /// All its values.
        values: Vec<String>,
    },
}

impl std::fmt::Display for FilterError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(reason) => write!(out, "invalid filter: {reason}"),
            Self::UnknownKey(key) => write!(out, "invalid filter '{key}'"),
            Self::BadValue { key, values } => {
                write!(out, "invalid filter '{key}=[{}]'", values.join(" "))
            }
        }
    }
}

impl std::error::Error for FilterError {}

impl Filters {
    /// Reads the query parameter; an empty text is no filter.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Map(BTreeMap<String, bool>),
            List(Vec<String>),
            Null,
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let parsed: BTreeMap<String, Form> = serde_json::from_str(text)
            .map_err(|error| FilterError::Malformed(error.to_string()))?;
        let values = |form| match form {
            Form::Map(map) => map.into_keys().collect(),
            Form::List(list) => list.into_iter().collect(),
            Form::Null => BTreeSet::new(),
        };
        Ok(Self(parsed.into_iter().map(|(key, form)| (key, values(form))).collect()))
    }

    /// The form that clients send; empty filters are an empty text.
    pub fn to_query(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let value: BTreeMap<&str, BTreeMap<&str, bool>> = self
            .0
            .iter()
            .map(|(key, values)| {
                (key.as_str(), values.iter().map(|value| (value.as_str(), true)).collect())
            })
            .collect();
        serde_json::to_string(&value).unwrap_or_default()
    }

    /// Adds one value.
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.entry(key.into()).or_default().insert(value.into());
    }

    /// Whether there is no filter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` was given.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The values of `key`, sorted; none when it was not given.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    /// The keys that were given.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Refuses keys outside `accepted`.
    pub fn check_keys(&self, accepted: &[&str]) -> Result<(), FilterError> {
        match self.keys().find(|key| !accepted.contains(key)) {
            Some(key) => Err(FilterError::UnknownKey(key.to_owned())),
            None => Ok(()),
        }
    }

    /// Whether `value` is one of the key's values, or the key was not given.
    pub fn matches(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_none_or(|values| values.is_empty() || values.contains(value))
    }

    /// A yes-or-no key (`dangling`); `None` when it was not given.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, FilterError> {
        let Some(values) = self.0.get(key) else {
            return Ok(None);
        };
        let bad = || FilterError::BadValue {
            key: key.to_owned(),
            values: values.iter().cloned().collect(),
        };
        let mut found = None;
        for value in values {
            let value = match value.as_str() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(bad()),
            };
            if found.is_some_and(|found| found != value) {
                return Err(bad());
            }
            found = Some(value);
        }
        found.map(Some).ok_or_else(bad)
    }

    /// Whether `labels` have every label that `key` (`label`) asks for, by name or `name=value`.
    pub fn matches_labels(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(key).all(|wanted| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
            None => labels.contains_key(wanted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same() {
        let new = Filters::parse(r#"{"name":{"x":true},"status":{"running":true,"exited":true}}"#);
        let old = Filters::parse(r#"{"name":["x"],"status":["exited","running"]}"#);
        assert_eq!(new, old);
        assert_eq!(new.unwrap().values("status").collect::<Vec<_>>(), ["exited", "running"]);
    }

    #[test]
    fn nothing_is_no_filter() {
        assert!(Filters::parse("").unwrap().is_empty());
        assert!(Filters::parse("{}").unwrap().is_empty());
        assert!(Filters::parse(r#"{"a":null}"#).unwrap().contains("a"));
    }

    #[test]
    fn malformed_filters_are_refused() {
        for text in ["x", "[]", r#"{"a":1}"#, r#"{"a":"b"}"#] {
            assert!(matches!(Filters::parse(text), Err(FilterError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn query_form_is_what_the_client_sends() {
        let mut filters = Filters::default();
        assert_eq!(filters.to_query(), "");
        filters.add("name", "x");
        filters.add("status", "running");
        assert_eq!(filters.to_query(), r#"{"name":{"x":true},"status":{"running":true}}"#);
        assert_eq!(Filters::parse(&filters.to_query()).unwrap(), filters);
    }

    #[test]
    fn unknown_keys_are_named() {
        let filters = Filters::parse(r#"{"nane":{"x":true}}"#).unwrap();
        let error = filters.check_keys(&["name", "id"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'nane'");
        assert!(filters.check_keys(&["nane"]).is_ok());
    }

    #[test]
    fn flags_accept_what_docker_accepts() {
        let flag = |text: &str| Filters::parse(text).unwrap().flag("dangling");
        assert_eq!(flag(r#"{"dangling":{"true":true}}"#), Ok(Some(true)));
        assert_eq!(flag(r#"{"dangling":{"0":true}}"#), Ok(Some(false)));
        assert_eq!(flag("{}"), Ok(None));
        for text in
            [r#"{"dangling":{"x":true}}"#, r#"{"dangling":["0","1"]}"#, r#"{"dangling":{}}"#]
        {
            assert!(flag(text).is_err(), "{text}");
        }
        let error = flag(r#"{"dangling":{"x":true}}"#).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'dangling=[x]'");
    }

    #[test]
    fn every_label_must_match() {
        let labels =
            BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let matches = |text: &str| Filters::parse(text).unwrap().matches_labels("label", &labels);
        assert!(matches(r#"{"label":["a","b"]}"#));
        assert!(matches(r#"{"label":["a=1"]}"#));
        assert!(!matches(r#"{"label":["a=2"]}"#));
        assert!(!matches(r#"{"label":["a","c"]}"#));
        assert!(matches("{}"));
    }
}
