//! What a request and its image say of a health check, parsed at the door.

use std::time::Duration;

use barge_api_types::{ContainerConfig, HealthConfig, HostConfig};
use barge_oci::image::Healthcheck;

use crate::containers::settings::invalid;
use crate::error::Result;

/// What Docker takes where nobody says.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// Shorter times are refused, as by dockerd.
const SHORTEST: i64 = 1_000_000;
/// The shell of `CMD-SHELL` where the image names none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A container's health check, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Between the end of one probe and the start of the next.
    pub(crate) interval: Duration,
    /// After which a probe is killed and counts as failed.
    pub(crate) timeout: Duration,
    /// How long after the start failures do not count, as long as no probe succeeds.
    pub(crate) start_period: Duration,
    /// Instead of `interval` in that time.
    pub(crate) start_interval: Duration,
    /// So many failures in a row make it unhealthy.
    pub(crate) retries: u32,
    pub(crate) on_failure: OnFailure,
}

/// What is done with a container that became unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// It is told.
    Nothing,
    /// It is stopped and started.
    Restart,
    /// It is stopped, whatever its restart policy says.
    Stop,
    /// It is killed; its restart policy goes by that.
    Kill,
}

impl HealthCheck {
    /// The check of a configuration that has its image's added; none when there is none, or it was turned off.
    pub(crate) fn parse(config: &ContainerConfig, host: &HostConfig) -> Result<Option<Self>> {
        let on_failure = OnFailure::parse(&host.health_on_failure)?;
        if on_failure == OnFailure::Restart && host.auto_remove {
            return Err(invalid(
                "can't create 'AutoRemove' container with the on-failure action restart",
            ));
        }
        let check = match &config.healthcheck {
            Some(given) => Self::of(given, config, on_failure)?,
            None => None,
        };
        if check.is_none() && on_failure != OnFailure::Nothing {
            return Err(invalid(format!(
                "cannot set on-failure action to {} without a health check",
                host.health_on_failure
            )));
        }
        Ok(check)
    }

    fn of(
        given: &HealthConfig,
        config: &ContainerConfig,
        on_failure: OnFailure,
    ) -> Result<Option<Self>> {
        check_times(given)?;
        let Some(command) = command(given, config)? else {
            return Ok(None);
        };
        let time = |nanoseconds: i64, default: Duration| match u64::try_from(nanoseconds) {
            Ok(nanoseconds @ 1..) => Duration::from_nanos(nanoseconds),
            Ok(0) | Err(_) => default,
        };
        let retries = u32::try_from(given.retries).unwrap_or(u32::MAX);
        Ok(Some(Self {
            command,
            interval: time(given.interval, INTERVAL),
            timeout: time(given.timeout, TIMEOUT),
            start_period: time(given.start_period, Duration::ZERO),
            start_interval: time(given.start_interval, START_INTERVAL),
            retries: if retries == 0 { RETRIES } else { retries },
            on_failure,
        }))
    }
}

impl OnFailure {
    fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "none" => Ok(Self::Nothing),
            "restart" => Ok(Self::Restart),
            "stop" => Ok(Self::Stop),
            "kill" => Ok(Self::Kill),
            other => Err(invalid(format!(
                "invalid on-failure action {other:?} for health check: supported actions are none,restart,stop,kill"
            ))),
        }
    }
}

/// In dockerd's words.
fn check_times(given: &HealthConfig) -> Result<()> {
    for (name, time) in [
        ("Interval", given.interval),
        ("Timeout", given.timeout),
        ("StartPeriod", given.start_period),
        ("StartInterval", given.start_interval),
    ] {
        if time != 0 && time < SHORTEST {
            return Err(invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if given.retries < 0 {
        return Err(invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

/// The words to run; dockerd ignores a kind that it does not know, and dies of one without words.
fn command(given: &HealthConfig, config: &ContainerConfig) -> Result<Option<Vec<String>>> {
    let Some((kind, words)) = given.test.split_first() else {
        return Ok(None);
    };
    let shell = || match config.shell.as_slice() {
        [] => SHELL.map(str::to_owned).to_vec(),
        shell => shell.to_vec(),
    };
    let command = match kind.as_str() {
        "NONE" => return Ok(None),
        "CMD" => words.to_vec(),
        "CMD-SHELL" if words.is_empty() => Vec::new(),
        "CMD-SHELL" => shell().into_iter().chain(words.iter().cloned()).collect(),
        other => {
            return Err(invalid(format!(
                "unknown type {other:?} in Healthcheck: use CMD, CMD-SHELL or NONE"
            )));
        }
    };
    if command.is_empty() {
        return Err(invalid(format!("missing command after {kind} in Healthcheck")));
    }
    Ok(Some(command))
}

/// What an image's check adds to a request's: each field that says nothing is the image's, as in Docker.
pub(crate) fn add_image_check(given: &mut Option<HealthConfig>, image: Option<&Healthcheck>) {
    let Some(image) = image else {
        return;
    };
    let given = given.get_or_insert_default();
    if given.test.is_empty() {
        given.test.clone_from(&image.test);
    }
    for (own, other) in [
        (&mut given.interval, image.interval),
        (&mut given.timeout, image.timeout),
        (&mut given.start_period, image.start_period),
        (&mut given.start_interval, image.start_interval),
        (&mut given.retries, image.retries),
    ] {
        if *own == 0 {
            *own = other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(check: HealthConfig, action: &str) -> std::result::Result<HealthCheck, String> {
        let config = ContainerConfig { healthcheck: Some(check), ..ContainerConfig::default() };
        let host = HostConfig { health_on_failure: action.to_owned(), ..HostConfig::default() };
        match HealthCheck::parse(&config, &host) {
            Ok(check) => check.ok_or_else(|| "none".to_owned()),
            Err(error) => Err(error.message()),
        }
    }

    fn test(words: &[&str]) -> HealthConfig {
        let test = words.iter().map(|word| (*word).to_owned()).collect();
        HealthConfig { test, ..HealthConfig::default() }
    }

    #[test]
    fn what_is_not_said_is_as_in_docker() {
        let check = parsed(test(&["CMD", "/probe", "-q"]), "").unwrap();
        assert_eq!(check.command, ["/probe", "-q"]);
        assert_eq!((check.interval, check.timeout), (INTERVAL, TIMEOUT));
        assert_eq!((check.start_period, check.start_interval), (Duration::ZERO, START_INTERVAL));
        assert_eq!((check.retries, check.on_failure), (3, OnFailure::Nothing));
    }

    #[test]
    fn a_shell_command_is_run_by_the_images_shell() {
        let shell = parsed(test(&["CMD-SHELL", "true"]), "").unwrap().command;
        assert_eq!(shell, ["/bin/sh", "-c", "true"]);
        let config = ContainerConfig {
            healthcheck: Some(test(&["CMD-SHELL", "true"])),
            shell: vec!["/bin/bash".to_owned(), "-ec".to_owned()].into(),
            ..ContainerConfig::default()
        };
        let check = HealthCheck::parse(&config, &HostConfig::default()).unwrap().unwrap();
        assert_eq!(check.command, ["/bin/bash", "-ec", "true"]);
    }

    #[test]
    fn a_check_can_be_turned_off_and_nothing_is_none() {
        for words in [&["NONE"][..], &["NONE", "x"], &[]] {
            assert_eq!(parsed(test(words), "none"), Err("none".to_owned()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_dockers_words() {
        let with = |change: fn(&mut HealthConfig)| {
            let mut check = test(&["CMD", "x"]);
            change(&mut check);
            parsed(check, "").unwrap_err()
        };
        let short = |name: &str| format!("{name} in Healthcheck cannot be less than 1ms");
        assert_eq!(with(|check| check.interval = 999_999), short("Interval"));
        assert_eq!(with(|check| check.timeout = -1), short("Timeout"));
        assert_eq!(with(|check| check.start_period = 1), short("StartPeriod"));
        assert_eq!(with(|check| check.start_interval = 1), short("StartInterval"));
        assert_eq!(with(|check| check.retries = -1), "Retries in Healthcheck cannot be negative");
        assert!(parsed(test(&["CMD"]), "").unwrap_err().contains("missing command after CMD"));
        assert!(parsed(test(&["CMD-SHELL"]), "").unwrap_err().contains("missing command"));
        assert!(parsed(test(&["FOO", "x"]), "").unwrap_err().contains("unknown type \"FOO\""));
    }

    #[test]
    fn an_action_needs_a_check_and_a_name_that_is_known() {
        assert_eq!(parsed(test(&["CMD", "x"]), "restart").unwrap().on_failure, OnFailure::Restart);
        assert!(parsed(test(&["CMD", "x"]), "reboot").unwrap_err().contains("\"reboot\""));
        assert!(parsed(test(&["NONE"]), "kill").unwrap_err().contains("without a health check"));
    }

    #[test]
    fn each_field_that_says_nothing_is_the_images() {
        let image = Healthcheck {
            test: vec!["CMD".to_owned(), "x".to_owned()],
            interval: 7,
            retries: 9,
            ..Healthcheck::default()
        };
        let mut given = Some(HealthConfig { interval: 5, ..HealthConfig::default() });
        add_image_check(&mut given, Some(&image));
        let merged = given.unwrap();
        assert_eq!((merged.interval, merged.retries), (5, 9));
        assert_eq!(merged.test, ["CMD", "x"]);
        let mut none = None;
        add_image_check(&mut none, None);
        assert_eq!(none, None);
        let mut off = Some(test(&["NONE"]));
        add_image_check(&mut off, Some(&image));
        assert_eq!(off.unwrap().test, ["NONE"]);
    }
}
