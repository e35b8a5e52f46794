//! Moments as the API writes them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What Go prints for a moment that never was.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// RFC 3339 with as many digits of nanoseconds as needed, in UTC (Go's `RFC3339Nano`).
pub(crate) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| NEVER.to_owned(), |stamp| stamp.to_string())
}

/// A moment in seconds (with fraction) since 1970, in RFC 3339 (of which the zone and the time of the day
/// may be left out), or a duration before now (`10m`), as `--since` takes.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    if let Some((seconds, fraction)) = text.split_once('.').or(Some((text, "0"))) {
        let nanos = format!("{fraction:0<9.9}").parse::<u32>();
        if let (Ok(seconds), Ok(nanos)) = (seconds.parse::<u64>(), nanos) {
            return SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos));
        }
    }
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Some(stamp.into());
    }
    // A day, or a day and a time, where the daemon is.
    if let Ok(there) = text.parse::<jiff::civil::DateTime>() {
        return there.to_zoned(TimeZone::system()).ok().map(|there| there.timestamp().into());
    }
    let span = text.parse::<jiff::SignedDuration>().ok()?;
    SystemTime::now().checked_sub(Duration::try_from(span).ok()?)
}

/// A span as Go prints it: `1m30s`, `1.5s`, `500ms`.
pub(crate) fn go_duration(span: Duration) -> String {
    let decimal = |value: u64, unit: u64| {
        let (whole, rest) = (value / unit, value % unit);
        let digits = unit.ilog10() as usize;
        let text = format!("{whole}.{rest:0digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let seconds = span.as_secs();
    let nanos = u64::from(span.subsec_nanos());
    if seconds == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
            _ => format!("{}ms", decimal(nanos, 1_000_000)),
        };
    }
    let rest = decimal((seconds % 60) * 1_000_000_000 + nanos, 1_000_000_000);
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// Seconds and nanoseconds since 1970; zero for what lies before.
pub(crate) fn unix(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970.
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    i64::try_from(unix(time).as_secs()).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970.
pub(crate) fn unix_nanos(time: SystemTime) -> i64 {
    i64::try_from(unix(time).as_nanos()).unwrap_or(i64::MAX)
}

/// Reads what [`rfc3339`] wrote.
pub(crate) fn from_rfc3339(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_rfc3339_are_the_same_moment() {
        let moment = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 500_000_000);
        assert_eq!(parse("1700000000.5"), Some(moment));
        assert_eq!(parse("2023-11-14T22:13:20.5Z"), Some(moment));
        assert_eq!(from_rfc3339(&rfc3339(moment)), Some(moment));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn spans_are_written_as_by_go() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (500_000_000, "500ms"),
            (1_050_000_000, "1.05s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn a_duration_lies_before_now() {
        let before = parse("1h").unwrap();
        assert!(before < SystemTime::now());
    }
}
