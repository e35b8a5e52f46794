//! `barge container prune`

use barge_types::size::human_decimal;
use clap::Args as _;

use crate::commands::system::prune::PruneFlags;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "prune",
    about: "Remove all stopped containers",
    usage: "[OPTIONS]",
    aliases: &[],
    arity: Arity::None,
    order: Order::Any,
    flags: PruneFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: PruneFlags = input.flags()?;
    flags.agreed(
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?",
    )?;
    let client = session.client().await?;
    let pruned = client.containers().prune(&filters::collect(flags.filter)).await?;
    let mut text = String::new();
    if !pruned.containers_deleted.is_empty() {
        text.push_str("Deleted Containers:\n");
        for id in &pruned.containers_deleted {
            text.push_str(&format!("{id}\n"));
        }
        text.push('\n');
    }
    text.push_str(&format!("Total reclaimed space: {}\n", human_decimal(pruned.space_reclaimed)));
    session.streams.write(text)
}
