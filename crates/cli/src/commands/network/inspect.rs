//! `barge network inspect`

use clap::Args as _;

use crate::commands::inspect;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::INSPECT_HELP;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "inspect",
    about: "Display detailed information on one or more networks",
    usage: "[OPTIONS] NETWORK [NETWORK...]",
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
    /// Verbose output for diagnostics
    #[arg(short, long)]
    verbose: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let client = session.client().await?;
    inspect::show(session, (&input.arguments, flags.format.as_deref()), |name| async move {
        Ok(if flags.verbose {
            client.networks().inspect_verbose(name).await?
        } else {
            client.networks().inspect_raw(name).await?
        })
    })
    .await
}
