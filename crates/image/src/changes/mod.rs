//! `--change`: Dockerfile instructions that alter a configuration without running anything.
//!
//! Only the instructions that Docker allows for commit and import; texts of refusals are Docker's.

mod healthcheck;
mod words;

use barge_oci::image::{ContainerConfig, Empty};
use barge_types::{Port, Protocol, Signal};

use crate::error::{ImageError, Result};

/// The shell of the shell form.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Applies instructions, one or more in each text, in order.
///
/// # Errors
/// [`ImageError::Change`] for what is no such instruction; the configuration may be half changed
/// then.
pub fn apply(config: &mut ContainerConfig, changes: &[String]) -> Result<()> {
    let mut cmd_is_set = false;
    let lines = logical_lines(&changes.join("\n"));
    if lines.is_empty() && !changes.is_empty() {
        return wrong("file with no instructions");
    }
    for line in lines {
        let (instruction, rest) = match line.split_once(char::is_whitespace) {
            Some((instruction, rest)) => (instruction, rest.trim()),
            None => (line.as_str(), ""),
        };
        match instruction.to_ascii_lowercase().as_str() {
            "cmd" => {
                config.cmd = Some(command(config, rest));
                cmd_is_set = true;
            }
            "entrypoint" => {
                config.entrypoint = Some(command(config, rest)).filter(|words| !words.is_empty());
                // A command of the base belongs to its entry point.
                if !cmd_is_set {
                    config.cmd = None;
                }
            }
            "env" => env(config, rest)?,
            "label" => label(config, rest)?,
            "expose" => expose(config, rest)?,
            "user" => config.user = one(config, "USER", rest)?,
            "volume" => volume(config, rest)?,
            "workdir" => config.working_dir = workdir(config, rest)?,
            "stopsignal" => config.stop_signal = stop_signal(config, rest)?,
            "healthcheck" => config.healthcheck = Some(healthcheck::parse(rest)?),
            "onbuild" => config.on_build.push(on_build(rest)?),
            _ => return wrong(format!("{instruction} is not a valid change command")),
        }
    }
    Ok(())
}

fn wrong<T>(text: impl Into<String>) -> Result<T> {
    Err(ImageError::Change(text.into()))
}

/// Lines without comments and blank ones; a backslash at the end takes the next one in.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') || (line.is_empty() && current.is_empty()) {
            continue;
        }
        if let Some(begin) = line.strip_suffix('\\') {
            current.push_str(begin);
            continue;
        }
        current.push_str(line);
        lines.push(std::mem::take(&mut current));
    }
    if !current.trim().is_empty() {
        lines.push(current);
    }
    lines
}

/// `["a", "b"]`, when the text is that.
fn json_words(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// The exec form as it is, the shell form in the shell.
fn command(config: &ContainerConfig, text: &str) -> Vec<String> {
    if let Some(words) = json_words(text) {
        return words;
    }
    if text.is_empty() {
        return Vec::new();
    }
    let mut words = if config.shell.is_empty() {
        DEFAULT_SHELL.map(str::to_owned).to_vec()
    } else {
        config.shell.clone()
    };
    words.push(text.to_owned());
    words
}

fn env(config: &mut ContainerConfig, text: &str) -> Result<()> {
    for (key, value) in words::pairs("ENV", text, &config.env)? {
        let entry = format!("{key}={value}");
        let is_same = |old: &String| old.split('=').next() == Some(key.as_str());
        match config.env.iter_mut().find(|old| is_same(old)) {
            Some(old) => *old = entry,
            None => config.env.push(entry),
        }
    }
    Ok(())
}

fn label(config: &mut ContainerConfig, text: &str) -> Result<()> {
    let pairs = words::pairs("LABEL", text, &config.env)?;
    config.labels.extend(pairs);
    Ok(())
}

fn expose(config: &mut ContainerConfig, text: &str) -> Result<()> {
    let words = words::list(text, &config.env)?;
    if words.is_empty() {
        return wrong("EXPOSE requires at least one argument");
    }
    for word in words {
        for port in ports(&word)? {
            config.exposed_ports.insert(port.to_string(), Empty {});
        }
    }
    Ok(())
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn ports(word: &str) -> Result<Vec<Port>> {
    let (numbers, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let Ok(protocol) = protocol.parse::<Protocol>() else {
        return wrong(format!("invalid proto: {protocol}"));
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first > 0 && first <= last => {
            Ok((first..=last).map(|number| Port { number, protocol }).collect())
        }
        _ => wrong(format!("invalid containerPort: {numbers}")),
    }
}

fn one(config: &ContainerConfig, instruction: &str, text: &str) -> Result<String> {
    let value = words::expand(text, &config.env)?;
    if value.is_empty() {
        return wrong(format!("{instruction} requires exactly one argument"));
    }
    Ok(value)
}

fn volume(config: &mut ContainerConfig, text: &str) -> Result<()> {
    let words = match json_words(text) {
        Some(words) => words,
        None => words::list(text, &config.env)?,
    };
    if words.is_empty() {
        return wrong("VOLUME requires at least one argument");
    }
    for word in words {
        if word.trim().is_empty() {
            return wrong("VOLUME specified can not be an empty string");
        }
        config.volumes.insert(word, Empty {});
    }
    Ok(())
}

fn workdir(config: &ContainerConfig, text: &str) -> Result<String> {
    let path = one(config, "WORKDIR", text)?;
    let joined =
        if path.starts_with('/') { path } else { format!("{}/{path}", config.working_dir) };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

fn stop_signal(config: &ContainerConfig, text: &str) -> Result<String> {
    let signal = one(config, "STOPSIGNAL", text)?;
    match signal.parse::<Signal>() {
        Ok(_) => Ok(signal),
        Err(error) => wrong(error.to_string()),
    }
}

fn on_build(text: &str) -> Result<String> {
    let instruction = text.split_whitespace().next().unwrap_or_default();
    match instruction.to_ascii_uppercase().as_str() {
        "" => wrong("ONBUILD requires at least one argument"),
        "ONBUILD" => wrong("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        name @ ("FROM" | "MAINTAINER") => {
            wrong(format!("{name} isn't allowed as an ONBUILD trigger"))
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
