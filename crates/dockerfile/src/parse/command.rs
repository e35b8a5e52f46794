//! Commands of `RUN`, `CMD`, `ENTRYPOINT` and `HEALTHCHECK`, in their two forms.

use super::flags::{Flags, Kind};
use super::words::Json;
use super::{Checked, Problem, device, mount, words};
use crate::ast::{Command, Heredoc, Run};
use crate::suggest::suggest;

const FLAGS: [(&str, Kind); 4] = [
    ("mount", Kind::List),
    ("network", Kind::Text),
    ("security", Kind::Text),
    ("device", Kind::List),
];
const NETWORKS: [&str; 3] = ["default", "none", "host"];
const SECURITIES: [&str; 2] = ["sandbox", "insecure"];

/// A JSON array is what is executed, everything else is for a shell.
pub(super) fn parse(rest: &str) -> Checked<Command> {
    match words::json(rest) {
        Json::Strings(words) => Ok(Command::Exec(words)),
        Json::Mixed => Err(mixed()),
        Json::No => Ok(Command::Shell(rest.trim().to_owned())),
    }
}

pub(super) fn mixed() -> Problem {
    Problem::new("when using JSON array syntax, arrays must be comprised of strings only")
}

pub(super) fn run(
    flags: &[String],
    (rest, escape): (&str, char),
    heredocs: &[Heredoc],
) -> Checked<Run> {
    let flags = Flags::parse(flags, &FLAGS)?;
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(Problem::new("RUN requires at least one argument"));
    }
    let mut run = Run {
        command: parse(rest)?,
        heredocs: Vec::new(),
        mounts: Vec::new(),
        network: one_of(&flags, "network", &NETWORKS)?,
        security: one_of(&flags, "security", &SECURITIES)?,
        devices: Vec::new(),
    };
    for text in flags.list("device") {
        run.devices.push(device::parse(&text)?);
    }
    for text in flags.list("mount") {
        run.mounts.push(mount::parse_mount(&text).map_err(mount::MountError::into_problem)?);
    }
    match heredocs {
        [] => {}
        [only] if words::quoted(rest, escape) == [rest] => {
            run.command = Command::Shell(only.content.clone());
            run.heredocs.push(only.clone());
        }
        several => run.command = Command::Shell(reunited(rest, several)),
    }
    Ok(run)
}

/// A command line with its documents, as a shell reads it.
pub(super) fn reunited(line: &str, heredocs: &[Heredoc]) -> String {
    let mut text = line.to_owned();
    for document in heredocs {
        text.push('\n');
        text.push_str(&document.content);
        text.push_str(&document.name);
    }
    text
}

/// A flag with few values; one with variables is checked when they are known.
fn one_of(flags: &Flags, name: &str, values: &[&str]) -> Checked<Option<String>> {
    let Some(value) = flags.text(name) else {
        return Ok(None);
    };
    if !values.contains(&value.as_str()) && !value.contains('$') {
        let near = suggest(&value, values.iter().copied()).map(str::to_owned);
        let message = format!("unsupported {name} mode {value:?}, expected {}", values.join(", "));
        return Err(Problem::mistyped(message, near));
    }
    Ok(Some(value))
}
