//! `barge volume create`

use barge_api_types::VolumeCreateRequest;
use clap::Args as _;

use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "create",
    about: "Create a volume",
    usage: "[OPTIONS] [VOLUME]",
    aliases: &[],
    arity: Arity::AtMost(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Specify volume driver name (default "local")
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// The name, before it became an argument
    #[arg(long, value_name = "string", hide = true)]
    name: Option<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let name = match (input.arguments.first(), flags.name) {
        (Some(_), Some(_)) => {
            return Err(CliError::Invalid(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
                    .to_owned(),
            ));
        }
        (Some(name), None) => name.clone(),
        (None, name) => name.unwrap_or_default(),
    };
    let pair = |text: String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text, String::new()),
    };
    let request = VolumeCreateRequest {
        driver: flags.driver,
        driver_opts: flags.opt.into_iter().map(pair).collect(),
        labels: flags.label.into_iter().map(pair).collect(),
        name,
        ..VolumeCreateRequest::default()
    };
    let volume = session.client().await?.volumes().create(&request).await?;
    session.streams.line(volume.name)
}
