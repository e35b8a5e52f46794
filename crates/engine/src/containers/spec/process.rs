//! The process section: the container's command, and that of an exec.

use barge_api_types::ExecCreateRequest;
use barge_oci::runtime::{LinuxCapabilities, Process, User};

use super::environment;
use crate::containers::record::ContainerRecord;
use crate::containers::settings::{NewPrivileges, Settings};

/// The container's own command.
pub(super) fn first(
    record: &ContainerRecord,
    settings: &Settings,
    (groups, linked): (&[u32], &[String]),
) -> Process {
    let config = &record.config;
    let (path, arguments) = super::super::command(config);
    let score = record.host_config.oom_score_adj;
    Process {
        terminal: config.tty,
        user: user(&config.user, groups),
        args: std::iter::once(path).chain(arguments).collect(),
        env: environment::build(config, linked, config.tty),
        cwd: barge_types::path::clean(&config.working_dir),
        oom_score_adj: i32::try_from(score).ok().filter(|score| *score != 0),
        ..rights(settings)
    }
}

/// One more command in the container.
pub(crate) fn exec(
    record: &ContainerRecord,
    settings: &Settings,
    (groups, linked): (&[u32], &[String]),
    request: &ExecCreateRequest,
) -> Process {
    let config = &record.config;
    let base = environment::build(config, linked, request.tty);
    let folder =
        [&request.working_dir, &config.working_dir].into_iter().find(|folder| !folder.is_empty());
    let name = if request.user.is_empty() { &config.user } else { &request.user };
    let mut process = Process {
        terminal: request.tty,
        user: user(name, groups),
        args: request.cmd.to_vec(),
        env: environment::merge(base, &request.env),
        cwd: folder.map_or("/", String::as_str).to_owned(),
        ..rights(settings)
    };
    if request.privileged {
        let all = crate::containers::settings::all_capabilities();
        process.capabilities = Some(capabilities(&all));
    }
    process
}

/// The runtime looks the name up in the container's own files; without one it is root with root's groups.
fn user(name: &str, groups: &[u32]) -> User {
    let name = if name.is_empty() { "0" } else { name };
    User { username: Some(name.to_owned()), additional_gids: groups.to_vec(), ..User::default() }
}

/// What every process of the container may do.
fn rights(settings: &Settings) -> Process {
    Process {
        capabilities: Some(capabilities(&settings.security.capabilities)),
        rlimits: settings.rlimits.clone(),
        no_new_privileges: settings.security.privileges == NewPrivileges::Denied,
        apparmor_profile: settings.security.apparmor.clone(),
        ..Process::default()
    }
}

/// Bounding, effective and permitted; never inheritable (CVE-2022-24769) and, as in Docker, never ambient.
fn capabilities(names: &[String]) -> LinuxCapabilities {
    LinuxCapabilities {
        bounding: names.to_vec(),
        effective: names.to_vec(),
        permitted: names.to_vec(),
        ..LinuxCapabilities::default()
    }
}
