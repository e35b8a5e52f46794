//! Words as a shell reads them, numbers as people write them.

use std::fmt::Write as _;

/// A word that a POSIX shell reads as exactly this.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `512m` where that is exact.
pub(super) fn bytes(count: i64) -> String {
    for (unit, letter) in [(1 << 30, 'g'), (1 << 20, 'm'), (1 << 10, 'k')] {
        if count > 0 && count % unit == 0 {
            return format!("{}{letter}", count / unit);
        }
    }
    count.to_string()
}

/// Thousand millionths as a decimal: `0.5`.
pub(super) fn cpus(nano: i64) -> String {
    const UNIT: i64 = 1_000_000_000;
    let mut text = (nano / UNIT).to_string();
    if nano % UNIT != 0 {
        // To a string nothing fails.
        write!(text, ".{:09}", nano % UNIT).ok();
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

/// Nanoseconds as Go writes a duration: in the largest unit that is exact.
pub(super) fn duration(nano: i64) -> String {
    const UNITS: [(i64, &str); 5] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    UNITS
        .iter()
        .find(|(unit, _)| nano % unit == 0)
        .map_or_else(|| format!("{nano}ns"), |(unit, name)| format!("{}{name}", nano / unit))
}

/// A field of CSV.
pub(super) fn csv_field(field: &str) -> String {
    if field.contains([',', '"']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// `k=v`, `k` for an empty value.
pub(super) fn pair((key, value): (&String, &String)) -> String {
    if value.is_empty() { key.clone() } else { format!("{key}={value}") }
}
