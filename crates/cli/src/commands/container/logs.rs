//! `barge logs`

use std::io::{self, Write as _};

use barge_client::stdcopy::{Splitter, StdStream};
use barge_client::{ByteStream, LogsOptions};
use clap::Args as _;

use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::format::time::api_time;
use crate::session::Session;

pub(crate) const VERB: Verb = Verb {
    name: "logs",
    about: "Fetch the logs of a container",
    usage: "[OPTIONS] CONTAINER",
    aliases: &["container logs", "logs"],
    arity: Arity::Exactly(1),
    order: Order::Any,
    flags: Flags::augment_args,
    run: |session, input| Box::pin(run(session, input)),
};

#[derive(clap::Args, Debug)]
struct Flags {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42
    /// minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs (default "all")
    #[arg(short = 'n', long, value_name = "string")]
    tail: Option<String>,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42
    /// minutes)
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

async fn run(session: &Session, input: Input) -> Result<()> {
    let flags: Flags = input.flags()?;
    let time = |text: Option<String>| text.as_deref().map(api_time).transpose();
    let options = LogsOptions {
        follow: flags.follow,
        stdout: true,
        stderr: true,
        timestamps: flags.timestamps,
        details: flags.details,
        since: time(flags.since)?,
        until: time(flags.until)?,
        tail: flags.tail,
    };
    let containers = session.client().await?.containers();
    let name = input.argument(0);
    let mut stream = containers.logs(name, &options).await?;
    let raw = match stream.content_type() {
        "application/vnd.docker.raw-stream" => true,
        "application/vnd.docker.multiplexed-stream" => false,
        // Before API 1.42 the daemon does not say.
        _ => containers.inspect(name).await?.config.tty,
    };
    copy(&mut stream, if raw { None } else { Some(Splitter::default()) }).await
}

async fn copy(stream: &mut ByteStream, mut splitter: Option<Splitter>) -> Result<()> {
    let written = CliError::stdio;
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    while let Some(bytes) = stream.next().await? {
        match &mut splitter {
            None => out.write_all(&bytes),
            Some(splitter) => splitter.feed(&bytes, |stream, piece| match stream {
                StdStream::Out => out.write_all(piece),
                StdStream::Err | StdStream::System => err.write_all(piece),
            }),
        }
        .and_then(|()| out.flush())
        .map_err(written("write the log"))?;
    }
    Ok(())
}
