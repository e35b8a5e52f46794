//! The options of `json-file`.
//!
//! Docker never rotates this log unless told, and a chatty container fills the disk. Here a log is
//! 100 MB at most before it is rotated and five files are kept, unless the user says otherwise;
//! `max-size=-1` is Docker's default.

use std::collections::BTreeMap;

use crate::error::LogError;

/// How a `json-file` log is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonFileConfig {
    /// A file that has reached this many bytes is not written to any more; none means it grows for
    /// ever.
    pub max_size: Option<u64>,
    /// How many files there are, the current one among them. With 1 the file is emptied when it is
    /// full.
    pub max_files: u32,
}

impl Default for JsonFileConfig {
    fn default() -> Self {
        Self { max_size: Some(100_000_000), max_files: 5 }
    }
}

impl JsonFileConfig {
    /// Checks the options. Those about attributes are for [`crate::attributes()`].
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, LogError> {
        let mut config = Self::default();
        for (option, value) in options {
            match option.as_str() {
                "max-size" => config.max_size = parse_max_size(value)?,
                "max-file" => config.max_files = parse_max_file(value)?,
                "compress" => check_compress(value)?,
                // Docker's two ways to hand messages to a driver. Here the process that reads the
                // output writes the file, so that nothing waits and nothing is dropped in either.
                "mode" => check_mode(value)?,
                "max-buffer-size" => check_buffer_size(value, options)?,
                "labels" | "labels-regex" | "env" | "env-regex" | "tag" => {}
                _ => {
                    return Err(LogError::UnknownOption {
                        driver: super::JsonFile::NAME,
                        option: option.clone(),
                    });
                }
            }
        }
        Ok(config)
    }
}

fn parse_max_size(value: &str) -> Result<Option<u64>, LogError> {
    if value == "-1" {
        return Ok(None);
    }
    match parse_decimal_size(value) {
        Some(0) => Err(LogError::bad_option("max-size must be a positive number")),
        Some(size) => Ok(Some(size)),
        None => Err(LogError::bad_option(format!("invalid size: '{value}'"))),
    }
}

/// A number and a decimal unit: `10m` is ten million, as Docker reads log sizes.
fn parse_decimal_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let scale: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "p" => 1_000_000_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let mut size = whole;
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        size = size.checked_add(u64::from(digit.to_digit(10)?).checked_mul(place)?)?;
    }
    Some(size)
}

fn parse_max_file(value: &str) -> Result<u32, LogError> {
    let number: i64 = value.parse().map_err(|_| {
        LogError::bad_option(format!("strconv.Atoi: parsing \"{value}\": invalid syntax"))
    })?;
    match u32::try_from(number) {
        Ok(number) if number >= 1 => Ok(number),
        Ok(_) | Err(_) => Err(LogError::bad_option("max-file cannot be less than 1")),
    }
}

fn check_compress(value: &str) -> Result<(), LogError> {
    match value {
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(()),
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Err(LogError::bad_option(
            "compress of rotated json-file logs is not supported: rotated files stay as they are",
        )),
        _ => Err(LogError::bad_option(format!(
            "strconv.ParseBool: parsing \"{value}\": invalid syntax"
        ))),
    }
}

fn check_mode(value: &str) -> Result<(), LogError> {
    match value {
        "blocking" | "non-blocking" => Ok(()),
        _ => Err(LogError::bad_option(format!("logger: logging mode not supported: {value}"))),
    }
}

fn check_buffer_size(value: &str, options: &BTreeMap<String, String>) -> Result<(), LogError> {
    if options.get("mode").map(String::as_str) != Some("non-blocking") {
        return Err(LogError::bad_option(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ));
    }
    match parse_decimal_size(value) {
        Some(_) => Ok(()),
        None => Err(LogError::bad_option(format!(
            "error parsing option max-buffer-size: invalid size: '{value}'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<JsonFileConfig, String> {
        let options = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        JsonFileConfig::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_is_bounded_unless_asked() {
        let config = parse(&[]).unwrap();
        assert_eq!(config, JsonFileConfig { max_size: Some(100_000_000), max_files: 5 });
        assert_eq!(parse(&[("max-size", "-1")]).unwrap().max_size, None);
    }

    #[test]
    fn sizes_are_decimal() {
        for (text, size) in [
            ("10", 10),
            ("10b", 10),
            ("10k", 10_000),
            ("1.5m", 1_500_000),
            ("2 MB", 2_000_000),
            ("1g", 1_000_000_000),
        ] {
            assert_eq!(parse(&[("max-size", text)]).unwrap().max_size, Some(size), "{text}");
        }
    }

    #[test]
    fn refusals_are_in_dockers_words() {
        for (option, value, text) in [
            ("max-sze", "1", "unknown log opt 'max-sze' for json-file log driver"),
            ("max-size", "much", "invalid size: 'much'"),
            ("max-size", "0", "max-size must be a positive number"),
            ("max-file", "0", "max-file cannot be less than 1"),
            ("max-file", "-3", "max-file cannot be less than 1"),
            ("max-file", "x", "strconv.Atoi: parsing \"x\": invalid syntax"),
            ("compress", "maybe", "strconv.ParseBool: parsing \"maybe\": invalid syntax"),
            ("mode", "x", "logger: logging mode not supported: x"),
            (
                "max-buffer-size",
                "4m",
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            ),
        ] {
            assert_eq!(parse(&[(option, value)]).unwrap_err(), text);
        }
    }
}
