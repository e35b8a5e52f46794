//! `barge pause`

use clap::Args as _;

use super::each;
use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "pause",
    about: "Pause all processes within one or more containers",
    usage: "CONTAINER [CONTAINER...]",
    aliases: &["container pause", "pause"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let client = session.client().await?;
    each(session, &input.arguments, |name| client.containers().pause(name)).await
}
