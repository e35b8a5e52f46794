//! Paths and query strings: names and filters as they stand in a URL.

use std::fmt::{Display, Write as _};

use barge_api_types::Filters;

/// A path with its query, being put together.
#[derive(Debug)]
pub(crate) struct Path {
    text: String,
    separator: char,
}

impl Path {
    /// The path of literal and escaped parts: `["containers", id, "json"]`; the version comes in
    /// front when it is sent.
    pub(crate) fn new(segments: &[&str]) -> Self {
        let mut text = String::new();
        for segment in segments {
            text.push('/');
            escape(segment, &mut text);
        }
        Self { text, separator: '?' }
    }

    /// Adds a parameter.
    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.text.push(self.separator);
        self.separator = '&';
        self.text.push_str(name);
        self.text.push('=');
        escape_value(&value.to_string(), &mut self.text);
        self
    }

    /// Adds a parameter when there is a value.
    pub(crate) fn with_some(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds `name=1` when set.
    pub(crate) fn with_flag(self, (name, set): (&str, bool)) -> Self {
        if set { self.with(name, 1) } else { self }
    }

    /// Adds the filters, if any.
    pub(crate) fn with_filters(self, filters: &Filters) -> Self {
        if filters.is_empty() { self } else { self.with("filters", filters.to_query()) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Escapes a path segment; `/`, `:` and `@` stay, because image names are paths
/// (`localhost:5000/a/b@sha256:…`).
fn escape(text: &str, out: &mut String) {
    escape_except(text, b"-._~/:@", out);
}

fn escape_value(text: &str, out: &mut String) {
    escape_except(text, b"-._~", out);
}

fn escape_except(text: &str, kept: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(out, "%{byte:02X}").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_escaped() {
        let path = Path::new(&["containers", "a b?c", "json"])
            .with("name", "x&y=z/ü")
            .with_flag(("size", true))
            .with_flag(("all", false))
            .with_some("limit", None::<u32>);
        assert_eq!(path.as_str(), "/containers/a%20b%3Fc/json?name=x%26y%3Dz%2F%C3%BC&size=1");
    }

    #[test]
    fn image_names_stay_paths() {
        assert_eq!(
            Path::new(&["images", "localhost:5000/a/b:1", "json"]).as_str(),
            "/images/localhost:5000/a/b:1/json"
        );
    }

    #[test]
    fn no_filters_are_no_parameter() {
        let mut filters = Filters::default();
        assert_eq!(Path::new(&["x"]).with_filters(&filters).as_str(), "/x");
        filters.add("status", "exited");
        assert_eq!(
            Path::new(&["x"]).with_filters(&filters).as_str(),
            "/x?filters=%7B%22status%22%3A%7B%22exited%22%3Atrue%7D%7D"
        );
    }
}
