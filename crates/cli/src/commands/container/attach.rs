//! `barge attach`

use barge_api_types::ContainerState;
use barge_client::{AttachOptions, WaitFor};
use clap::Args as _;

use super::attached::{self, Attached, Ended, Stdin, Tty};
use super::run::exit;
use super::signals::{Forward, Signals};
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "attach",
    about: "Attach local standard input, output, and error streams to a running container",
    usage: "[OPTIONS] CONTAINER",
    aliases: &["container attach", "attach"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process (default true)
    #[arg(long, default_value = "true")]
    sig_proxy: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let client = session.client().await?;
    let containers = client.containers();
    let container = containers.inspect(input.argument(0)).await?;
    check(&container.state)?;
    let id = &container.id;
    let tty = Tty::from(container.config.tty);
    let stdin = Stdin::from(!flags.no_stdin && container.config.open_stdin);
    attached::check_terminal(tty, stdin)?;
    // As in Docker, a terminal's signals are its keys.
    let signals = Signals::listen(Forward::from(flags.sig_proxy && tty == Tty::No), tty)?;
    let options = AttachOptions {
        stream: true,
        stdin: stdin == Stdin::Attached,
        stdout: true,
        stderr: true,
        detach_keys: flags.detach_keys.filter(|keys| !keys.is_empty()),
        logs: false,
    };
    let (hijacked, wait) = tokio::try_join!(
        containers.attach(id, &options),
        containers.wait(id, WaitFor::NotRunning),
    )?;
    let copying = attached::copy(hijacked, tty, stdin)?;
    if tty == Tty::Yes {
        attached::redraw(client, id).await;
    }
    let attached = Attached { client, id, name: input.argument(0), tty, wait, copying, signals };
    match attached.follow().await? {
        Ended::Exited(0) | Ended::Detached => Ok(()),
        Ended::Exited(code) => Err(exit(code)),
    }
}

fn check(state: &ContainerState) -> Result<()> {
    let refused = |text: &str| Err(CliError::Invalid(text.to_owned()));
    if !state.running {
        return refused("You cannot attach to a stopped container, start it first");
    }
    if state.paused {
        return refused("You cannot attach to a paused container, unpause it first");
    }
    if state.restarting {
        return refused("You cannot attach to a restarting container, wait until it is running");
    }
    Ok(())
}
