//! `barge top`

use clap::Args as _;

use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::Result;
use crate::flags::Order;
use crate::format::table;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "top",
    about: "Display the running processes of a container",
    usage: "CONTAINER [ps OPTIONS]",
    aliases: &["container top", "top"],
    arity: Arity::AtLeast(1),
    order: Order::FlagsFirst,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let client = session.client().await?;
    let arguments = input.arguments[1..].join(" ");
    let top = client.containers().top(input.argument(0), &arguments).await?;
    let mut lines = vec![top.titles.join("\t")];
    lines.extend(top.processes.iter().map(|process| process.join("\t")));
    // Docker sets this one twenty wide.
    session.streams.write(table::set_with(&lines, (20, 3)))
}
