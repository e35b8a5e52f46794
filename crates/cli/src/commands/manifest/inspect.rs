//! `barge manifest inspect`: what a name stands for in its registry.
//!
//! The daemon asks the registry (`GET /distribution/{name}/json`), not we: its trust, its mirrors
//! and its proxies count. That endpoint gives the descriptor and the platforms; a manifest's own
//! text it does not give, and what needs that is refused.

use clap::Args as _;

use crate::commands::image::reference;
use crate::commands::{Arity, Input, Verb};
use crate::credentials;
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "inspect",
    about: "Display an image manifest, or manifest list",
    usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    aliases: &[],
    arity: Arity::Between(1, 2),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Allow communication with an insecure registry
    #[arg(long)]
    insecure: bool,
    /// Output additional info including layers and platform
    #[arg(short, long)]
    verbose: bool,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    if flags.insecure {
        return Err(CliError::Invalid(
            "--insecure is not supported: the daemon asks the registry; name the registry in \
             \"insecure-registries\" of its daemon.json"
                .to_owned(),
        ));
    }
    if flags.verbose {
        return Err(CliError::Invalid(
            "--verbose is not supported: the daemon's API tells a manifest's descriptor and \
             platforms, not its layers"
                .to_owned(),
        ));
    }
    if input.arguments.len() > 1 {
        return Err(CliError::Invalid(
            "local manifest lists are not supported: name the manifest only".to_owned(),
        ));
    }
    let text = input.argument(0);
    let name = reference(text)?;
    let auth = credentials::for_image(&session.config_folder(), &name)?;
    let found = match session.client().await?.registry().inspect(&name.to_string(), &auth).await {
        Err(error) if error.is_not_found() => {
            return Err(CliError::Invalid(format!("no such manifest: {text}")));
        }
        result => result?,
    };
    let mut out = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, tabs);
    serde::Serialize::serialize(&found, &mut serializer)
        .map_err(|error| CliError::Invalid(format!("cannot show the manifest: {error}")))?;
    out.push(b'\n');
    session.streams.write(out)
}
