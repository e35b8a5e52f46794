//! Checks of how a file is written.

use super::Findings;
use super::rules::{
    CONSISTENT_INSTRUCTION_CASING, DUPLICATE_STAGE_NAME, FROM_AS_CASING,
    INVALID_DEFINITION_DESCRIPTION, LEGACY_KEY_VALUE_FORMAT, NO_EMPTY_CONTINUATION,
    RESERVED_STAGE_NAME, STAGE_NAME_CASING,
};
use crate::parse::lines::{Line, Lines};
use crate::parse::{flags, pairs, words};

/// Words that mean something as a base.
const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn check(lines: &Lines, findings: &mut Findings<'_>) {
    let escape = lines.directives.escape;
    let mut names = std::collections::BTreeSet::new();
    for line in &lines.lines {
        if line.has_empty {
            findings.add(NO_EMPTY_CONTINUATION, place(line), "Empty continuation line".to_owned());
        }
        let (keyword, rest) = words::first(&line.text);
        match keyword.to_ascii_uppercase().as_str() {
            "FROM" => {
                let name = stage(line, (keyword, rest), escape, findings);
                if let Some(name) = name
                    && !names.insert(name.clone())
                {
                    let detail =
                        format!("Duplicate stage name {name:?}, stage names should be unique");
                    findings.add(DUPLICATE_STAGE_NAME, place(line), detail);
                }
            }
            "ARG" => {
                let args = words::lenient(rest, escape).into_iter();
                let names: Vec<&str> =
                    args.map(|word| word.split('=').next().unwrap_or(word)).collect();
                description(line, "ARG", &names, findings);
            }
            name @ ("ENV" | "LABEL") => {
                let is_legacy =
                    words::lenient(rest, escape).first().is_some_and(|word| pairs::is_legacy(word));
                if is_legacy {
                    let detail = format!(
                        "\"{name} key=value\" should be used instead of legacy \"{name} key value\" format"
                    );
                    findings.add(LEGACY_KEY_VALUE_FORMAT, place(line), detail);
                }
            }
            _ => {}
        }
    }
    instructions(lines, findings);
}

fn place(line: &Line) -> (u32, u32) {
    (line.first, line.last)
}

/// Looks at a `FROM`; says the stage's name.
fn stage(
    line: &Line,
    (keyword, rest): (&str, &str),
    escape: char,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let (_, rest) = flags::split(rest, escape);
    let mut words = rest.split_whitespace().skip(1);
    let (as_word, name) = (words.next()?, words.next()?);
    let is_other = match letters(keyword) {
        Letters::Lower => as_word != as_word.to_lowercase(),
        Letters::Upper => as_word != as_word.to_uppercase(),
        Letters::Mixed => false,
    };
    if is_other {
        let detail = format!("'{as_word}' and '{keyword}' keywords' casing do not match");
        findings.add(FROM_AS_CASING, place(line), detail);
    }
    let lower = name.to_lowercase();
    if lower != name {
        let detail = format!("Stage name '{name}' should be lowercase");
        findings.add(STAGE_NAME_CASING, place(line), detail);
    }
    if RESERVED.contains(&lower.as_str()) {
        let detail = format!("Stage name should not use the same name as reserved stage {lower:?}");
        findings.add(RESERVED_STAGE_NAME, place(line), detail);
    }
    description(line, "FROM", &[name], findings);
    Some(lower)
}

/// The comment before a definition begins with one of its names.
fn description(line: &Line, instruction: &str, names: &[&str], findings: &mut Findings<'_>) {
    let Some(comment) = line.comments.last() else {
        return;
    };
    let first = comment.split_whitespace().next().unwrap_or_default();
    if names.contains(&first) {
        return;
    }
    let name = if let [name] = names { name } else { "<arg_key>" };
    let detail =
        format!("Comment for {instruction} should follow the format: `# {name} <description>`");
    findings.add(INVALID_DEFINITION_DESCRIPTION, place(line), detail);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Letters {
    Lower,
    Upper,
    Mixed,
}

fn letters(word: &str) -> Letters {
    if word == word.to_ascii_lowercase() {
        Letters::Lower
    } else if word == word.to_ascii_uppercase() {
        Letters::Upper
    } else {
        Letters::Mixed
    }
}

/// All instructions are written as most are.
fn instructions(lines: &Lines, findings: &mut Findings<'_>) {
    let keyword = |line: &Line| words::first(&line.text).0.to_owned();
    let count = |wanted: Letters| {
        lines.lines.iter().filter(|line| letters(&keyword(line)) == wanted).count()
    };
    let most =
        if count(Letters::Lower) > count(Letters::Upper) { Letters::Lower } else { Letters::Upper };
    let name = if most == Letters::Lower { "lowercase" } else { "uppercase" };
    for line in &lines.lines {
        let keyword = keyword(line);
        if letters(&keyword) != most {
            let detail = format!(
                "Command '{keyword}' should match the case of the command majority ({name})"
            );
            findings.add(CONSISTENT_INSTRUCTION_CASING, place(line), detail);
        }
    }
}
