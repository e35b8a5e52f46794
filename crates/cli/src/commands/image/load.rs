//! `barge load`

use std::fs::File;

use barge_client::{ApiVersion, Verbosity};
use clap::Args as _;

use super::upload;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::progress::{Counter, Progress, Show};
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
        Some(path) => {
            upload(File::open(path).map_err(CliError::file("open", path))?, Counter::default())
        }
        None if terminal::stdin_is_terminal() => {
            return Err(CliError::Invalid(
                "requested load from stdin, but stdin is empty".to_owned(),
            ));
        }
        None => upload(std::io::stdin(), Counter::default()),
    };
    let platforms = session.platforms(&flags.platform, ApiVersion::new(48)).await?;
    let progress = Progress::new(Show::OnStdout);
    // What was loaded is told either way, as in Docker; `--quiet` leaves out the bars.
    let verbosity =
        if flags.quiet || !progress.is_drawn() { Verbosity::Quiet } else { Verbosity::Progress };
    let images = session.client().await?.images();
    progress.follow(images.load(archive, (verbosity, &platforms)).await?).await?;
    Ok(())
}
