//! `barge exec`

use barge_api_types::{ExecCreateRequest, ExecStartRequest};
use barge_client::Client;
use clap::Args as _;

use super::attached::{self, Copying, Stdin, Tty};
use super::config::text::{self, variable};
use super::run::exit;
use super::signals::{Forward, Proxy, Signals};
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;
use crate::terminal::{self, Size};

pub(crate) const VERB: Verb = Verb {
    name: "exec",
    about: "Execute a command in a running container",
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    aliases: &["container exec", "exec"],
    arity: Arity::AtLeast(2),
    order: Order::FlagsFirst,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
struct Flags {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = variable)]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "string", default_value = "")]
    user: String,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "")]
    workdir: String,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let (tty, stdin) = (Tty::from(flags.tty), Stdin::from(flags.interactive));
    if !flags.detach {
        attached::check_terminal(tty, stdin)?;
    }
    let console_size =
        flags.tty.then(terminal::size).flatten().map(|Size { height, width }| [height, width]);
    let request = request(&flags, &input.arguments[1..], console_size)?;
    let client = session.client().await?;
    let id = client.execs().create(input.argument(0), &request).await?.id;
    let start = ExecStartRequest { detach: flags.detach, tty: flags.tty, console_size };
    if flags.detach {
        client.execs().start_detached(&id, &start).await?;
        return Ok(());
    }
    let mut signals = Signals::listen(Forward::No, tty)?;
    let hijacked = client.execs().start(&id, &start).await?;
    let mut copying = attached::copy(hijacked, tty, stdin)?;
    stay(client, &id, (&mut copying, &mut signals)).await?;
    // Gives the terminal back before anything else.
    drop(copying);
    let lost = || CliError::Lost {
        text: format!(
            "the barge daemon at {} went away; what was started in container {} does not end with it",
            client.host(),
            input.argument(0)
        ),
        code: 1,
    };
    match client.execs().inspect(&id).await {
        Err(error) if error.is_gone() || error.is_unreachable() => Err(lost()),
        Err(error) => Err(error.into()),
        Ok(exec) => match exec.exit_code {
            Some(0) => Ok(()),
            Some(code) => Err(exit(code)),
            // It runs on: the user left by the detach keys.
            None if stdin == Stdin::Attached => Ok(()),
            // Without a hand to type them it was another daemon that answered.
            None => Err(lost()),
        },
    }
}

fn request(
    flags: &Flags,
    command: &[String],
    console_size: Option<[u16; 2]>,
) -> Result<ExecCreateRequest> {
    let attached = !flags.detach;
    Ok(ExecCreateRequest {
        user: flags.user.clone(),
        privileged: flags.privileged,
        tty: flags.tty,
        console_size,
        attach_stdin: attached && flags.interactive,
        attach_stderr: attached,
        attach_stdout: attached,
        detach: flags.detach,
        detach_keys: flags.detach_keys.clone(),
        env: text::environment(&flags.env_file, &flags.env)?,
        working_dir: flags.workdir.clone(),
        cmd: command.to_vec().into(),
    })
}

async fn stay(
    client: &Client,
    id: &str,
    (copying, signals): (&mut Copying, &mut Signals),
) -> Result<()> {
    loop {
        tokio::select! {
            result = copying.finished() => return result,
            event = signals.next() => {
                if let (Proxy::Resized, Some(Size { height, width })) = (event, terminal::size()) {
                    attached::report(client.execs().resize(id, height, width).await);
                }
            }
        }
    }
}
