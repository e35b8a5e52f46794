//! Points in time: what `--since` takes, and how listings print them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::duration;
use crate::error::{CliError, Result};

/// Seconds since 1970, now.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
}

/// `--since` and `--until`: a time, a date, seconds, or how long ago; as the API takes it.
pub(crate) fn api_time(text: &str) -> Result<String> {
    // A duration as well, but nobody means the present.
    if text == "0" {
        return Ok(text.to_owned());
    }
    if let Ok(ago) = duration::parse(text) {
        let now = Timestamp::now().as_nanosecond();
        return Ok(seconds(now - i128::from(ago)));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(seconds(time.as_nanosecond()));
    }
    if let Ok(time) = text.parse::<civil::DateTime>() {
        // A date or time without zone is meant in ours.
        if let Ok(zoned) = time.to_zoned(TimeZone::system()) {
            return Ok(seconds(zoned.timestamp().as_nanosecond()));
        }
    }
    let number = text.split_once('.').map_or(text, |(whole, _)| whole);
    if !text.is_empty() && number.parse::<i64>().is_ok() && text.parse::<f64>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(CliError::Invalid(format!("failed to parse value as time or duration: {text:?}")))
}

fn seconds(nanoseconds: i128) -> String {
    const SECOND: i128 = 1_000_000_000;
    let (whole, fraction) = (nanoseconds.div_euclid(SECOND), nanoseconds.rem_euclid(SECOND));
    format!("{whole}.{fraction:09}")
}

/// As Go prints a time: `2024-05-01 12:00:00 +0200 CEST`, in our zone.
pub(crate) fn go_time(seconds: i64) -> String {
    local(seconds)
        .map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string())
}

/// As Docker prints a history's time: `2024-05-01T12:00:00+02:00`.
pub(crate) fn rfc3339(seconds: i64) -> String {
    local(seconds).map_or_else(String::new, |time| {
        utc_as_z(time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    })
}

fn utc_as_z(text: String) -> String {
    match text.strip_suffix("+00:00") {
        Some(utc) => format!("{utc}Z"),
        None => text,
    }
}

/// The same with nanoseconds, as `events` prints it.
pub(crate) fn rfc3339_nano(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map_or_else(
        |_| String::new(),
        |time| {
            let time = time.to_zoned(TimeZone::system());
            utc_as_z(time.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string())
        },
    )
}

/// The API's RFC 3339 text as Go prints a time in UTC; another text stays as it is.
pub(crate) fn go_time_utc(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(
        |_| text.to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string(),
    )
}

/// Seconds since 1970 of the API's RFC 3339 text.
pub(crate) fn seconds_of(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn local(seconds: i64) -> Option<Zoned> {
    let time = Timestamp::from_second(seconds).ok()?;
    Some(time.to_zoned(TimeZone::system()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_the_api_are_seconds() {
        for (text, seconds) in [
            ("2024-01-01T00:00:00Z", "1704067200.000000000"),
            ("2024-01-01T01:00:00.5+01:00", "1704067200.500000000"),
            ("1704067200", "1704067200"),
            ("1704067200.25", "1704067200.25"),
        ] {
            assert_eq!(api_time(text).unwrap(), seconds, "{text}");
        }
        let ago: f64 = api_time("10m").unwrap().parse().unwrap();
        assert!((now() as f64 - 600.0 - ago).abs() < 5.0);
        assert!(api_time("2024-01-01").is_ok());
        assert_eq!(
            api_time("x").unwrap_err().to_string(),
            "failed to parse value as time or duration: \"x\""
        );
    }

    #[test]
    fn times_read_as_gos() {
        assert_eq!(go_time_utc("2024-01-01T01:00:00.5+01:00"), "2024-01-01 00:00:00.5 +0000 UTC");
        assert_eq!(go_time_utc("2024-01-01T00:00:00Z"), "2024-01-01 00:00:00 +0000 UTC");
        assert_eq!(go_time_utc("x"), "x");
    }
}
