//! One line of the language becomes an instruction.

use super::flags::{self, Flags, Kind};
use super::lines::Line;
use super::words::{self, Json};
use super::{Checked, Problem, command, healthcheck, pairs, transfer};
use crate::ast::{From, Instruction};
use crate::suggest::suggest;

/// All of them.
pub(crate) const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a line is.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// It begins a stage, perhaps with a name.
    From(From, Option<String>),
    /// It belongs to one.
    Instruction(Instruction),
}

pub(crate) fn parse(line: &Line, escape: char) -> Checked<Parsed> {
    let (keyword, rest) = words::first(&line.text);
    let name = keyword.to_ascii_uppercase();
    if !NAMES.contains(&name.as_str()) {
        let shown: String = keyword.chars().take(80).collect();
        let near = suggest(keyword, NAMES).map(str::to_owned);
        return Err(Problem::mistyped(format!("unknown instruction: {shown}"), near));
    }
    if name == "FROM" {
        let (from, stage) = from(rest, escape)?;
        return Ok(Parsed::From(from, stage));
    }
    if name == "ONBUILD" {
        return onbuild(line, rest, escape).map(Parsed::Instruction);
    }
    let (flags, rest) = flags::split(rest, escape);
    let rest = rest.trim();
    let instruction = match name.as_str() {
        "ADD" => Instruction::Add(transfer::parse("ADD", (&flags, rest), &line.heredocs, escape)?),
        "COPY" => {
            Instruction::Copy(transfer::parse("COPY", (&flags, rest), &line.heredocs, escape)?)
        }
        "RUN" => Instruction::Run(command::run(&flags, (rest, escape), &line.heredocs)?),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck::parse(&flags, rest)?),
        other => {
            Flags::none(&flags)?;
            without_flags(other, rest, escape)?
        }
    };
    Ok(Parsed::Instruction(instruction))
}

fn without_flags(name: &str, rest: &str, escape: char) -> Checked<Instruction> {
    if rest.is_empty() {
        let count = match name {
            "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => "exactly",
            _ => "at least",
        };
        return Err(Problem::new(format!("{name} requires {count} one argument")));
    }
    Ok(match name {
        "ARG" => Instruction::Arg(pairs::args(rest, escape)?),
        "CMD" => Instruction::Cmd(command::parse(rest)?),
        "ENTRYPOINT" => Instruction::Entrypoint(command::parse(rest)?),
        "ENV" => Instruction::Env(pairs::pairs(name, rest, escape)?),
        "EXPOSE" => Instruction::Expose(words::plain(rest)),
        "LABEL" => Instruction::Label(pairs::pairs(name, rest, escape)?),
        "MAINTAINER" => Instruction::Maintainer(rest.to_owned()),
        "SHELL" => shell(rest)?,
        "STOPSIGNAL" => Instruction::Stopsignal(rest.to_owned()),
        "USER" => Instruction::User(rest.to_owned()),
        "VOLUME" => volume(rest)?,
        "WORKDIR" => Instruction::Workdir(rest.to_owned()),
        other => return Err(Problem::new(format!("unknown instruction: {other}"))),
    })
}

fn from(rest: &str, escape: char) -> Checked<(From, Option<String>)> {
    let (flags, rest) = flags::split(rest, escape);
    let flags = Flags::parse(&flags, &[("platform", Kind::Text)])?;
    let words = words::plain(rest);
    let (image, name) = match words.as_slice() {
        [image] => (image, None),
        [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            (image, Some(stage_name(name)?))
        }
        [_, keyword, _] => {
            let near = suggest(keyword, ["AS"]).map(str::to_owned);
            let message = "FROM requires either one or three arguments";
            return Err(Problem::mistyped(message.to_owned(), near));
        }
        _ => return Err(Problem::new("FROM requires either one or three arguments")),
    };
    Ok((From { image: image.clone(), platform: flags.text("platform") }, name))
}

fn stage_name(name: &str) -> Checked<String> {
    let lower = name.to_lowercase();
    let is_valid = lower.starts_with(|letter: char| letter.is_ascii_lowercase())
        && lower.chars().all(|letter| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter)
        });
    if !is_valid {
        return Err(Problem::new(format!(
            "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
        )));
    }
    Ok(lower)
}

fn onbuild(line: &Line, rest: &str, escape: char) -> Checked<Instruction> {
    let (keyword, _) = words::first(rest);
    match keyword.to_ascii_uppercase().as_str() {
        "" => return Err(Problem::new("ONBUILD requires at least one argument")),
        "ONBUILD" => return Err(Problem::chained()),
        name @ ("FROM" | "MAINTAINER") => return Err(Problem::not_a_trigger(name)),
        _ => {}
    }
    // What it says is checked now, though another build will do it.
    let inner = Line {
        text: rest.to_owned(),
        raw: String::new(),
        first: line.first,
        last: line.last,
        heredocs: line.heredocs.clone(),
        comments: Vec::new(),
        has_empty: false,
    };
    parse(&inner, escape)?;
    let mut text = command::reunited(rest.trim_end(), &line.heredocs);
    if !line.heredocs.is_empty() {
        text.push('\n');
    }
    Ok(Instruction::Onbuild(text))
}

fn shell(rest: &str) -> Checked<Instruction> {
    match words::json(rest) {
        Json::Strings(words) if words.is_empty() => {
            Err(Problem::new("SHELL requires at least one argument"))
        }
        Json::Strings(words) => Ok(Instruction::Shell(words)),
        Json::Mixed => Err(command::mixed()),
        Json::No => Err(Problem::new("SHELL requires the arguments to be in JSON form")),
    }
}

fn volume(rest: &str) -> Checked<Instruction> {
    let words = match words::json(rest) {
        Json::Strings(words) => words,
        Json::Mixed => return Err(command::mixed()),
        Json::No => words::plain(rest),
    };
    if words.is_empty() {
        return Err(Problem::new("VOLUME requires at least one argument"));
    }
    if words.iter().any(|word| word.trim().is_empty()) {
        return Err(Problem::new("VOLUME specified can not be an empty string"));
    }
    Ok(Instruction::Volume(words))
}
