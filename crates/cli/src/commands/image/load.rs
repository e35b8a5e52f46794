//! `barge load`

use std::fs::File;

use clap::Args as _;

use super::{Show, show, upload};
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;
use crate::terminal;

pub(crate) const VERB: Verb = Verb {
    name: "load",
    about: "Load an image from a tar archive or STDIN",
    usage: "[OPTIONS]",
    aliases: &["image load", "load"],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<String>,
    /// Load only the given platform(s)
    #[arg(long, value_name = "strings")]
    platform: Vec<String>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let archive = match flags.input.as_deref().filter(|path| !path.is_empty()) {
        Some(path) => upload(File::open(path).map_err(CliError::file("open", path))?),
        None if terminal::stdin_is_terminal() => {
            return Err(CliError::Invalid(
                "requested load from stdin, but stdin is empty".to_owned(),
            ));
        }
        None => upload(std::io::stdin()),
    };
    // Without bars there is nothing that `--quiet` would leave out: what was loaded is told either
    // way, as in Docker.
    let progress = session.client().await?.images().load(archive, &flags.platform).await?;
    show(Show::OnStdout, progress).await
}
