//! A Dockerfile's text becomes types.

use crate::ast::{Dockerfile, Instruction, Located};
use crate::error::ParseError;

/// Reads a Dockerfile; `name` is what it is called in errors.
pub fn parse(name: &str, text: &str) -> Result<Dockerfile, ParseError> {
    if text.trim().is_empty() {
        return Err(ParseError::whole(format!("the Dockerfile ({name}) cannot be empty")));
    }
    Err(ParseError::whole("reading Dockerfiles is not supported yet"))
}

/// Reads one instruction of an image's `ONBUILD` list: several, when it has continuation lines or heredocs, never.
pub fn parse_trigger(_text: &str) -> Result<Located<Instruction>, ParseError> {
    Err(ParseError::whole("reading ONBUILD triggers is not supported yet"))
}
