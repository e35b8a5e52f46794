//! The comments at the top of a file that change how it is read.

use barge_types::parse_bool;

use crate::ast::{CheckDirective, Directives};
use crate::error::ParseError;
use crate::suggest::suggest;

/// What a check directive may say.
const CHECK_OPTIONS: [&str; 3] = ["skip", "error", "experimental"];

/// Reads them, and says how many lines they are.
pub(super) fn read(text: &str) -> Result<(Directives, u32), ParseError> {
    let mut found = Found::default();
    let mut number = 0;
    for (line, index) in text.lines().zip(1..) {
        if index == 1 && line.starts_with("#!") {
            number = index;
            continue;
        }
        let Some((name, value)) = directive(line) else {
            break;
        };
        let taken = found.take(&name, value).map_err(|(message, suggestion)| ParseError {
            message,
            first_line: index,
            last_line: index,
            text: line.to_owned(),
            suggestion,
        })?;
        if !taken {
            break;
        }
        number = index;
    }
    let directives = Directives {
        syntax: found.syntax,
        escape: found.escape.unwrap_or('\\'),
        check: found.check.unwrap_or_default(),
    };
    Ok((directives, number))
}

#[derive(Default)]
struct Found {
    syntax: Option<String>,
    escape: Option<char>,
    check: Option<CheckDirective>,
}

type Failure = (String, Option<String>);

impl Found {
    /// Takes one; false when it is none that is known.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, Failure> {
        let is_double = match name {
            "syntax" => self.syntax.replace(syntax(value)?).is_some(),
            "escape" => self.escape.replace(escape(value)?).is_some(),
            "check" => self.check.replace(check(value)?).is_some(),
            _ => return Ok(false),
        };
        if is_double {
            return Err((format!("only one {name} parser directive can be used"), None));
        }
        Ok(true)
    }
}

/// `# name = value`, or with `//`; the name in lower case.
fn directive(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    let (name, value) =
        line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value))
}

/// Docker's own frontends, also from a mirror, read what is built in here; any other would read the
/// file as something else.
fn syntax(value: &str) -> Result<String, Failure> {
    // What follows the name is for the frontend.
    let image = value.split_whitespace().next().unwrap_or_default();
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.starts_with("dockerfile") {
        return Ok(value.to_owned());
    }
    let message = format!(
        "{image} is a frontend of its own, which barge does not run: it reads what \
         docker/dockerfile reads, without a syntax directive"
    );
    Err((message, None))
}

fn escape(value: &str) -> Result<char, Failure> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        other => Err((format!("invalid escape token '{other}' does not match ` or \\"), None)),
    }
}

fn check(value: &str) -> Result<CheckDirective, Failure> {
    let mut check = CheckDirective::default();
    for option in value.split(';') {
        let Some((key, value)) = option.split_once('=') else {
            return Err((format!("invalid check option {option:?}: expected key=value"), None));
        };
        let rules = || value.split(',').map(|rule| rule.trim().to_owned()).collect();
        match key.trim() {
            "skip" => check.skip = rules(),
            "experimental" => check.experimental = rules(),
            "error" => {
                check.is_error = parse_bool(value.trim()).ok_or_else(|| {
                    (
                        format!(
                            "invalid check option \"error\": {value:?} is neither true nor false"
                        ),
                        None,
                    )
                })?;
            }
            other => {
                let near = suggest(other, CHECK_OPTIONS).map(str::to_owned);
                return Err((format!("invalid check option {other:?}"), near));
            }
        }
    }
    Ok(check)
}
