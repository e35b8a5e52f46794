//! `--filter name=value`, as every listing takes it.

use barge_api_types::Filters;

/// The text is no filter.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("bad format of filter (expected name=value)")]
pub(crate) struct FilterError;

/// One `name=value`; names are lower case, blanks around both do not count.
pub(crate) fn filter(text: &str) -> Result<(String, String), FilterError> {
    let (name, value) = text.split_once('=').ok_or(FilterError)?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// All filters of a command line.
pub(crate) fn collect(filters: Vec<(String, String)>) -> Filters {
    let mut all = Filters::default();
    for (name, value) in filters {
        all.add(name, value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_name_and_a_value() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(filter("Status= exited"), pair("status", "exited"));
        assert_eq!(filter("label=a=b"), pair("label", "a=b"));
        assert_eq!(filter("x"), Err(FilterError));
    }
}
