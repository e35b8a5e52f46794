//! Truth as Docker's users write it.

/// What Go's `strconv.ParseBool` takes.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_words_are_taken_and_no_others() {
        assert_eq!(["1", "T", "True"].map(parse_bool), [Some(true); 3]);
        assert_eq!(["0", "f", "FALSE"].map(parse_bool), [Some(false); 3]);
        assert_eq!(["", "yes", "tRUE", " true"].map(parse_bool), [None; 4]);
    }
}
