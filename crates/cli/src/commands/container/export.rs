//! `barge export`

use std::path::PathBuf;

use clap::Args as _;

use crate::commands::{Arity, Input, Verb, archive_file};
use crate::error::Result;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "export",
    about: "Export a container's filesystem as a tar archive",
    usage: "[OPTIONS] CONTAINER",
    aliases: &["container export", "export"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let output = flags.output.as_deref().filter(|path| !path.as_os_str().is_empty());
    archive_file::check_output(output, "export")?;
    let archive = session.client().await?.containers().export(input.argument(0)).await?;
    archive_file::write(archive, (output, "Exporting")).await
}
