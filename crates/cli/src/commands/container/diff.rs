//! `barge diff`

use clap::Args as _;

use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "diff",
    about: "Inspect changes to files or directories on a container's filesystem",
    usage: "CONTAINER",
    aliases: &["container diff", "diff"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let changes = session.client().await?.containers().changes(input.argument(0)).await?;
    let mut text = String::new();
    for change in changes {
        let letter = match change.kind {
            0 => 'C',
            1 => 'A',
            _ => 'D',
        };
        text.push_str(&format!("{letter} {}\n", change.path));
    }
    session.streams.write(text)
}
