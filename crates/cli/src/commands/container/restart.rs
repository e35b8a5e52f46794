//! `barge restart`

use clap::Args as _;

use super::{each, stop};
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "restart",
    about: "Restart one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    aliases: &["container restart", "restart"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: stop::Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let options = input.flags::<stop::Flags>()?.options(session)?;
    let client = session.client().await?;
    each(session, &input.arguments, |name| client.containers().restart(name, &options)).await
}
