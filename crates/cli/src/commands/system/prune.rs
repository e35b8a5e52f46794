//! `barge system prune`, and what all prunes have in common: asking first.

use std::io::{self, BufRead as _, Write as _};

use barge_api_types::{ImageDeleteResponseItem, ImagesPruneResponse};
use barge_client::{BuildPruneOptions, Records, StatusCode};
use barge_types::size::human_decimal;
use clap::Args as _;

use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::filters::{self, filter};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "prune",
    about: "Remove unused data",
    usage: "[OPTIONS]",
    aliases: &[],
    arity: Arity::None,
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

/// Of every prune.
#[derive(clap::Args, Debug)]
pub(in crate::commands) struct PruneFlags {
    /// Which objects.
    #[arg(long, help = "Provide filter values (e.g. \"label=<key>=<value>\")", value_name = "filter", value_parser = filter)]
    pub(in crate::commands) filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl PruneFlags {
    /// Goes on only with the user's consent, which `--force` gives beforehand.
    pub(in crate::commands) fn agreed(&self, question: &str) -> Result<()> {
        if self.force { Ok(()) } else { ask(question) }
    }
}

#[derive(clap::Args, Debug)]
struct Flags {
    #[command(flatten)]
    prune: PruneFlags,
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let is_until = |(name, _): &(String, String)| name == "until";
    if flags.volumes && flags.prune.filter.iter().any(is_until) {
        return Err(CliError::Invalid(
            "ERROR: The \"until\" filter is not supported with \"--volumes\"".to_owned(),
        ));
    }
    flags.prune.agreed(&warning(&flags))?;
    let all = filters::collect(flags.prune.filter);
    let client = session.client().await?;
    let mut text = String::new();
    let containers = client.containers().prune(&all).await?;
    let mut reclaimed = containers.space_reclaimed;
    list(&mut text, "Deleted Containers", &containers.containers_deleted);
    let networks = there_is(client.networks().prune(&all).await)?;
    list(&mut text, "Deleted Networks", &networks.networks_deleted);
    if flags.volumes {
        let volumes = client.volumes().prune(&all).await?;
        reclaimed += volumes.space_reclaimed;
        list(&mut text, "Deleted Volumes", &volumes.volumes_deleted);
    }
    let mut images = all.clone();
    images.add("dangling", if flags.all { "false" } else { "true" });
    let images = client.images().prune(&images).await?;
    reclaimed += images.space_reclaimed;
    list(&mut text, "Deleted Images", &deleted_images(&images));
    let which = if flags.all { Records::All } else { Records::Dangling };
    let options = BuildPruneOptions { which, filters: all, ..BuildPruneOptions::default() };
    let records = there_is(client.builds().prune(&options).await)?;
    reclaimed += records.space_reclaimed;
    list(&mut text, "Deleted build cache objects", &records.caches_deleted);
    text.push_str(&format!("Total reclaimed space: {}\n", human_decimal(reclaimed)));
    session.streams.write(text)
}

/// A kind of objects that the daemon does not have needs no pruning.
fn there_is<T: Default>(pruned: barge_client::Result<T>) -> Result<T> {
    match pruned {
        Err(error) if error.status() == Some(StatusCode::NOT_IMPLEMENTED) => Ok(T::default()),
        result => Ok(result?),
    }
}

fn warning(flags: &Flags) -> String {
    let mut text = "WARNING! This will remove:\n  - all stopped containers\n  \
                    - all networks not used by at least one container\n"
        .to_owned();
    if flags.volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(if flags.all {
        "  - all images without at least one container associated to them\n  - all build cache\n"
    } else {
        "  - all dangling images\n  - unused build cache\n"
    });
    if !flags.prune.filter.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for (name, value) in &flags.prune.filter {
            text.push_str(&format!("  - {name}={value}\n"));
        }
    }
    text.push_str("\nAre you sure you want to continue?");
    text
}

/// What became of images, one line each; unlike `rmi`, Docker writes these in lower case.
pub(in crate::commands) fn deleted_images(pruned: &ImagesPruneResponse) -> Vec<String> {
    let line = |item: &ImageDeleteResponseItem| {
        if item.untagged.is_empty() {
            format!("deleted: {}", item.deleted)
        } else {
            format!("untagged: {}", item.untagged)
        }
    };
    pruned.images_deleted.iter().map(line).collect()
}

/// A headed list, if there is anything in it.
pub(in crate::commands) fn list(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("{title}:\n"));
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
}

/// Asks on the terminal; no answer is a no.
fn ask(question: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{question} [y/N] ").as_bytes())
        .and_then(|()| out.flush())
        .map_err(CliError::stdio("write to standard output"))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(CliError::stdio("read the answer"))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(CliError::Exit(0)),
    }
}
