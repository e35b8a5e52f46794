//! `HEALTHCHECK [OPTIONS] CMD …` and `HEALTHCHECK NONE`.

use barge_oci::image::Healthcheck;

use super::{json_words, wrong};
use crate::error::Result;

/// Shorter times are refused, as by Docker: the kernel and the probe need that long.
const SHORTEST: i64 = 1_000_000;

pub(super) fn parse(text: &str) -> Result<Healthcheck> {
    let mut check = Healthcheck::default();
    let mut rest = text;
    while rest.starts_with("--") {
        let (option, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        let Some((name, value)) = option.split_once('=') else {
            return wrong(format!("Missing a value on flag: {}", &option[2..]));
        };
        match name {
            "--interval" => check.interval = time("interval", value)?,
            "--timeout" => check.timeout = time("timeout", value)?,
            "--start-period" => check.start_period = time("start-period", value)?,
            "--start-interval" => check.start_interval = time("start-interval", value)?,
            "--retries" => match value.parse::<i64>() {
                Ok(retries) if retries >= 0 => check.retries = retries,
                _ => return wrong(format!("--retries cannot be {value:?}")),
            },
            _ => return wrong(format!("Unknown flag: {}", &name[2..])),
        }
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    check.test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return wrong("HEALTHCHECK NONE takes no arguments"),
        "CMD" if command.is_empty() => return wrong("Missing command after HEALTHCHECK CMD"),
        "CMD" => match json_words(command) {
            Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        "" => return wrong("HEALTHCHECK requires at least one argument"),
        kind => return wrong(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)")),
    };
    Ok(check)
}

/// A time as Go writes it (`1h30m`, `1.5s`), in nanoseconds.
fn time(name: &str, text: &str) -> Result<i64> {
    match nanoseconds(text) {
        Some(0) => Ok(0),
        Some(time) if time < SHORTEST => {
            wrong(format!("Interval {name:?} cannot be less than 1ms"))
        }
        Some(time) => Ok(time),
        None => wrong(format!("time: invalid duration {text:?}")),
    }
}

fn nanoseconds(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut sum: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: i64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        sum = sum.checked_add(scaled(number, scale)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// A decimal number times a unit, without going through floating point.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut sum = match whole {
        "" => 0,
        whole => whole.parse::<i64>().ok()?.checked_mul(scale)?,
    };
    let mut unit = scale;
    for digit in fraction.chars() {
        unit /= 10;
        sum = sum.checked_add(i64::from(digit.to_digit(10)?).checked_mul(unit)?)?;
    }
    Some(sum)
}
