//! `barge start`

use barge_client::{AttachOptions, Client, WaitFor};
use clap::Args as _;
use futures_util::stream::StreamExt as _;

use super::at_once;
use super::attached::{self, Attached, Ended, Stdin, Tty};
use super::run::exit;
use super::signals::{Forward, Signals};
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "start",
    about: "Start one or more stopped containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    aliases: &["container start", "start"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    if flags.attach || flags.interactive {
        if input.arguments.len() > 1 {
            return Err(CliError::Invalid(
                "you cannot start and attach multiple containers at once".to_owned(),
            ));
        }
        return attach(session.client().await?, input.argument(0), flags).await;
    }
    let client = session.client().await?;
    let mut results = at_once(&input.arguments, |name| client.containers().start(name));
    let mut failed = Vec::new();
    while let Some((name, mut result)) = results.next().await {
        // It may need one that is named before it (a link to it, its network), which has been started by now.
        if input.arguments.first().is_some_and(|first| first != name)
            && result.as_ref().is_err_and(barge_client::ClientError::is_conflict)
        {
            result = client.containers().start(name).await;
        }
        match result {
            Ok(()) => session.streams.line(name)?,
            Err(error) => {
                session.streams.note(error);
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(CliError::Invalid(format!("Error: failed to start containers: {}", failed.join(", "))))
}

async fn attach(client: &Client, name: &str, flags: Flags) -> Result<()> {
    let containers = client.containers();
    let container = containers.inspect(name).await?;
    let id = &container.id;
    let tty = Tty::from(container.config.tty);
    let stdin = Stdin::from(flags.interactive && container.config.open_stdin);
    attached::check_terminal(tty, stdin)?;
    // As in Docker, a terminal's signals are its keys.
    let signals = Signals::listen(Forward::from(tty == Tty::No), tty)?;
    let options = AttachOptions {
        stream: true,
        stdin: stdin == Stdin::Attached,
        stdout: true,
        stderr: true,
        detach_keys: flags.detach_keys.filter(|keys| !keys.is_empty()),
        logs: false,
    };
    let until =
        if container.host_config.auto_remove { WaitFor::Removed } else { WaitFor::NextExit };
    let (hijacked, wait) =
        tokio::try_join!(containers.attach(id, &options), containers.wait(id, until))?;
    let copying = attached::copy(hijacked, tty, stdin)?;
    if let Err(error) = containers.start(id).await {
        // Gives the terminal back before anything is said on it.
        drop(copying);
        return Err(error.into());
    }
    if tty == Tty::Yes {
        attached::resize(client, id).await;
    }
    let attached = Attached { client, id, name, tty, wait, copying, signals };
    match attached.follow().await? {
        Ended::Exited(0) | Ended::Detached => Ok(()),
        Ended::Exited(code) => Err(exit(code)),
    }
}
