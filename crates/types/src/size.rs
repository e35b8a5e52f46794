//! Sizes as people type them (`100m`, `1.5GiB`) and as they read them (`12.3MB`).

/// The text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid size: '{text}'")]
pub struct SizeError {
    text: String,
}

/// Bytes of memory: every unit is a power of 1024, also `kB` and `MB`, as Docker's `--memory` has it.
pub fn parse_bytes(text: &str) -> Result<u64, SizeError> {
    let wrong = || SizeError { text: text.to_owned() };
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(wrong()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(wrong);
    }
    let value = number.parse::<f64>().map_err(|_| wrong())? * f64::from(2).powi(shift);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range; fractions of a byte are dropped"
    )]
    if value.is_finite() && value >= 0.0 && value < 2_f64.powi(63) {
        Ok(value as u64)
    } else {
        Err(wrong())
    }
}

/// A size with decimal units and three or four significant digits, as `docker images` prints.
#[must_use]
pub fn human_decimal(bytes: u64) -> String {
    human(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 4)
}

/// A size with binary units, as `docker stats` prints.
#[must_use]
pub fn human_binary(bytes: u64) -> String {
    human(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

/// A size with decimal units and three significant digits, as `docker ps --size` prints.
#[must_use]
pub fn human_decimal_short(bytes: u64) -> String {
    human(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 3)
}

fn human(bytes: u64, base: f64, units: &[&str], precision: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, precision), units[unit])
}

/// As C's `%.Ng`: so many significant digits, without trailing zeros.
fn significant(value: f64, precision: usize) -> String {
    let whole_digits = format!("{value:.0}").len();
    let text = format!("{value:.*}", precision.saturating_sub(whole_digits));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, bytes) in [
            ("100MB", 104_857_600),
            ("6m", 6_291_456),
            ("1.5g", 1_610_612_736),
            ("42", 42),
            ("32 kB", 32768),
            ("0", 0),
            ("7b", 7),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_by_name() {
        for text in ["", "m", "-1m", "1x", "1..5m", "99999999999999p", "1 2m", "nan"] {
            assert_eq!(
                parse_bytes(text).unwrap_err().to_string(),
                format!("invalid size: '{text}'")
            );
        }
    }

    #[test]
    fn sizes_read_as_dockers() {
        assert_eq!(human_decimal(0), "0B");
        assert_eq!(human_decimal(4_269_678), "4.27MB");
        assert_eq!(human_decimal(1_240_000), "1.24MB");
        assert_eq!(human_decimal(999), "999B");
        assert_eq!(human_decimal_short(1_085_345), "1.09MB");
        assert_eq!(human_binary(104_857_600), "100MiB");
    }
}
