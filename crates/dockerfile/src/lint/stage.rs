//! Checks of what stages do.

use std::collections::{BTreeMap, BTreeSet};

use super::from::{Bases, Variables, short};
use super::rules::{
    COPY_IGNORED_FILE, EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING, JSON_ARGS_RECOMMENDED,
    MAINTAINER_DEPRECATED, MULTIPLE_INSTRUCTIONS_DISALLOWED, SECRETS_USED_IN_ARG_OR_ENV,
    UNDEFINED_VAR, WORKDIR_RELATIVE_PATH,
};
use super::{Findings, Options, place};
use crate::ast::{ArgWord, Command, Dockerfile, Instruction, Located, Stage, Transfer};
use crate::expand::{Expander, Quotes};

/// Words in a name that mean a secret.
const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// Words that mean that it is none after all.
const PUBLIC: [&str; 3] = ["public", "file", "version"];

/// Every stage has a copy of these: of no more.
const MOST_VARIABLES: usize = 2_000;

/// What a stage hands on to those that stand on it.
#[derive(Clone, Default)]
struct Heritage {
    env: Variables,
    args: Variables,
    /// Whether all that the base defines is known.
    is_whole: bool,
    has_workdir: bool,
    has_shell: bool,
}

/// A stage while it is looked at.
struct Scope<'a, 'f> {
    heritage: Heritage,
    /// Arguments that have no value: of these the stages on it know nothing, as in BuildKit.
    blank: BTreeSet<String>,
    escape: char,
    globals: &'a Variables,
    options: &'a Options<'a>,
    findings: &'a mut Findings<'f>,
}

pub(super) fn check(
    dockerfile: &Dockerfile,
    (options, bases): (&Options<'_>, &Bases),
    findings: &mut Findings<'_>,
) {
    for line in &dockerfile.global_args {
        for arg in &line.value {
            secret("ARG", &arg.name, line, findings);
        }
    }
    let mut done: BTreeMap<&str, Heritage> = BTreeMap::new();
    for (stage, base) in dockerfile.stages.iter().zip(&bases.names) {
        let known = done.get(base.to_lowercase().as_str()).cloned();
        let heritage = known.unwrap_or_else(|| image(base, options));
        let mut scope = Scope {
            heritage,
            blank: BTreeSet::new(),
            escape: dockerfile.directives.escape,
            globals: &bases.globals,
            options,
            findings,
        };
        scope.run(stage);
        let Scope { mut heritage, blank, .. } = scope;
        heritage.args.retain(|name, _| !blank.contains(name));
        done.extend(stage.name.as_deref().map(|name| (name, heritage)));
    }
}

fn image(base: &str, options: &Options<'_>) -> Heritage {
    let listed = if base == "scratch" { Some(Vec::new()) } else { (options.environment)(base) };
    let is_whole = listed.is_some();
    let listed = listed.unwrap_or_default();
    let pairs = listed.iter().filter_map(|pair| pair.split_once('='));
    let mut env: Variables =
        pairs.map(|(name, value)| (name.to_owned(), short(value.to_owned()))).collect();
    // Every step has one.
    env.entry("PATH".to_owned()).or_insert_with(|| "/bin".to_owned());
    Heritage { env, is_whole, ..Heritage::default() }
}

impl Scope<'_, '_> {
    fn run(&mut self, stage: &Stage) {
        let mut once: BTreeMap<&str, &Located<Instruction>> = BTreeMap::new();
        for line in &stage.instructions {
            self.instruction(line);
            let Some(name) = used_once(&line.value) else {
                continue;
            };
            if let Some(before) = once.insert(name, line) {
                let detail = format!(
                    "Multiple {name} instructions should not be used in the same stage because only the last one will \
                     be used"
                );
                self.findings.add(MULTIPLE_INSTRUCTIONS_DISALLOWED, place(before), detail);
            }
        }
    }

    fn instruction(&mut self, line: &Located<Instruction>) {
        match &line.value {
            Instruction::Add(transfer) => self.transfer("Add", transfer, line),
            Instruction::Copy(transfer) => self.transfer("Copy", transfer, line),
            Instruction::Arg(words) => self.arguments(words, line),
            Instruction::Cmd(command) => self.command("CMD", command, line),
            Instruction::Entrypoint(command) => self.command("ENTRYPOINT", command, line),
            Instruction::Env(pairs) => self.variables(pairs, line),
            Instruction::Label(pairs) => {
                self.words(pairs.iter().flat_map(|(name, value)| [name, value]), line);
            }
            Instruction::Expose(ports) => self.ports(ports, line),
            Instruction::Maintainer(_) => {
                let detail = "Maintainer instruction is deprecated in favor of using label";
                self.findings.add(MAINTAINER_DEPRECATED, place(line), detail.to_owned());
            }
            Instruction::Shell(_) => self.heritage.has_shell = true,
            Instruction::Stopsignal(word) | Instruction::User(word) => self.words([word], line),
            Instruction::Volume(words) => self.words(words, line),
            Instruction::Workdir(path) => self.workdir(path, line),
            Instruction::Healthcheck(_) | Instruction::Onbuild(_) | Instruction::Run(_) => {}
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        self.heritage.env.get(name).or_else(|| self.heritage.args.get(name)).cloned()
    }

    /// Expands words and complains of what is not defined; each may become several.
    fn expand(&mut self, text: &str, quotes: Quotes, line: &Located<Instruction>) -> Vec<String> {
        let lookup = |name: &str| self.value(name);
        let expander = Expander::new(self.escape, &lookup).quotes(quotes);
        // What cannot be expanded fails the build with words of its own.
        let expanded = expander.words(text).unwrap_or_default();
        for name in expanded.unset {
            let is_whole = self.heritage.is_whole;
            let Heritage { env, args, .. } = &self.heritage;
            let known = env.keys().chain(args.keys()).map(String::as_str);
            // An image may define what looks like `PATH` mistyped.
            let known = known.filter(|known| is_whole || *known != "PATH");
            let hint = self.findings.hint(&name, known, "$");
            if is_whole || !hint.is_empty() {
                let detail = format!("Usage of undefined variable '${name}'{hint}");
                self.findings.add(UNDEFINED_VAR, place(line), detail);
            }
        }
        expanded.value
    }

    fn words<'w>(
        &mut self,
        words: impl IntoIterator<Item = &'w String>,
        line: &Located<Instruction>,
    ) {
        for word in words {
            self.expand(word, Quotes::Remove, line);
        }
    }

    fn arguments(&mut self, words: &[ArgWord], line: &Located<Instruction>) {
        for arg in words {
            secret("ARG", &arg.name, line, self.findings);
            let default = arg.default.as_ref();
            let default = default.map(|text| self.expand(text, Quotes::Remove, line).join(" "));
            let given = self.options.build_args.get(&arg.name).cloned().flatten();
            let value = given.or(default).or_else(|| self.globals.get(&arg.name).cloned());
            if self.heritage.args.len() >= MOST_VARIABLES {
                self.heritage.is_whole = false;
                return;
            }
            if value.is_none() {
                self.blank.insert(arg.name.clone());
            } else {
                self.blank.remove(&arg.name);
            }
            self.heritage.args.insert(arg.name.clone(), short(value.unwrap_or_default()));
        }
    }

    fn variables(&mut self, pairs: &[(String, String)], line: &Located<Instruction>) {
        let mut set = Vec::new();
        for (name, value) in pairs {
            secret("ENV", name, line, self.findings);
            let name = self.expand(name, Quotes::Remove, line).join(" ");
            let value = self.expand(value, Quotes::Remove, line).join(" ");
            set.push((name, short(value)));
        }
        if self.heritage.env.len() + set.len() > MOST_VARIABLES {
            self.heritage.is_whole = false;
            return;
        }
        self.heritage.env.extend(set);
    }

    fn transfer(&mut self, verb: &str, transfer: &Transfer, line: &Located<Instruction>) {
        let flags = [&transfer.chown, &transfer.chmod, &transfer.checksum];
        self.words(flags.into_iter().flatten(), line);
        self.words([&transfer.destination], line);
        for document in transfer.heredocs.iter().filter(|document| document.is_expanded) {
            self.expand(&document.content, Quotes::Literal, line);
        }
        for source in &transfer.sources {
            let path = self.expand(source, Quotes::Remove, line).join(" ");
            let Some(ignore) = self.options.ignore else {
                continue;
            };
            let is_remote = transfer.from.is_some()
                || path.contains("://")
                || (verb == "Add" && path.starts_with("git@"));
            let path = clean(&path);
            // Where something is taken back, a folder may be ignored but not all that is in it.
            if !is_remote && !ignore.has_exceptions() && ignore.matches(&path) {
                let detail =
                    format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
                self.findings.add(COPY_IGNORED_FILE, place(line), detail);
            }
        }
    }

    fn command(&mut self, name: &str, command: &Command, line: &Located<Instruction>) {
        if matches!(command, Command::Shell(_)) && !self.heritage.has_shell {
            let detail = format!(
                "JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
            );
            self.findings.add(JSON_ARGS_RECOMMENDED, place(line), detail);
        }
    }

    fn ports(&mut self, ports: &[String], line: &Located<Instruction>) {
        for port in ports {
            for port in self.expand(port, Quotes::Remove, line) {
                let (number, protocol) = port.rsplit_once('/').unwrap_or((&port, ""));
                if protocol != protocol.to_lowercase() {
                    let detail = format!(
                        "Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                    );
                    self.findings.add(EXPOSE_PROTO_CASING, place(line), detail);
                }
                if number.contains(':') {
                    let detail = format!(
                        "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                    );
                    self.findings.add(EXPOSE_INVALID_FORMAT, place(line), detail);
                }
            }
        }
    }

    fn workdir(&mut self, path: &str, line: &Located<Instruction>) {
        let expanded = self.expand(path, Quotes::Remove, line).join(" ");
        // What an argument without a value will be is not known.
        let is_open = path.starts_with('$') && self.blank.iter().any(|name| path.contains(name));
        let is_relative = !expanded.starts_with('/') && !expanded.contains(":\\");
        if is_relative && !is_open && !expanded.is_empty() && !self.heritage.has_workdir {
            let detail = format!(
                "Relative workdir {expanded:?} can have unexpected results if the base image changes"
            );
            self.findings.add(WORKDIR_RELATIVE_PATH, place(line), detail);
        }
        self.heritage.has_workdir = true;
    }
}

/// The name of an instruction of which only the last one counts.
fn used_once(instruction: &Instruction) -> Option<&'static str> {
    if let Instruction::Cmd(_) = instruction {
        Some("CMD")
    } else if let Instruction::Entrypoint(_) = instruction {
        Some("ENTRYPOINT")
    } else if let Instruction::Healthcheck(_) = instruction {
        Some("HEALTHCHECK")
    } else {
        None
    }
}

/// Complains of a name that sounds like a secret.
fn secret<T>(instruction: &str, name: &str, line: &Located<T>, findings: &mut Findings<'_>) {
    let lower = name.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&SECRET) && !has(&PUBLIC) {
        let detail = format!(
            "Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})"
        );
        findings.add(SECRETS_USED_IN_ARG_OR_ENV, place(line), detail);
    }
}

/// A source as a path in the context.
fn clean(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}
