//! Checks of what stages stand on.

use std::collections::BTreeMap;

use barge_types::{Platform, Reference};

use super::rules::{
    FROM_PLATFORM_FLAG_CONST_DISALLOWED, INVALID_DEFAULT_ARG_IN_FROM, REDUNDANT_TARGET_PLATFORM,
    UNDEFINED_ARG_IN_FROM,
};
use super::{Findings, Options, place};
use crate::ast::{ArgWord, Dockerfile, Stage};
use crate::expand::Expander;

/// What is known of a build's platforms without an `ARG`.
pub(super) const PREDEFINED: [&str; 9] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];
/// Longer values are not looked at.
const LONGEST: usize = 256;

/// Variables before the first `FROM`.
pub(super) type Variables = BTreeMap<String, String>;

/// What stages stand on, and what they can take over.
pub(super) struct Bases {
    /// Of each stage.
    pub(super) names: Vec<String>,
    pub(super) globals: Variables,
}

/// A value, unless it is so long that looking at it costs time.
pub(super) fn short(value: String) -> String {
    if value.len() > LONGEST { String::new() } else { value }
}

pub(super) fn check(
    dockerfile: &Dockerfile,
    options: &Options<'_>,
    findings: &mut Findings<'_>,
) -> Bases {
    let escape = dockerfile.directives.escape;
    let args = || dockerfile.global_args.iter().flat_map(|line| &line.value);
    let globals = values(args(), escape, &|name| options.build_args.get(name).cloned().flatten());
    let defaults = values(args(), escape, &|_| None);
    let mut names = Vec::new();
    for stage in &dockerfile.stages {
        undefined(stage, &globals, escape, findings);
        platform(stage, findings);
        invalid_default(stage, &defaults, escape, findings);
        names.push(expanded(&stage.from.value.image, &globals, escape));
    }
    Bases { names, globals }
}

/// What arguments are, each knowing those before it.
fn values<'a>(
    args: impl Iterator<Item = &'a ArgWord>,
    escape: char,
    given: &dyn Fn(&str) -> Option<String>,
) -> Variables {
    let mut values = Variables::new();
    for arg in args {
        let value = given(&arg.name).or_else(|| {
            let default = arg.default.as_ref()?;
            Some(expanded(default, &values, escape))
        });
        values.insert(arg.name.clone(), short(value.unwrap_or_default()));
    }
    values
}

fn lookup(globals: &Variables, name: &str) -> Option<String> {
    let predefined = || PREDEFINED.contains(&name).then(|| "linux".to_owned());
    globals.get(name).cloned().or_else(predefined)
}

fn expanded(text: &str, globals: &Variables, escape: char) -> String {
    let lookup = |name: &str| lookup(globals, name);
    let expanded = Expander::new(escape, &lookup).word(text);
    expanded.map(|expanded| expanded.value).unwrap_or_default()
}

fn undefined(stage: &Stage, globals: &Variables, escape: char, findings: &mut Findings<'_>) {
    let from = &stage.from.value;
    let lookup = |name: &str| lookup(globals, name);
    let expander = Expander::new(escape, &lookup);
    for text in [Some(&from.image), from.platform.as_ref()].into_iter().flatten() {
        let unset = expander.word(text).map(|expanded| expanded.unset).unwrap_or_default();
        for name in unset {
            let known = globals.keys().map(String::as_str).chain(PREDEFINED);
            let hint = findings.hint(&name, known, "");
            let detail = format!("FROM argument '{name}' is not declared{hint}");
            findings.add(UNDEFINED_ARG_IN_FROM, place(&stage.from), detail);
        }
    }
}

fn platform(stage: &Stage, findings: &mut Findings<'_>) {
    let Some(platform) = &stage.from.value.platform else {
        return;
    };
    if matches!(platform.as_str(), "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
        let detail = format!(
            "Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
        );
        findings.add(REDUNDANT_TARGET_PLATFORM, place(&stage.from), detail);
    }
    let Ok(known) = platform.parse::<Platform>() else {
        return;
    };
    // A stage that is named after its platform is meant to be of it.
    let name = stage.name.as_deref().unwrap_or_default();
    let is_named = name.contains(known.os()) || name.contains(known.architecture());
    if !platform.contains('$') && !is_named {
        let detail = format!("FROM --platform flag should not use constant value {platform:?}");
        findings.add(FROM_PLATFORM_FLAG_CONST_DISALLOWED, place(&stage.from), detail);
    }
}

fn invalid_default(stage: &Stage, defaults: &Variables, escape: char, findings: &mut Findings<'_>) {
    let image = &stage.from.value.image;
    if image.contains('$') && expanded(image, defaults, escape).parse::<Reference>().is_err() {
        let detail =
            format!("Default value for ARG {image} results in empty or invalid base image name");
        findings.add(INVALID_DEFAULT_ARG_IN_FROM, place(&stage.from), detail);
    }
}
