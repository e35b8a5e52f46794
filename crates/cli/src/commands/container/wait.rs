//! `barge wait`

use barge_api_types::ContainerWaitResponse;
use barge_client::{Client, WaitFor};
use clap::Args as _;

use crate::commands::{Arity, Input, NoFlags, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::session::Session;
use crate::{PROGRAM, reconnect};

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
        match status(client, name).await {
            Ok(status) => match status.error.filter(|error| !error.message.is_empty()) {
                Some(error) => errors.push(CliError::Invalid(error.message)),
                None => session.streams.line(status.status_code)?,
            },
            Err(error) => errors.push(error),
        }
    }
    CliError::collect(errors)
}

/// A daemon that is started again is asked again: the container has gone on, or ended as its shim has written down.
async fn status(client: &Client, name: &str) -> Result<ContainerWaitResponse> {
    let mut is_first = true;
    loop {
        let asked = async {
            let wait = client.containers().wait(name, WaitFor::NotRunning).await?;
            wait.result().await
        };
        match asked.await {
            Err(error) if error.is_gone() || (!is_first && error.is_unreachable()) => {
                if !reconnect::is_back(client).await {
                    return Err(CliError::Lost {
                        text: format!(
                            "the barge daemon at {} went away; container {name} does not end with \
                             it: `{PROGRAM} wait {name}` waits for it again",
                            client.host()
                        ),
                        code: 1,
                    });
                }
            }
            Err(error) if error.is_not_found() && !is_first => {
                return Err(CliError::Lost {
                    text: format!(
                        "the barge daemon at {} went away; when it was back there was no container \
                         {name} any more",
                        client.host()
                    ),
                    code: 1,
                });
            }
            result => return Ok(result?),
        }
        is_first = false;
    }
}
