//! Sizes, CPUs and ulimits.

use barge_api_types::Ulimit;
use barge_types::{size, ulimit as limits};

use super::text::Refused;
use crate::flags::{ParseError, integer};

/// `--memory` and the like.
pub(in crate::commands) fn bytes(text: &str) -> Result<i64, Refused> {
    let refused = || Refused(format!("invalid size: '{text}'"));
    let bytes = size::parse_bytes(text).map_err(|_| refused())?;
    i64::try_from(bytes).map_err(|_| refused())
}

/// `--memory-swap`: -1 is no limit.
pub(in crate::commands) fn swap_bytes(text: &str) -> Result<i64, Refused> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// `--cpus`: thousand millionths of a CPU.
pub(in crate::commands) fn nano_cpus(text: &str) -> Result<i64, Refused> {
    const CPU: i64 = 1_000_000_000;
    let refused = || Refused(format!("failed to parse {text} as a rational number"));
    if let Some((above, below)) = text.split_once('/') {
        let above: i64 = above.parse().map_err(|_| refused())?;
        let below: i64 = below.parse().ok().filter(|&below| below > 0).ok_or_else(refused)?;
        let nano = above.checked_mul(CPU).ok_or_else(refused)?;
        if nano % below != 0 {
            return Err(Refused("value is too precise".to_owned()));
        }
        return Ok(nano / below);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.len() == digits.matches('.').count() || !is_number(whole) || !is_number(fraction) {
        return Err(refused());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(Refused("value is too precise".to_owned()));
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| refused())? };
    // Nine digits fit.
    let fraction: i64 = format!("{fraction:0<9}").parse().map_err(|_| refused())?;
    let nano =
        whole.checked_mul(CPU).and_then(|nano| nano.checked_add(fraction)).ok_or_else(refused)?;
    Ok(if negative { -nano } else { nano })
}

/// `--ulimit name=soft[:hard]`
pub(in crate::commands) fn ulimit(text: &str) -> Result<Ulimit, Refused> {
    let (name, all) =
        text.split_once('=').ok_or_else(|| Refused(format!("invalid ulimit argument: {text}")))?;
    if !limits::is_known(name) {
        return Err(Refused(format!("invalid ulimit type: {name}")));
    }
    let number = |text: &str| integer(text).map_err(|error: ParseError| Refused(error.to_string()));
    let mut values = all.split(':');
    let soft = number(values.next().unwrap_or_default())?;
    let hard = values.next().map_or(Ok(soft), number)?;
    if values.next().is_some() {
        return Err(Refused(format!(
            "too many limit value arguments - {all}, can only have up to two, `soft[:hard]`"
        )));
    }
    if hard != -1 && soft == -1 {
        return Err(Refused(format!(
            "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: {hard}"
        )));
    }
    if hard != -1 && soft > hard {
        return Err(Refused(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn sizes_may_have_units() {
        assert_eq!(bytes("100MB"), Ok(104_857_600));
        assert_eq!(swap_bytes("-1"), Ok(-1));
        assert_eq!(refusal(bytes("x")), "invalid size: 'x'");
        assert_eq!(refusal(bytes("-1")), "invalid size: '-1'");
        assert_eq!(refusal(swap_bytes("-2")), "invalid size: '-2'");
    }

    #[test]
    fn cpus_are_exact() {
        for (text, nano) in [
            ("0.1", 100_000_000),
            ("2", 2_000_000_000),
            (".5", 500_000_000),
            ("1.", 1_000_000_000),
            ("1/4", 250_000_000),
            ("-1", -1_000_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(nano_cpus(text), Ok(nano), "{text}");
        }
        for text in ["x", "", ".", "1.x", "1/0", "1e"] {
            assert_eq!(
                refusal(nano_cpus(text)),
                format!("failed to parse {text} as a rational number")
            );
        }
        assert_eq!(refusal(nano_cpus("1.0000000001")), "value is too precise");
    }

    #[test]
    fn ulimits_have_one_or_two_values() {
        let limit = |soft, hard| Ulimit { name: "nofile".to_owned(), hard, soft };
        assert_eq!(ulimit("nofile=5"), Ok(limit(5, 5)));
        assert_eq!(ulimit("nofile=5:9"), Ok(limit(5, 9)));
        assert_eq!(ulimit("nofile=5:-1"), Ok(limit(5, -1)));
        for (text, message) in [
            ("x", "invalid ulimit argument: x"),
            ("foo=1", "invalid ulimit type: foo"),
            ("nofile=a", "strconv.ParseInt: parsing \"a\": invalid syntax"),
            ("nofile=5:3", "ulimit soft limit must be less than or equal to hard limit: 5 > 3"),
            (
                "nofile=1:2:3",
                "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
            ),
        ] {
            assert_eq!(refusal(ulimit(text)), message);
        }
    }
}
