//! `barge rmi`

use barge_client::{ApiVersion, ImageRemoveOptions};
use clap::Args as _;

use super::removed;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "rm",
    about: "Remove one or more images",
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    aliases: &["image rm", "image remove", "rmi"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    /// Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g.,
    /// "linux/amd64")
    #[arg(long, value_name = "strings")]
    platform: Vec<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let options = ImageRemoveOptions {
        force: flags.force,
        keep_parents: flags.no_prune,
        platforms: session.platforms(&flags.platform, ApiVersion::new(50)).await?,
    };
    let images = session.client().await?.images();
    let mut errors = Vec::new();
    for name in &input.arguments {
        match images.remove(name, &options).await {
            Ok(items) => {
                let lines = items.iter().map(|item| removed(item) + "\n");
                session.streams.write(lines.collect::<String>())?;
            }
            // What is not there need not be removed: said, but no failure.
            Err(error) if flags.force && error.is_not_found() => session.streams.note(error),
            Err(error) => errors.push(error.into()),
        }
    }
    CliError::collect(errors)
}
