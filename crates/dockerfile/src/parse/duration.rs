//! Times as Go writes them: `1m30s`, `1.5h`.

/// Nanoseconds of a unit.
fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

/// Nanoseconds; nothing when it is no duration.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.');
        let (name, after) = after.split_at(end.unwrap_or(after.len()));
        total += number.parse::<f64>().ok()? * unit(name)?;
        rest = after;
    }
    let total = total * sign;
    // 2^63: what does not fit in 64 bits is no duration.
    if total.abs() >= 9.223_372_036_854_775e18 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it fits, and parts of nanoseconds go")]
    let nanoseconds = total.round() as i64;
    Some(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_are_read_as_go_does() {
        assert_eq!(parse("30s"), Some(30_000_000_000));
        assert_eq!(parse("1m30s"), Some(90_000_000_000));
        assert_eq!(parse("1.5h"), Some(5_400_000_000_000));
        assert_eq!(parse("250ms"), Some(250_000_000));
        assert_eq!(parse("-1s"), Some(-1_000_000_000));
        assert_eq!(parse("0"), Some(0));
        for bad in ["", "1", "s", "1x", "1.2.3s", "-", "999999999999h", "1s2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
