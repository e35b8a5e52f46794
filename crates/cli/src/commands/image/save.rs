//! `barge save`

use std::path::PathBuf;

use barge_client::ApiVersion;
use clap::Args as _;

use crate::commands::{Arity, Input, Verb, archive_file};
use crate::error::Result;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "save",
    about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    aliases: &["image save", "save"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Save only the given platform(s)
    #[arg(long, value_name = "strings")]
    platform: Vec<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let output = flags.output.as_deref().filter(|path| !path.as_os_str().is_empty());
    archive_file::check_output(output, "save")?;
    let platforms = session.platforms(&flags.platform, ApiVersion::new(48)).await?;
    let client = session.client().await?;
    let archive = client.images().save(&input.arguments, &platforms).await?;
    archive_file::write(archive, (output, "Saving")).await
}
