//! Moments as Docker writes them in logs: RFC 3339 in UTC.
//!
//! Moments are nanoseconds since 1970. Written by hand because it happens once per line of output,
//! in a process that is to stay small.

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// The text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse {text:?} as a time")]
pub struct TimeError {
    text: String,
}

/// `2006-01-02T15:04:05.999999999Z`, without the fraction's last zeros.
pub fn format_rfc3339(nanos: i64) -> String {
    let mut out = Vec::with_capacity(30);
    append_rfc3339(&mut out, nanos);
    ascii(out)
}

/// `2006-01-02T15:04:05.000000000Z`, always nine digits, as `logs --timestamps` has it.
pub fn format_fixed(nanos: i64) -> String {
    let mut out = Vec::with_capacity(30);
    append_seconds(&mut out, nanos.div_euclid(SECOND));
    out.push(b'.');
    append_digits(&mut out, nanos.rem_euclid(SECOND).unsigned_abs(), 9);
    out.push(b'Z');
    ascii(out)
}

/// `2006-01-02T15:04:05+01:00`, with so many digits of the fraction, `offset` seconds east of UTC.
pub(crate) fn append_offset_time(out: &mut Vec<u8>, (nanos, digits): (i64, u32), offset: i64) {
    append_seconds(out, nanos.div_euclid(SECOND) + offset);
    if digits > 0 {
        out.push(b'.');
        let fraction = nanos.rem_euclid(SECOND).unsigned_abs() / 10_u64.pow(9 - digits);
        append_digits(out, fraction, usize::try_from(digits).unwrap_or(0));
    }
    if offset == 0 {
        out.push(b'Z');
        return;
    }
    out.push(if offset < 0 { b'-' } else { b'+' });
    append_digits(out, offset.unsigned_abs() / 3600, 2);
    out.push(b':');
    append_digits(out, offset.unsigned_abs() / 60 % 60, 2);
}

/// `Jan _2 15:04:05`, as syslog has always had it.
pub(crate) fn append_clock(out: &mut Vec<u8>, nanos: i64, offset: i64) {
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let seconds = nanos.div_euclid(SECOND) + offset;
    let (_, month, day) = civil(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY).unsigned_abs();
    let month = usize::try_from(month - 1).ok().and_then(|place| MONTHS.get(place));
    out.extend_from_slice(month.map_or(b"Jan", |name| *name));
    out.extend_from_slice(if day < 10 { b"  " } else { b" " });
    append_digits(out, day.unsigned_abs(), if day < 10 { 1 } else { 2 });
    out.push(b' ');
    append_digits(out, second / 3600, 2);
    out.push(b':');
    append_digits(out, second / 60 % 60, 2);
    out.push(b':');
    append_digits(out, second % 60, 2);
}

/// How far this machine's clock is from UTC; asked for once a second.
#[derive(Debug, Default)]
pub(crate) struct LocalTime {
    second: Option<i64>,
    offset: i64,
}

impl LocalTime {
    pub(crate) fn offset(&mut self, nanos: i64) -> i64 {
        let second = nanos.div_euclid(SECOND);
        if self.second != Some(second) {
            self.second = Some(second);
            self.offset = barge_sys::clock::utc_offset(second);
        }
        self.offset
    }
}

pub(crate) fn append_rfc3339(out: &mut Vec<u8>, nanos: i64) {
    append_seconds(out, nanos.div_euclid(SECOND));
    let fraction = nanos.rem_euclid(SECOND).unsigned_abs();
    if fraction != 0 {
        out.push(b'.');
        append_digits(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// The text of the last moment: all lines of one read have the same.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    moment: i64,
    text: Vec<u8>,
}

impl Stamp {
    pub(crate) fn rfc3339(&mut self, nanos: i64) -> &[u8] {
        if self.moment != nanos || self.text.is_empty() {
            self.moment = nanos;
            self.text.clear();
            append_rfc3339(&mut self.text, nanos);
        }
        &self.text
    }
}

fn ascii(out: Vec<u8>) -> String {
    out.into_iter().map(char::from).collect()
}

fn append_seconds(out: &mut Vec<u8>, seconds: i64) {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY).unsigned_abs();
    append_digits(out, year.unsigned_abs(), 4);
    out.push(b'-');
    append_digits(out, month.unsigned_abs(), 2);
    out.push(b'-');
    append_digits(out, day.unsigned_abs(), 2);
    out.push(b'T');
    append_digits(out, second / 3600, 2);
    out.push(b':');
    append_digits(out, second / 60 % 60, 2);
    out.push(b':');
    append_digits(out, second % 60, 2);
}

fn append_digits(out: &mut Vec<u8>, number: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    let mut rest = number;
    for place in out[start..].iter_mut().rev() {
        *place += u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

/// The day of the Gregorian calendar that is this many days after 1970-01-01, counted in eras of
/// 400 years that begin in March, so that the leap day is the last one.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Reads `2006-01-02T15:04:05[.fraction](Z|±hh:mm)`; digits beyond the nanosecond are cut off.
pub fn parse_rfc3339(text: &str) -> Result<i64, TimeError> {
    parse(text.as_bytes()).ok_or_else(|| TimeError { text: text.to_owned() })
}

fn parse(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(19)?;
    let at = |place: usize, byte: u8| (date[place] == byte).then_some(());
    at(4, b'-')?;
    at(7, b'-')?;
    at(10, b'T').or_else(|| at(10, b't'))?;
    at(13, b':')?;
    at(16, b':')?;
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..10])?);
    let (hour, minute, second) =
        (number(&date[11..13])?, number(&date[14..16])?, number(&date[17..19])?);
    let days = days_from_civil(year, month, day);
    if hour > 23 || minute > 59 || second > 59 || civil(days) != (year, month, day) {
        return None;
    }
    let (fraction, zone) = split_fraction(rest)?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

fn split_fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, zone) = digits.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    Some((nanos, zone))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_709_164_800 * SECOND + 120_000_000, "2024-02-29T00:00:00.12Z"),
            (1_709_251_200 * SECOND, "2024-03-01T00:00:00Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
            (4_102_444_799 * SECOND + 999_999_999, "2099-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(format_rfc3339(nanos), text);
            assert_eq!(parse_rfc3339(text), Ok(nanos));
        }
        assert_eq!(format_fixed(120_000_000), "1970-01-01T00:00:00.120000000Z");
    }

    #[test]
    fn moments_are_written_as_syslog_wants_them() {
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        let moment = 1_709_251_199 * SECOND + 123_456_789;
        for (offset, seconds, micros, clock) in [
            (0, "2024-02-29T23:59:59Z", "2024-02-29T23:59:59.123456Z", "Feb 29 23:59:59"),
            (
                3600,
                "2024-03-01T00:59:59+01:00",
                "2024-03-01T00:59:59.123456+01:00",
                "Mar  1 00:59:59",
            ),
            (
                -19_800,
                "2024-02-29T18:29:59-05:30",
                "2024-02-29T18:29:59.123456-05:30",
                "Feb 29 18:29:59",
            ),
        ] {
            assert_eq!(text(&|out| append_offset_time(out, (moment, 0), offset)), seconds);
            assert_eq!(text(&|out| append_offset_time(out, (moment, 6), offset)), micros);
            assert_eq!(text(&|out| append_clock(out, moment, offset)), clock);
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_read_back() {
        for day in -60_000..90_000 {
            let nanos = day * DAY * SECOND + 3_723 * SECOND;
            assert_eq!(parse_rfc3339(&format_rfc3339(nanos)), Ok(nanos));
        }
    }

    #[test]
    fn other_zones_and_long_fractions_are_read() {
        assert_eq!(parse_rfc3339("1970-01-01T02:00:00+02:00"), Ok(0));
        assert_eq!(parse_rfc3339("1969-12-31T22:30:00-01:30"), Ok(0));
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00.1234567891Z"), Ok(123_456_789));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "yesterday",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-02-30T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+25:00",
            "1970-01-01T00:00:0äZ",
            "9999-01-01T00:00:00Z",
        ] {
            assert!(parse_rfc3339(text).is_err(), "{text}");
        }
    }
}
