//! `HEALTHCHECK`.

use super::flags::{Flags, Kind};
use super::{Checked, Problem, command, duration, words};
use crate::ast::Healthcheck;

const FLAGS: [(&str, Kind); 5] = [
    ("interval", Kind::Text),
    ("timeout", Kind::Text),
    ("start-period", Kind::Text),
    ("start-interval", Kind::Text),
    ("retries", Kind::Text),
];
/// The shortest time that Docker takes.
const SHORTEST: i64 = 1_000_000;

pub(super) fn parse(flags: &[String], rest: &str) -> Checked<Healthcheck> {
    let (kind, rest) = words::first(rest);
    match kind.to_ascii_uppercase().as_str() {
        "" => Err(Problem::new("HEALTHCHECK requires at least one argument")),
        "NONE" => {
            if !rest.is_empty() {
                return Err(Problem::new("HEALTHCHECK NONE takes no arguments"));
            }
            // BuildKit looks at no flag of one that turns checks off.
            Ok(Healthcheck::None)
        }
        "CMD" => {
            let flags = Flags::parse(flags, &FLAGS)?;
            if rest.is_empty() {
                return Err(Problem::new("missing command after HEALTHCHECK CMD"));
            }
            Ok(Healthcheck::Command {
                command: command::parse(rest)?,
                interval: time(&flags, "interval")?,
                timeout: time(&flags, "timeout")?,
                start_period: time(&flags, "start-period")?,
                start_interval: time(&flags, "start-interval")?,
                retries: retries(&flags)?,
            })
        }
        _ => Err(Problem::new(format!("unknown type {kind:?} in HEALTHCHECK (try CMD)"))),
    }
}

fn time(flags: &Flags, name: &str) -> Checked<i64> {
    let Some(text) = flags.text(name).filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    let time = duration::parse(&text)
        .ok_or_else(|| Problem::new(format!("flag --{name}: invalid duration {text:?}")))?;
    if time != 0 && time < SHORTEST {
        return Err(Problem::new(format!("flag --{name}: {text} cannot be less than 1ms")));
    }
    Ok(time)
}

fn retries(flags: &Flags) -> Checked<i64> {
    let Some(text) = flags.text("retries").filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    let retries: i32 = text
        .parse()
        .map_err(|_| Problem::new(format!("flag --retries: {text:?} is not a number")))?;
    if retries < 0 {
        return Err(Problem::new(format!("--retries cannot be negative ({retries})")));
    }
    Ok(i64::from(retries))
}
