//! `barge tag`

use barge_types::Reference;
use clap::Args as _;

use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "tag",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    aliases: &["image tag", "tag"],
    arity: Arity::Exactly(2),
    order: Order::Any,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let target: Reference = input.argument(1).parse().map_err(|error| {
        CliError::Invalid(format!(
            "Error parsing reference: {:?} is not a valid repository/tag: {error}",
            input.argument(1)
        ))
    })?;
    let images = session.client().await?.images();
    let tag = target.tag().unwrap_or("latest");
    images.tag(input.argument(0), &target.familiar_name(), tag).await?;
    Ok(())
}
