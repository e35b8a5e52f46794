//! Dockerfiles and ignore files are read, checked, expanded and read again.

use std::collections::BTreeMap;

use barge_dockerfile::ast::{Dockerfile, Instruction};
use barge_dockerfile::expand::{Expander, Quotes, Unset};
use barge_dockerfile::ignore::Patterns;
use barge_dockerfile::{lint, parse, parse_mount, parse_trigger};

/// Reads `data` as a Dockerfile; panics when what was read would be read otherwise from its own lines.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    ignore(text);
    expand(text);
    let file = match parse("Dockerfile", text) {
        Ok(file) => file,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.first_line <= error.last_line);
            let _excerpt = error.excerpt("Dockerfile", text);
            return;
        }
    };
    assert!(!file.stages.is_empty());
    checked(text, &file);
    again(&file);
    for line in file.stages.iter().flat_map(|stage| &stage.instructions) {
        assert!(line.first_line <= line.last_line, "{line:?}");
        match &line.value {
            Instruction::Onbuild(trigger) => trigger_again(trigger),
            Instruction::Run(run) => {
                for mount in &run.mounts {
                    assert_eq!(parse_mount(&mount.text).as_ref(), Ok(mount), "{text:?}");
                }
            }
            _ => {}
        }
    }
}

/// The instructions alone say the same as the file.
fn again(file: &Dockerfile) {
    let mut text = format!("# escape={}\n", file.directives.escape);
    for line in &file.lines {
        text.push_str(&line.value);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    let other = parse("Dockerfile", &text);
    let other = other.unwrap_or_else(|error| panic!("{error} in {text:?}"));
    assert_eq!(meaning(file), meaning(&other), "{text:?}");
}

/// What a file says, without where.
fn meaning(file: &Dockerfile) -> Vec<String> {
    let args = file.global_args.iter().map(|line| format!("{:?}", line.value));
    let stages = file.stages.iter().flat_map(|stage| {
        let lines = stage.instructions.iter().map(|line| format!("{:?} {}", line.value, line.text));
        [format!("{:?} {:?}", stage.name, stage.from.value)].into_iter().chain(lines)
    });
    args.chain(stages).collect()
}

/// What a base hands on can be read where it is used, unless another escape character was meant.
fn trigger_again(text: &str) {
    let Ok(trigger) = parse_trigger(text) else {
        return;
    };
    assert!(!matches!(trigger.value, Instruction::Onbuild(_)), "{text:?}");
}

fn checked(text: &str, file: &Dockerfile) {
    let build_args = BTreeMap::from([("A".to_owned(), Some("1".to_owned()))]);
    let patterns = Patterns::parse(text).ok();
    let environment = |image: &str| image.ends_with('x').then(|| vec![format!("X={image}")]);
    let options = lint::Options {
        build_args: &build_args,
        ignore: patterns.as_ref(),
        environment: &environment,
    };
    for finding in lint::check(text, file, &options) {
        assert!(lint::RULES.contains(&finding.rule));
        assert!(!finding.detail.is_empty());
        assert!(finding.first_line <= finding.last_line, "{finding:?}");
    }
}

fn ignore(text: &str) {
    let Ok(patterns) = Patterns::parse(text) else {
        return;
    };
    let paths = || text.lines().map(|line| line.trim_matches('/')).filter(|path| !path.is_empty());
    for path in paths().take(20) {
        // Nothing in a folder that is skipped may be wanted.
        if patterns.can_skip_folder(path) {
            for below in paths().take(20) {
                assert!(patterns.matches(&format!("{path}/{below}")), "{path}/{below} of {text:?}");
            }
        }
    }
}

fn expand(text: &str) {
    let lookup = |name: &str| match name.len() {
        1 => Some(format!("{name} value of {name}")),
        2 => Some(String::new()),
        _ => None,
    };
    let expander = Expander::new('\\', &lookup);
    if let Ok(expanded) = expander.word(text) {
        assert!(expanded.value.len() <= text.len() + (1 << 20));
        let joined: String = expanded.value.split_whitespace().collect();
        let words = expander.words(text).map(|words| words.value.concat()).unwrap_or_default();
        let words: String = words.split_whitespace().collect();
        assert_eq!(joined, words, "{text:?}");
    }
    let nothing = |_: &str| None;
    let shown = Expander::new('\\', &nothing).quotes(Quotes::Keep).unset(Unset::Keep).word(text);
    if let Ok(shown) = shown {
        assert!(shown.used.is_empty());
        assert_eq!(shown.value, text, "what has no value is shown as it is");
    }
}
