//! `barge builder prune`

use barge_client::{BuildPruneOptions, Records};
use barge_types::size::human_decimal;
use clap::Args as _;

use super::fields::wrong;
use crate::commands::container::config::limits::bytes;
use crate::commands::system::prune::{PruneFlags, list};
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::filters;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "prune",
    about: "Remove build cache",
    usage: "[OPTIONS]",
    aliases: &["builder prune", "buildx prune"],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    #[command(flatten)]
    prune: PruneFlags,
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Override the configured builder instance; there is one, called "default"
    #[arg(long, value_name = "string", default_value = "")]
    builder: String,
    /// Amount of disk space to keep for cache
    #[arg(long, value_name = "bytes", value_parser = bytes, default_value = "0")]
    keep_storage: i64,
    /// Maximum amount of disk space allowed to keep for cache
    #[arg(long, value_name = "bytes", value_parser = bytes, default_value = "0")]
    max_used_space: i64,
    /// Target amount of free disk space after pruning
    #[arg(long, value_name = "bytes", value_parser = bytes, default_value = "0")]
    min_free_space: i64,
    /// Amount of disk space always allowed to keep for cache
    #[arg(long, value_name = "bytes", value_parser = bytes, default_value = "0")]
    reserved_space: i64,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    super::request::check_builder(&flags.builder)?;
    if flags.keep_storage > 0 && flags.reserved_space > 0 {
        return Err(wrong("--keep-storage and --reserved-space are two names for one thing"));
    }
    let which = if flags.all { "all build cache" } else { "all dangling build cache" };
    let question = format!("WARNING! This will remove {which}. Are you sure you want to continue?");
    flags.prune.agreed(&question)?;
    // None is negative: the parser takes care of it.
    let space = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let options = BuildPruneOptions {
        which: if flags.all { Records::All } else { Records::Dangling },
        reserved_space: space(flags.keep_storage.max(flags.reserved_space)),
        max_used_space: space(flags.max_used_space),
        min_free_space: space(flags.min_free_space),
        filters: filters::collect(flags.prune.filter),
    };
    let pruned = session.client().await?.builds().prune(&options).await?;
    let mut text = String::new();
    list(&mut text, "Deleted build cache objects", &pruned.caches_deleted);
    text.push_str(&format!("Total reclaimed space: {}\n", human_decimal(pruned.space_reclaimed)));
    session.streams.write(text)
}
