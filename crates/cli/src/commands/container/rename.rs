//! `barge rename`

use clap::Args as _;

use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::{CliError, Result, chain};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "rename",
    about: "Rename a container",
    usage: "CONTAINER NEW_NAME",
    aliases: &["container rename", "rename"],
    arity: Arity::Exactly(2),
    order: Order::Any,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let (old, new) = (input.argument(0).trim(), input.argument(1).trim());
    if old.is_empty() || new.is_empty() {
        return Err(CliError::Invalid("Error: Neither old nor new names may be empty".to_owned()));
    }
    session.client().await?.containers().rename(old, new).await.map_err(|error| {
        let text =
            format!("{}\nError: failed to rename container named {old}", chain(&error.into()));
        CliError::Invalid(text)
    })
}
