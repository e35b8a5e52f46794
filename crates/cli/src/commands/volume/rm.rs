//! `barge volume rm`

use barge_client::VolumeRemoval;
use clap::Args as _;

use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "rm",
    about: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    aliases: &["volume rm", "volume remove"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let removal = if flags.force { VolumeRemoval::Force } else { VolumeRemoval::Plain };
    let volumes = session.client().await?.volumes();
    let mut errors = Vec::new();
    for name in &input.arguments {
        match volumes.remove(name, removal).await {
            Ok(()) => session.streams.line(name)?,
            Err(error) => errors.push(error.into()),
        }
    }
    CliError::collect(errors)
}
