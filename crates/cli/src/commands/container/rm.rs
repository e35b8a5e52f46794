//! `barge rm`

use barge_client::RemoveOptions;
use clap::Args as _;
use futures_util::stream::StreamExt as _;

use super::at_once;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "rm",
    about: "Remove one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    aliases: &["container rm", "container remove", "rm"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let options = RemoveOptions { force: flags.force, volumes: flags.volumes, link: flags.link };
    let client = session.client().await?;
    let names: Vec<String> =
        input.arguments.iter().map(|name| name.trim_start_matches('/').to_owned()).collect();
    let mut results = at_once(&names, |name| client.containers().remove(name, options));
    let mut errors = Vec::new();
    while let Some((name, result)) = results.next().await {
        match result {
            Ok(()) => session.streams.line(name)?,
            // What is not there need not be removed: said, but no failure.
            Err(error) if flags.force && error.is_not_found() => session.streams.note(error),
            Err(error) => errors.push(error.into()),
        }
    }
    CliError::collect(errors)
}
