//! `barge image inspect`

use barge_client::ApiVersion;
use clap::Args as _;

use crate::commands::inspect;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::INSPECT_HELP;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "inspect",
    about: "Display detailed information on one or more images",
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    aliases: &[],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    #[arg(short, long, value_name = "string", help = INSPECT_HELP)]
    format: Option<String>,
    /// Inspect a specific platform of the multi-platform image. Formatted as "os[/arch[/variant]]"
    /// (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let platform = flags.platform.iter().cloned().collect::<Vec<_>>();
    let platform = session.platforms(&platform, ApiVersion::new(49)).await?.pop();
    let platform = platform.as_deref();
    let client = session.client().await?;
    inspect::show(session, (&input.arguments, flags.format.as_deref()), |name| async move {
        Ok(client.images().inspect_raw(name, platform).await?)
    })
    .await
}
