//! `barge image prune`

use barge_types::size::human_decimal;
use clap::Args as _;

use crate::commands::system::prune::{PruneFlags, deleted_images, list};
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "prune",
    about: "Remove unused images",
    usage: "[OPTIONS]",
    aliases: &[],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    #[command(flatten)]
    prune: PruneFlags,
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let which = if flags.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    let question =
        format!("WARNING! This will remove {which}.\nAre you sure you want to continue?");
    flags.prune.agreed(&question)?;
    let mut filters = filters::collect(flags.prune.filter);
    filters.add("dangling", if flags.all { "false" } else { "true" });
    let pruned = session.client().await?.images().prune(&filters).await?;
    let mut text = String::new();
    list(&mut text, "Deleted Images", &deleted_images(&pruned));
    text.push_str(&format!("Total reclaimed space: {}\n", human_decimal(pruned.space_reclaimed)));
    session.streams.write(text)
}
