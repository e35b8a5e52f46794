//! `barge pull`

use barge_client::PullOptions;
use clap::Args as _;

use super::{reference, says_which, tag_or_digest};
use crate::commands::{Arity, Input, Verb};
use crate::credentials;
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::progress::{Progress, Show};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "pull",
    about: "Download an image from a registry",
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    aliases: &["image pull", "pull"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image verification (default true)
    #[arg(long, default_value = "true", hide = true)]
    disable_content_trust: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    check_trust(flags.disable_content_trust)?;
    let text = input.argument(0);
    let name = reference(text)?;
    if flags.all_tags && says_which(text) {
        return Err(CliError::Invalid("tag can't be used with --all-tags/-a".to_owned()));
    }
    if !flags.all_tags && !says_which(text) && !flags.quiet {
        session.streams.line(format_args!("Using default tag: latest"))?;
    }
    let options = PullOptions {
        repository: name.familiar_name(),
        tag: (!flags.all_tags).then(|| tag_or_digest(&name)),
        platform: flags.platform.filter(|platform| !platform.is_empty()),
        auth: credentials::for_image(&session.config_folder(), &name)?,
    };
    let show = if flags.quiet { Show::Nothing } else { Show::OnStdout };
    let messages = session.client().await?.images().pull(&options).await?;
    Progress::new(show).follow(messages).await?;
    session.streams.line(if flags.all_tags { name.repository() } else { name.to_string() })
}

/// Content trust is gone from Docker's client; asking for it must not pass for having it.
pub(in crate::commands) fn check_trust(disabled: bool) -> Result<()> {
    if disabled && !std::env::var("DOCKER_CONTENT_TRUST").is_ok_and(|value| is_true(&value)) {
        return Ok(());
    }
    Err(CliError::Invalid(
        "content trust is not supported: unset DOCKER_CONTENT_TRUST or leave out \
         --disable-content-trust=false"
            .to_owned(),
    ))
}

fn is_true(text: &str) -> bool {
    crate::flags::boolean(text).unwrap_or(false)
}
