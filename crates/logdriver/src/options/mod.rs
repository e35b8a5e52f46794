//! The options of log drivers as the user writes them. The texts of refusals are Docker's.

mod rotation;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::LogError;

pub use rotation::RotationConfig;
pub(crate) use rotation::RotationNames;

/// The options of one driver.
pub(crate) type Options = BTreeMap<String, String>;

/// What a unit of sizes stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Units {
    /// `k` is 1000.
    Decimal,
    /// `k` is 1024.
    Binary,
}

/// The option's text, unless it is empty.
pub(crate) fn given<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    options.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// A number and a unit: `10m`.
pub(crate) fn parse_size(text: &str, units: Units) -> Result<u64, LogError> {
    size(text, units).ok_or_else(|| LogError::bad_option(format!("invalid size: '{text}'")))
}

fn size(text: &str, units: Units) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let base: u64 = match units {
        Units::Decimal => 1000,
        Units::Binary => 1024,
    };
    let scale = base.pow(power);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut size = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.chars() {
        let digit = u64::from(digit.to_digit(10)?);
        size = size.checked_add(digit.checked_mul(place)? / 10)?;
        place /= 10;
    }
    Some(size)
}

/// As Go reads truth.
pub(crate) fn parse_bool(text: &str) -> Result<bool, LogError> {
    barge_types::parse_bool(text).ok_or_else(|| {
        LogError::bad_option(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax"))
    })
}

/// Whether an option is on; what is not given is off.
pub(crate) fn is_on(options: &Options, name: &str) -> Result<bool, LogError> {
    given(options, name).map_or(Ok(false), parse_bool)
}

/// As Go reads numbers.
pub(crate) fn parse_number(text: &str) -> Result<i64, LogError> {
    text.parse().map_err(|_| {
        LogError::bad_option(format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))
    })
}

/// As Go reads spans of time, without sign: `1.5s`, `1m30s`, `100ms`, `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, LogError> {
    duration(text).ok_or_else(|| LogError::bad_option(format!("time: invalid duration \"{text}\"")))
}

fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, after) = behind.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let span = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(span)?;
        rest = after;
    }
    Some(total)
}

/// What happens to messages that come faster than their driver takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    /// The container waits, for a bounded time.
    #[default]
    Blocking,
    /// They are dropped when so many bytes wait.
    NonBlocking {
        /// Bytes.
        buffer: u64,
    },
}

impl Mode {
    /// The options `mode` and `max-buffer-size`, which every driver has.
    pub(crate) fn parse(options: &Options) -> Result<Self, LogError> {
        const BUFFER: &str = "max-buffer-size";
        let mode = options.get("mode").map_or("", String::as_str);
        if !matches!(mode, "" | "blocking" | "non-blocking") {
            return Err(LogError::bad_option(format!(
                "logger: logging mode not supported: {mode}"
            )));
        }
        let size = options.get(BUFFER);
        if size.is_some() && mode != "non-blocking" {
            return Err(LogError::bad_option(format!(
                "logger: {BUFFER} option is only supported with 'mode=non-blocking'"
            )));
        }
        if mode != "non-blocking" {
            return Ok(Self::Blocking);
        }
        let buffer = size.map_or(Ok(1024 * 1024), |text| {
            parse_size(text, Units::Binary).map_err(|error| {
                LogError::bad_option(format!("error parsing option {BUFFER}: {error}"))
            })
        })?;
        Ok(Self::NonBlocking { buffer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_or_binary_units() {
        for (text, decimal, binary) in [
            ("10", 10, 10),
            ("10b", 10, 10),
            ("10k", 10_000, 10_240),
            ("1.5m", 1_500_000, 1_572_864),
            ("2 MB", 2_000_000, 2_097_152),
            ("1g", 1_000_000_000, 1 << 30),
        ] {
            assert_eq!(parse_size(text, Units::Decimal).unwrap(), decimal, "{text}");
            assert_eq!(parse_size(text, Units::Binary).unwrap(), binary, "{text}");
        }
        for text in ["", "m", "1x", "-1", "99999999999p"] {
            assert!(parse_size(text, Units::Binary).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_of_time_are_gos() {
        for (text, milliseconds) in
            [("0", 0), ("100ms", 100), ("1.5s", 1500), ("1m30s", 90_000), ("2h", 7_200_000)]
        {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_millis(milliseconds),
                "{text}"
            );
        }
        for text in ["", "1", "s", "1x", "-1s", "1s1"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mode_says_whether_messages_may_be_dropped() {
        let parse = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Mode::parse(&pairs.collect()).map_err(|error| error.to_string())
        };
        let dropping = |buffer| Ok(Mode::NonBlocking { buffer });
        assert_eq!(parse(&[]), Ok(Mode::Blocking));
        assert_eq!(parse(&[("mode", "non-blocking")]), dropping(1 << 20));
        assert_eq!(parse(&[("mode", "non-blocking"), ("max-buffer-size", "4k")]), dropping(4096));
        assert_eq!(parse(&[("mode", "x")]).unwrap_err(), "logger: logging mode not supported: x");
        assert_eq!(
            parse(&[("max-buffer-size", "4m")]).unwrap_err(),
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
        );
        assert_eq!(
            parse(&[("mode", "non-blocking"), ("max-buffer-size", "x")]).unwrap_err(),
            "error parsing option max-buffer-size: invalid size: 'x'"
        );
    }
}
