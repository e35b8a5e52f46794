//! `barge run`: create, attach, wait, start, stay.
//!
//! Attach and wait are asked for at the same time, over a connection each, and the start goes out
//! when both stand: no output and no exit is missed, and no round trip waits for another that it
//! does not need.

use std::time::Duration;

use barge_client::{AttachOptions, Client, ClientError, WaitFor};
use clap::Args as _;

use super::attached::{self, Attached, Ended, Stdin, Tty};
use super::config::{self, ContainerFlags};
use super::create::{CreateFlags, Plan, not_run};
use super::signals::{Forward, Signals};
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::format::short_id;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "run",
    about: "Create and run a new container from an image",
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    aliases: &["container run", "run"],
    arity: Arity::AtLeast(1),
    order: Order::FlagsFirst,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

/// How long a container that could not be started may take to be removed.
const REMOVAL: Duration = Duration::from_secs(5);

#[derive(clap::Args, Debug)]
struct Flags {
    #[command(flatten)]
    container: ContainerFlags,
    #[command(flatten)]
    create: CreateFlags,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Proxy received signals to the process (default true)
    #[arg(long, default_value = "true")]
    sig_proxy: bool,
}

/// What to attach to, and how.
struct Foreground {
    options: AttachOptions,
    tty: Tty,
    stdin: Stdin,
    forward: Forward,
    until: WaitFor,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let mut request = config::request(&flags.container, &input).map_err(not_run("run"))?;
    let wanted = &mut request.config;
    let foreground = if flags.detach {
        if input.matches.value_source("attach").is_some() {
            return Err(CliError::Invalid(
                "conflicting options: cannot specify both --attach and --detach".to_owned(),
            ));
        }
        wanted.attach_stdin = false;
        wanted.attach_stdout = false;
        wanted.attach_stderr = false;
        wanted.stdin_once = false;
        None
    } else {
        let (tty, stdin) = (Tty::from(wanted.tty), Stdin::from(wanted.attach_stdin));
        attached::check_terminal(tty, stdin)?;
        Some(Foreground {
            options: AttachOptions {
                stream: true,
                stdin: wanted.attach_stdin,
                stdout: wanted.attach_stdout,
                stderr: wanted.attach_stderr,
                detach_keys: flags.detach_keys.filter(|keys| !keys.is_empty()),
                logs: false,
            },
            tty,
            stdin,
            forward: Forward::from(flags.sig_proxy),
            until: if request.host_config.auto_remove {
                WaitFor::Removed
            } else {
                WaitFor::NextExit
            },
        })
    };
    let plan = Plan::new(request, flags.create)
        .map(|plan| plan.with_credentials_in(session.config_folder()))
        .and_then(|plan| plan.with_id_file(&flags.container.cidfile))
        .map_err(not_run("run"))?;
    let client = session.client().await.map_err(not_run("run"))?;
    let given = plan.name().map(str::to_owned);
    let id = plan.make(client).await.map_err(not_run("run"))?;
    let Some(foreground) = foreground else {
        client.containers().start(&id).await.map_err(not_started)?;
        return session.streams.line(id);
    };
    let name = given.unwrap_or_else(|| short_id(&id).to_owned());
    match stay(client, (&id, &name), foreground).await? {
        Ended::Exited(0) | Ended::Detached => Ok(()),
        Ended::Exited(code) => Err(exit(code)),
    }
}

/// The process's own code as ours.
pub(super) fn exit(code: i64) -> CliError {
    // Codes are eight bits; the daemon's 125 to 127 and 128 + n fit.
    CliError::Exit(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}

async fn stay(client: &Client, (id, name): (&str, &str), foreground: Foreground) -> Result<Ended> {
    let containers = client.containers();
    let signals = Signals::listen(foreground.forward, foreground.tty)?;
    let (hijacked, wait) = tokio::try_join!(
        containers.attach(id, &foreground.options),
        containers.wait(id, foreground.until),
    )
    .map_err(|error| not_run("run")(error.into()))?;
    let copying = attached::copy(hijacked, foreground.tty, foreground.stdin)?;
    if let Err(error) = containers.start(id).await {
        // Gives the terminal back before anything is said on it.
        drop(copying);
        if foreground.until == WaitFor::Removed {
            // What is told is why it did not start; whether it is gone yet is not.
            tokio::time::timeout(REMOVAL, wait.result()).await.map(drop).ok();
        }
        return Err(not_started(error));
    }
    if foreground.tty == Tty::Yes {
        attached::resize(client, id).await;
    }
    let tty = foreground.tty;
    let attached = Attached { client, id, name, tty, wait, copying, signals };
    attached.follow().await.map_err(|error| match error {
        error if error.is_broken_pipe() => error,
        other => not_run("run")(other),
    })
}

/// Docker's exit codes for a start that failed: 127 when the command is not there, 126 when it
/// cannot be executed.
fn not_started(error: ClientError) -> CliError {
    if error.is_gone() {
        return not_run("run")(error.into());
    }
    let text = error.to_string();
    let says = |what: &str| text.contains(what);
    let code = if says("executable file not found") || says("no such file or directory") {
        127
    } else if says("permission denied") || says("is a directory") {
        126
    } else {
        125
    };
    CliError::NotRun { cause: Box::new(error.into()), verb: "run", code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_start_has_dockers_exit_code() {
        for (message, code) in [
            ("exec: \"zzz\": executable file not found in $PATH: unknown", 127),
            ("stat /zzz: no such file or directory: unknown", 127),
            ("exec: \"/etc\": is a directory: unknown", 126),
            ("exec: \"/etc/passwd\": permission denied: unknown", 126),
            ("driver failed programming external connectivity", 125),
        ] {
            let error = ClientError::Daemon {
                status: barge_client::StatusCode::BAD_REQUEST,
                message: message.to_owned(),
            };
            assert_eq!(not_started(error).code(), code, "{message}");
        }
    }

    #[test]
    fn exit_codes_are_eight_bits() {
        assert_eq!(exit(7).code(), 7);
        assert_eq!(exit(137).code(), 137);
        assert_eq!(exit(256).code(), 0);
    }
}
