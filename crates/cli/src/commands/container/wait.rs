//! `barge wait`

use barge_client::WaitFor;
use clap::Args as _;

use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "wait",
    about: "Block until one or more containers stop, then print their exit codes",
    usage: "CONTAINER [CONTAINER...]",
    aliases: &["container wait", "wait"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: NoFlags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

async fn run(session: &Session, input: Input) -> Result<()> {
    let client = session.client().await?;
    let mut errors = Vec::new();
    for name in &input.arguments {
        let status = async {
            let wait = client.containers().wait(name, WaitFor::NotRunning).await?;
            wait.result().await
        };
        match status.await {
            Ok(status) => match status.error.filter(|error| !error.message.is_empty()) {
                Some(error) => errors.push(CliError::Invalid(error.message)),
                None => session.streams.line(status.status_code)?,
            },
            Err(error) => errors.push(error.into()),
        }
    }
    CliError::collect(errors)
}
