//! `barge stop`

use barge_client::StopOptions;
use clap::Args as _;

use super::each;
use crate::commands::{Arity, Input, Verb};
use crate::error::Result;
use crate::flags::{Order, integer};
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "stop",
    about: "Stop one or more running containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    aliases: &["container stop", "stop"],
    arity: Arity::AtLeast(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

/// Of `stop` and `restart`.
#[derive(clap::Args, Debug)]
pub(super) struct Flags {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, value_name = "int", value_parser = integer)]
    timeout: Option<i64>,
    /// The name of the flag before Docker 28
    #[arg(long, value_name = "int", value_parser = integer, hide = true)]
    time: Option<i64>,
}

impl Flags {
    pub(super) fn options(self, session: &Session) -> Result<StopOptions> {
        if self.time.is_some() {
            session.streams.line("Flag --time has been deprecated, use --timeout instead")?;
        }
        Ok(StopOptions { signal: self.signal, timeout: self.timeout.or(self.time) })
    }
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let options = input.flags::<Flags>()?.options(session)?;
    let client = session.client().await?;
    each(session, &input.arguments, |name| client.containers().stop(name, &options)).await
}
