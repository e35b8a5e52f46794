//! `barge container inspect`

use barge_client::Sizes;
use clap::Args as _;

use super::origin::{self, Form};
use crate::commands::inspect;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::INSPECT_HELP;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "inspect",
    about: "Display detailed information on one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    aliases: &[],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Print what makes a container as it is now, as a command ("run") or a file ("compose"), or the request that made
    /// it ("request")
    #[arg(long = "as", value_name = "form", value_parser = origin::form, conflicts_with_all = ["format", "size"])]
    form: Option<Form>,
    #[arg(short, long, value_name = "string", help = INSPECT_HELP)]
    format: Option<String>,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    if let Some(form) = flags.form {
        return origin::show(session, &input.arguments, form).await;
    }
    let sizes = if flags.size { Sizes::Include } else { Sizes::Omit };
    let client = session.client().await?;
    inspect::show(session, (&input.arguments, flags.format.as_deref()), |name| async move {
        Ok(client.containers().inspect_raw(name, sizes).await?)
    })
    .await
}
