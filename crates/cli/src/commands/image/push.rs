//! `barge push`

use barge_client::{ApiVersion, PushOptions};
use clap::Args as _;

use super::pull::check_trust;
use super::{reference, says_which};
use crate::commands::{Arity, Input, Verb};
use crate::credentials;
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::progress::{Progress, Show};
use crate::session::Session;
use crate::streams::Streams;

pub(crate) const VERB: Verb = Verb {
    name: "push",
    about: "Upload an image to a registry",
    usage: "[OPTIONS] NAME[:TAG]",
    aliases: &["image push", "push"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image signing (default true)
    #[arg(long, default_value = "true", hide = true)]
    disable_content_trust: bool,
    /// Push a platform-specific manifest as a single-platform image to the registry. Image index
    /// won't be pushed, meaning that other manifests, including attestations won't be preserved.
    /// 'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
}

/// What a push of one platform leaves out, in the words of Docker's client.
const PLATFORM_NOTE: &str = "
 Info -> Using --platform pushes only the specified platform manifest of a multi-platform image index.
         Other components, like attestations, will not be included.
         To push the complete multi-platform image, remove the --platform flag.
";

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    check_trust(flags.disable_content_trust)?;
    let text = input.argument(0);
    let name = reference(text)?;
    if flags.all_tags && says_which(text) {
        return Err(CliError::Invalid("tag can't be used with --all-tags/-a".to_owned()));
    }
    if name.digest().is_some() {
        return Err(CliError::Invalid("cannot push a digest reference".to_owned()));
    }
    if !flags.all_tags && !says_which(text) && !flags.quiet {
        session.streams.line("Using default tag: latest")?;
    }
    let platforms: Vec<String> = flags.platform.into_iter().collect();
    let options = PushOptions {
        repository: name.familiar_name(),
        tag: (!flags.all_tags).then(|| name.tag().unwrap_or("latest").to_owned()),
        platform: session.platforms(&platforms, ApiVersion::new(46)).await?.pop(),
        auth: credentials::for_image(&session.config_folder(), &name)?,
    };
    if options.platform.is_some() {
        Streams.note(PLATFORM_NOTE);
    }
    let show = if flags.quiet { Show::Nothing } else { Show::OnStdout };
    let messages = session.client().await?.images().push(&options).await?;
    Progress::new(show).follow(messages).await?;
    if flags.quiet {
        return session.streams.line(if flags.all_tags {
            name.repository()
        } else {
            name.to_string()
        });
    }
    Ok(())
}
