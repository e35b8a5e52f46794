//! A Dockerfile's text becomes types: lines, then instructions, then stages.

mod command;
mod device;
mod directives;
mod duration;
pub(crate) mod flags;
mod healthcheck;
mod heredoc;
pub(crate) mod instruction;
pub(crate) mod lines;
mod mount;
pub(crate) mod pairs;
#[cfg(test)]
mod tests;
mod transfer;
pub(crate) mod words;

use crate::ast::{ArgWord, Dockerfile, From, Instruction, Located, Stage};
use crate::error::ParseError;
use instruction::Parsed;
use lines::{Line, Lines};

pub use mount::{MountError, expand_mount, parse_mount};

/// A file with more stages is not meant to be built.
const MOST_STAGES: usize = 1_000;
/// Nor one with more instructions.
const MOST_INSTRUCTIONS: usize = 20_000;

/// Reads a Dockerfile; `name` is what it is called in errors.
pub fn parse(name: &str, text: &str) -> Result<Dockerfile, ParseError> {
    let lines = Lines::read(text)?;
    if lines.lines.is_empty() {
        return Err(ParseError::whole(format!("the Dockerfile ({name}) cannot be empty")));
    }
    if lines.lines.len() > MOST_INSTRUCTIONS {
        return Err(ParseError::whole(format!(
            "the Dockerfile ({name}) has more than {MOST_INSTRUCTIONS} instructions"
        )));
    }
    let mut dockerfile = Dockerfile {
        directives: lines.directives.clone(),
        global_args: Vec::new(),
        stages: Vec::new(),
        lines: lines.lines.iter().map(|line| line.locate(line.raw.clone())).collect(),
        comments: lines
            .lines
            .iter()
            .filter(|line| !line.comments.is_empty())
            .map(|line| (line.first, line.comments.clone()))
            .collect(),
    };
    for line in &lines.lines {
        let parsed = instruction::parse(line, lines.directives.escape);
        let parsed = parsed.map_err(|problem| problem.at(line))?;
        add(&mut dockerfile, line, parsed)?;
    }
    if dockerfile.stages.is_empty() {
        return Err(ParseError::whole("dockerfile contains no stages to build"));
    }
    Ok(dockerfile)
}

/// Reads one instruction of an image's `ONBUILD` list, heredocs after it included.
pub fn parse_trigger(text: &str) -> Result<Located<Instruction>, ParseError> {
    let lines = Lines::read(text)?;
    let [line] = lines.lines.as_slice() else {
        return Err(ParseError::whole(format!("an ONBUILD trigger is one instruction: {text:?}")));
    };
    match instruction::parse(line, lines.directives.escape).map_err(|problem| problem.at(line))? {
        Parsed::Instruction(Instruction::Onbuild(_)) => Err(Problem::chained().at(line)),
        Parsed::Instruction(instruction) => Ok(line.locate(instruction)),
        Parsed::From(..) => Err(Problem::not_a_trigger("FROM").at(line)),
    }
}

fn add(dockerfile: &mut Dockerfile, line: &Line, parsed: Parsed) -> Result<(), ParseError> {
    match parsed {
        Parsed::From(from, name) => {
            if dockerfile.stages.len() == MOST_STAGES {
                let message = format!("a Dockerfile has {MOST_STAGES} stages at most");
                return Err(Problem::new(message).at(line));
            }
            let from: Located<From> = line.locate(from);
            dockerfile.stages.push(Stage { name, from, instructions: Vec::new() });
        }
        Parsed::Instruction(instruction) => match dockerfile.stages.last_mut() {
            Some(stage) => stage.instructions.push(line.locate(instruction)),
            None => dockerfile.global_args.push(line.locate(global_args(instruction, line)?)),
        },
    }
    Ok(())
}

/// Before the first `FROM` there are arguments only.
fn global_args(instruction: Instruction, line: &Line) -> Result<Vec<ArgWord>, ParseError> {
    if let Instruction::Arg(words) = instruction {
        return Ok(words);
    }
    Err(Problem::new("no build stage in current context").at(line))
}

/// What is wrong with an instruction, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None }
    }

    /// A word that is not one of those that are known.
    pub(crate) fn mistyped(message: String, suggestion: Option<String>) -> Self {
        Self { message, suggestion }
    }

    fn chained() -> Self {
        Self::new("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    }

    fn not_a_trigger(name: &str) -> Self {
        Self::new(format!("{name} isn't allowed as an ONBUILD trigger"))
    }

    pub(crate) fn at(self, line: &Line) -> ParseError {
        ParseError {
            message: self.message,
            first_line: line.first,
            last_line: line.last,
            text: line.raw.lines().next().unwrap_or_default().to_owned(),
            suggestion: self.suggestion,
        }
    }
}

/// What the readers of instructions return.
pub(crate) type Checked<T> = Result<T, Problem>;
