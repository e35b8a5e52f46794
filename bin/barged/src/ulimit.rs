//! `--default-ulimit`: `NAME=SOFT[:HARD]`, with Docker's words for what is wrong.

use barge_api_types::Ulimit;

/// Why a text is no ulimit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UlimitError {
    /// It has no `=`.
    #[error("invalid ulimit argument: {0}")]
    Malformed(String),
    /// There is no such limit.
    #[error("invalid ulimit type: {0}")]
    Unknown(String),
    /// Not one or two numbers.
    #[error("invalid ulimit value: {0}")]
    Value(String),
    /// The wrong way round.
    #[error("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")]
    Order {
        /// What it warns at.
        soft: i64,
        /// What it ends at.
        hard: i64,
    },
}

/// Parses one; -1 is no limit.
pub(crate) fn parse(text: &str) -> Result<Ulimit, UlimitError> {
    let (name, values) =
        text.split_once('=').ok_or_else(|| UlimitError::Malformed(text.to_owned()))?;
    if !barge_types::ulimit::is_known(name) {
        return Err(UlimitError::Unknown(name.to_owned()));
    }
    let number =
        |text: &str| text.parse::<i64>().map_err(|_| UlimitError::Value(values.to_owned()));
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    let is_ordered = hard == -1 || (soft != -1 && soft <= hard);
    if !is_ordered {
        return Err(UlimitError::Order { soft, hard });
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_both_limits() {
        assert_eq!(parse("nofile=5"), Ok(Ulimit { name: "nofile".into(), soft: 5, hard: 5 }));
        assert_eq!(parse("core=-1:-1"), Ok(Ulimit { name: "core".into(), soft: -1, hard: -1 }));
        assert_eq!(parse("core=7:-1"), Ok(Ulimit { name: "core".into(), soft: 7, hard: -1 }));
    }

    #[test]
    fn others_are_refused_in_dockers_words() {
        let text = |text| parse(text).unwrap_err().to_string();
        assert_eq!(text("nofile"), "invalid ulimit argument: nofile");
        assert_eq!(text("files=1"), "invalid ulimit type: files");
        assert_eq!(text("nofile=a"), "invalid ulimit value: a");
        assert_eq!(text("nofile=1:2:3"), "invalid ulimit value: 1:2:3");
        assert_eq!(
            text("nofile=2:1"),
            "ulimit soft limit must be less than or equal to hard limit: 2 > 1"
        );
        assert!(text("nofile=-1:5").starts_with("ulimit soft limit must be"));
    }
}
