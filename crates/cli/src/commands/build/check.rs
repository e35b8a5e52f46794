//! What the checks of a Dockerfile found, told as buildx tells it.

use barge_api_types::BuildWarning;
use serde_json::json;

use super::context::Located;
use super::fields::wrong;
use super::request::CheckFormat;
use crate::error::{CliError, Result};
use crate::progress::build::Outcome;
use crate::session::Session;
use crate::streams::Streams;

/// The whole of `--check`: findings with their lines; it fails when there are any.
pub(super) fn show(
    session: &Session,
    (located, format): (&Located, CheckFormat),
    outcome: &Outcome,
) -> Result<()> {
    let warnings = &outcome.warnings;
    session.streams.write(match format {
        CheckFormat::Json => format!("{}\n", as_json(located, outcome)),
        CheckFormat::Text => as_text(located, outcome),
    })?;
    if let Some(failure) = &outcome.failure {
        if !failure.excerpt.is_empty() {
            Streams.note(failure.excerpt.trim_end());
        }
        return Err(wrong(format!("failed to solve: {}", failure.message)));
    }
    if warnings.is_empty() { Ok(()) } else { Err(CliError::Exit(1)) }
}

fn as_text(located: &Located, outcome: &Outcome) -> String {
    let warnings = &outcome.warnings;
    let mut text = match warnings.len() {
        0 if outcome.failure.is_some() => String::new(),
        0 => "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for warning in warnings {
        text.push('\n');
        text.push_str(&described(located, warning));
    }
    text
}

fn described(located: &Located, warning: &BuildWarning) -> String {
    let mut text = format!("WARNING: {}", warning.rule);
    if !warning.url.is_empty() {
        text.push_str(&format!(" - {}", warning.url));
    }
    text.push('\n');
    if !warning.description.is_empty() && warning.description != warning.detail {
        text.push_str(&format!("{}\n", warning.description));
    }
    text.push_str(&format!("{}\n", warning.detail));
    text.push_str(&excerpt(located, warning.line));
    text
}

/// The lines around the one that is meant.
fn excerpt(located: &Located, line: u32) -> String {
    let Some(dockerfile) = located.dockerfile.as_ref().filter(|_| line > 0) else {
        return String::new();
    };
    barge_dockerfile::excerpt::render(&dockerfile.name, &dockerfile.text, line..=line)
}

fn as_json(located: &Located, outcome: &Outcome) -> serde_json::Value {
    let warnings: Vec<_> = outcome
        .warnings
        .iter()
        .map(|warning| {
            let position = json!({ "line": warning.line, "character": 0 });
            json!({
                "ruleName": warning.rule,
                "description": warning.description,
                "url": warning.url,
                "detail": warning.detail,
                "location": { "ranges": [{ "start": position, "end": position }] },
            })
        })
        .collect();
    let sources = located
        .dockerfile
        .iter()
        .map(|dockerfile| json!({ "filename": dockerfile.name, "language": "Dockerfile" }));
    let mut value = json!({ "warnings": warnings, "sources": sources.collect::<Vec<_>>() });
    if let Some(failure) = &outcome.failure {
        value["buildError"] = json!({ "message": failure.message });
    }
    value
}

/// What the checks found in a build that went on: one line each, or all of it.
pub(super) fn note(warnings: &[BuildWarning], expanded: Option<&Located>) {
    if !warnings.is_empty() {
        Streams.aside(noted(warnings, expanded));
    }
}

fn noted(warnings: &[BuildWarning], expanded: Option<&Located>) -> String {
    let count = warnings.len();
    let plural = if count == 1 { "" } else { "s" };
    let Some(located) = expanded else {
        let mut text = format!("\n {count} warning{plural} found (use barge --debug to expand):\n");
        for warning in warnings {
            text.push_str(&format!(" - {}: {}", warning.rule, warning.detail));
            if warning.line > 0 {
                text.push_str(&format!(" (line {})", warning.line));
            }
            text.push('\n');
        }
        return text;
    };
    let mut text = format!("\n {count} warning{plural} found:\n");
    for warning in warnings {
        text.push('\n');
        text.push_str(&described(located, warning));
    }
    text
}

#[cfg(test)]
mod tests {
    use barge_api_types::BuildDockerfile;

    use super::super::context::Source;
    use super::*;

    fn located() -> Located {
        let text = (1..=9).map(|number| format!("# {number}\n")).collect();
        let name = "Dockerfile".to_owned();
        let dockerfile = BuildDockerfile { name, text, ignore: None };
        Located { source: Source::Nothing, dockerfile: Some(dockerfile), path: String::new() }
    }

    fn outcome(lines: &[u32]) -> Outcome {
        let warning = |line: &u32| BuildWarning {
            rule: "FromAsCasing".to_owned(),
            description: "in general".to_owned(),
            detail: "'as' and 'FROM' keywords' casing do not match".to_owned(),
            url: "https://docs.docker.com/go/dockerfile/rule/from-as-casing/".to_owned(),
            line: *line,
        };
        Outcome { warnings: lines.iter().map(warning).collect(), ..Outcome::default() }
    }

    #[test]
    fn findings_are_told_with_their_lines() {
        assert_eq!(as_text(&located(), &outcome(&[])), "Check complete, no warnings found.\n");
        assert_eq!(
            as_text(&located(), &outcome(&[4])),
            "Check complete, 1 warning has been found!\n\n\
             WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n\
             in general\n'as' and 'FROM' keywords' casing do not match\nDockerfile:4\n\
             --------------------\n   2 |     # 2\n   3 |     # 3\n   4 | >>> # 4\n   \
             5 |     # 5\n   6 |     # 6\n--------------------\n"
        );
        let text = as_text(&located(), &outcome(&[1, 99]));
        assert!(text.starts_with("Check complete, 2 warnings have been found!\n"), "{text}");
        assert!(text.contains("   1 | >>> # 1\n"), "{text}");
    }

    #[test]
    fn a_build_that_goes_on_tells_them_in_a_line_each() {
        let warnings = outcome(&[2]).warnings;
        assert_eq!(
            noted(&warnings, None),
            "\n 1 warning found (use barge --debug to expand):\n \
             - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 2)\n"
        );
        assert!(noted(&warnings, Some(&located())).contains(">>> # 2\n"));
    }

    #[test]
    fn programs_get_json() {
        let value = as_json(&located(), &outcome(&[3]));
        assert_eq!(value["warnings"][0]["ruleName"], "FromAsCasing");
        assert_eq!(value["warnings"][0]["location"]["ranges"][0]["start"]["line"], 3);
        assert_eq!(value["sources"][0]["filename"], "Dockerfile");
    }
}
