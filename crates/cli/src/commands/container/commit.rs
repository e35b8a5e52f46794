//! `barge commit`

use barge_client::CommitOptions;
use clap::Args as _;

use crate::commands::image::reference;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;
use crate::streams::Streams;

pub(crate) const VERB: Verb = Verb {
    name: "commit",
    about: "Create a new image from a container's changes",
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    aliases: &["container commit", "commit"],
    arity: Arity::Between(1, 2),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Disable pausing container during commit
    #[arg(long)]
    no_pause: bool,
    /// Pause container during commit (deprecated: use --no-pause instead)
    #[arg(short, long, default_value = "true", hide = true)]
    pause: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let is_given = |flag: &str| {
        input.matches.value_source(flag) == Some(clap::parser::ValueSource::CommandLine)
    };
    if is_given("pause") {
        if is_given("no_pause") {
            return Err(CliError::Invalid(
                "conflicting options: --no-pause and --pause cannot be used together".to_owned(),
            ));
        }
        Streams.note("Flag --pause has been deprecated, and enabled by default. Use --no-pause to disable pausing during commit.");
    }
    let name = input.arguments.get(1).filter(|name| !name.is_empty());
    let name = name.map(|name| reference(name)).transpose()?;
    if name.as_ref().is_some_and(|name| name.digest().is_some()) {
        return Err(CliError::Invalid("cannot commit to digest reference".to_owned()));
    }
    let options = CommitOptions {
        repository: name.as_ref().map(|name| name.familiar_name()),
        tag: name.as_ref().map(|name| name.tag().unwrap_or("latest").to_owned()),
        message: flags.message,
        author: flags.author,
        changes: flags.change,
        running: flags.no_pause || !flags.pause,
    };
    let id = session.client().await?.containers().commit(input.argument(0), &options).await?;
    session.streams.line(id)
}
