//! What instructions do to an image's configuration, and what the history says of them: BuildKit's words, so that tools
//! that read histories read ours.

mod go_words;
#[cfg(test)]
mod tests;

use barge_dockerfile::ast::{Command, Healthcheck as Check};
use barge_oci::image::{ContainerConfig, Empty, Healthcheck, History, ImageConfig};
use barge_types::Platform;

use crate::error::{BuildError, Result};
use go_words::{duration, quote, quote_all, quote_number};

/// What BuildKit writes beside every line of a history.
const COMMENT: &str = "buildkit.dockerfile.v0";
/// What an image without a `PATH` gets.
pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration of nothing.
pub(crate) fn scratch(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig {
        architecture: platform.architecture().to_owned(),
        os: platform.os().to_owned(),
        variant: platform.variant().unwrap_or_default().to_owned(),
        ..ImageConfig::default()
    };
    let inner = inner(&mut config);
    inner.env.push(PATH.to_owned());
    inner.working_dir = "/".to_owned();
    config
}

/// An image's configuration as the beginning of another one; says what `ONBUILD` triggers it had.
pub(crate) fn derive(base: &ImageConfig) -> (ImageConfig, Vec<String>) {
    let mut config = base.clone();
    // Of the base's build, not of this image.
    for key in ["container", "container_config", "id", "parent", "throwaway"] {
        config.extra.remove(key);
    }
    config.extra.remove(crate::cache::remote::FIELD);
    config.extra.remove("moby.buildkit.cache.v0");
    config.extra.remove("moby.buildkit.buildinfo.v1");
    config.docker_version.clear();
    config.comment.clear();
    let inner = inner(&mut config);
    if env(&inner.env, "PATH").is_none() {
        inner.env.push(PATH.to_owned());
    }
    let triggers = std::mem::take(&mut inner.on_build);
    (config, triggers)
}

/// How a container of it runs.
pub(crate) fn inner(config: &mut ImageConfig) -> &mut ContainerConfig {
    config.config.get_or_insert_default()
}

/// The value of a variable in a list of `NAME=value`.
pub(crate) fn env<'a>(list: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = list.iter().filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Sets a variable where it is, or at the end.
pub(crate) fn set_env(list: &mut Vec<String>, name: &str, value: &str) {
    let pair = format!("{name}={value}");
    let is_it = |pair: &&mut String| pair.split_once('=').is_some_and(|(key, _)| key == name);
    match list.iter_mut().find(is_it) {
        Some(there) => *there = pair,
        None => list.push(pair),
    }
}

/// Adds a line to the history; without a time where it made no layer: see [`date`].
pub(crate) fn record(
    config: &mut ImageConfig,
    line: String,
    created: Option<String>,
    step: StepKind,
) {
    config.history.push(History {
        created,
        created_by: line,
        comment: COMMENT.to_owned(),
        empty_layer: step == StepKind::Metadata,
        ..History::default()
    });
}

/// Gives the lines of a build (those after `base`) that made no layer the time of the layer before them, or of the first
/// one after them: the same steps found in the cache give the same image. Without any layer it is that of the base.
pub(crate) fn date(config: &mut ImageConfig, base: usize, now: &str) {
    let own = config.history.get(base..).unwrap_or_default();
    let first = own.iter().find_map(|line| line.created.clone());
    let below = || config.history.iter().rev().find_map(|line| line.created.clone());
    let mut time = first.or_else(below).unwrap_or_else(|| now.to_owned());
    for line in config.history.iter_mut().skip(base) {
        match &line.created {
            Some(created) => time.clone_from(created),
            None => line.created = Some(time.clone()),
        }
    }
    config.created = Some(time);
}

/// Whether a step made a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// Yes.
    Layer,
    /// No.
    Metadata,
}

/// A command with the shell before it where it is for one.
pub(crate) fn with_shell(config: &mut ImageConfig, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => {
            let mut words = inner(config).shell.clone();
            if words.is_empty() {
                words = vec!["/bin/sh".to_owned(), "-c".to_owned()];
            }
            words.push(text.clone());
            words
        }
    }
}

/// `CMD`.
pub(crate) fn cmd(config: &mut ImageConfig, command: &Command) -> String {
    let words = with_shell(config, command);
    let line = format!("CMD {}", quote_all(&words));
    let inner = inner(config);
    inner.cmd = Some(words);
    inner.args_escaped = true;
    line
}

/// `ENTRYPOINT`. A `CMD` that came with the base goes with its entry point.
pub(crate) fn entrypoint(config: &mut ImageConfig, command: &Command, cmd: CmdOf) -> String {
    let words = with_shell(config, command);
    let line = format!("ENTRYPOINT {}", quote_all(&words));
    let inner = inner(config);
    inner.entrypoint = Some(words);
    if cmd == CmdOf::Base {
        inner.cmd = None;
    }
    line
}

/// Whose `CMD` an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CmdOf {
    /// That of what it stands on.
    Base,
    /// That of this stage.
    Stage,
}

/// `ENV`.
pub(crate) fn set_all_env(config: &mut ImageConfig, pairs: &[(String, String)]) -> String {
    let mut line = "ENV".to_owned();
    for (name, value) in pairs {
        set_env(&mut inner(config).env, name, value);
        line.push_str(&format!(" {name}={value}"));
    }
    line
}

/// `LABEL`.
pub(crate) fn label(config: &mut ImageConfig, pairs: Vec<(String, String)>) -> String {
    let mut line = "LABEL".to_owned();
    for (name, value) in pairs {
        line.push_str(&format!(" {name}={value}"));
        inner(config).labels.insert(name, value);
    }
    line
}

/// `EXPOSE`.
pub(crate) fn expose(config: &mut ImageConfig, words: &[String]) -> Result<String> {
    let mut ports = Vec::new();
    for word in words {
        ports.extend(ports_of(word)?);
    }
    ports.sort();
    ports.dedup();
    let shown: Vec<String> = ports.iter().map(|port| format!("{port}:{{}}")).collect();
    inner(config).exposed_ports.extend(ports.into_iter().map(|port| (port, Empty {})));
    Ok(format!("EXPOSE map[{}]", shown.join(" ")))
}

/// `80`, `80/udp`, `80-90/tcp` → each port.
fn ports_of(word: &str) -> Result<Vec<String>> {
    let wrong = || BuildError::Invalid(format!("invalid containerPort: {word}"));
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(BuildError::Invalid(format!("invalid proto: {protocol}")));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let first: u16 = first.parse().map_err(|_| wrong())?;
    let last: u16 = last.parse().map_err(|_| wrong())?;
    if first > last {
        return Err(wrong());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `VOLUME`.
pub(crate) fn volume(config: &mut ImageConfig, paths: &[String]) -> Result<String> {
    if paths.iter().any(String::is_empty) {
        let text = "VOLUME specified can not be an empty string";
        return Err(BuildError::Invalid(text.to_owned()));
    }
    inner(config).volumes.extend(paths.iter().map(|path| (path.clone(), Empty {})));
    Ok(format!("VOLUME [{}]", paths.join(" ")))
}

/// `USER`.
pub(crate) fn user(config: &mut ImageConfig, user: &str) -> String {
    user.clone_into(&mut inner(config).user);
    format!("USER {user}")
}

/// `STOPSIGNAL`.
pub(crate) fn stop_signal(config: &mut ImageConfig, signal: &str) -> Result<String> {
    if signal.parse::<barge_types::Signal>().is_err() {
        return Err(BuildError::Invalid(format!("Invalid signal: {signal}")));
    }
    signal.clone_into(&mut inner(config).stop_signal);
    Ok(format!("STOPSIGNAL {signal}"))
}

/// `SHELL`.
pub(crate) fn shell(config: &mut ImageConfig, words: &[String]) -> String {
    words.clone_into(&mut inner(config).shell);
    format!("SHELL [{}]", words.join(" "))
}

/// `MAINTAINER`.
pub(crate) fn maintainer(config: &mut ImageConfig, name: &str) -> String {
    name.clone_into(&mut config.author);
    format!("MAINTAINER {name}")
}

/// `HEALTHCHECK`.
pub(crate) fn healthcheck(config: &mut ImageConfig, check: &Check) -> String {
    let check = match check {
        Check::None => Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() },
        Check::Command { command, interval, timeout, start_period, start_interval, retries } => {
            let test = match command {
                Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                Command::Exec(words) => {
                    let words = words.iter().cloned();
                    std::iter::once("CMD".to_owned()).chain(words).collect()
                }
            };
            Healthcheck {
                test,
                interval: *interval,
                timeout: *timeout,
                start_period: *start_period,
                start_interval: *start_interval,
                retries: *retries,
            }
        }
    };
    let times = [check.interval, check.timeout, check.start_period, check.start_interval];
    let times: Vec<String> = times.iter().map(|time| quote(&duration(*time))).collect();
    let line = format!(
        "HEALTHCHECK &{{{} {} {}}}",
        quote_all(&check.test),
        times.join(" "),
        quote_number(check.retries)
    );
    inner(config).healthcheck = Some(check);
    line
}

/// An absolute path, `path` seen from `folder`, without `.` and `..`.
pub(crate) fn join(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
