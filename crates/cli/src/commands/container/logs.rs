//! `barge logs`

use std::io::{self, Write as _};

use barge_client::stdcopy::{Splitter, StdStream};
use barge_client::{ByteStream, Client, LogsOptions};
use clap::Args as _;

use super::log_position::Position;
use crate::commands::{Arity, Input, Verb};
use crate::error::{CliError, Result};
use crate::flags::Order;
use crate::format::time::api_time;
use crate::session::Session;
use crate::{PROGRAM, reconnect};

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
    if let Some(tail) = &flags.tail {
        check_tail(tail)?;
    }
    let time = |flag: &str, text: Option<String>| {
        let time = text.as_deref().map(api_time).transpose();
        time.map_err(|error| CliError::Invalid(format!("invalid value for {flag:?}: {error}")))
    };
    let options = LogsOptions {
        follow: flags.follow,
        stdout: true,
        stderr: true,
        timestamps: flags.timestamps,
        details: flags.details,
        since: time("since", flags.since)?,
        until: time("until", flags.until)?,
        tail: flags.tail,
    };
    let client = session.client().await?;
    let name = input.argument(0);
    if options.follow {
        return follow(client, name, options).await;
    }
    let mut stream = client.containers().logs(name, &options).await?;
    let raw = match stream.content_type() {
        "application/vnd.docker.raw-stream" => true,
        "application/vnd.docker.multiplexed-stream" => false,
        // Before API 1.42 the daemon does not say.
        _ => client.containers().inspect(name).await?.config.tty,
    };
    copy(&mut stream, if raw { None } else { Some(Splitter::default()) }).await
}

/// Daemons take any word for all of the log, as Docker's; here it is said what is wrong with it.
fn check_tail(tail: &str) -> Result<()> {
    // A negative number means all as well.
    if tail.is_empty() || tail == "all" || tail.parse::<i64>().is_ok() {
        return Ok(());
    }
    Err(CliError::Invalid(format!(
        "invalid value {tail:?} for --tail: expected a number of lines or \"all\""
    )))
}

/// Follows a log, also over a restart of the daemon: nothing is lost of it, and nothing comes twice.
async fn follow(client: &Client, name: &str, options: LogsOptions) -> Result<()> {
    let containers = client.containers();
    let container = containers.inspect(name).await?;
    if container.config.tty {
        // Without frames nobody knows where a line's time begins.
        let mut stream = containers.logs(name, &options).await?;
        return copy(&mut stream, None).await.map_err(|error| lost(client, name, error));
    }
    let mut position = Position::new(options.timestamps);
    let begun = api_time("0s")?;
    let mut question = LogsOptions { timestamps: true, ..options };
    loop {
        let outcome = show(client, (&container.id, &question), &mut position).await;
        let error = match outcome {
            Err(CliError::Client(error))
                if error.is_gone() || (position.is_resumed() && error.is_unreachable()) =>
            {
                error
            }
            Err(CliError::Client(error)) if error.is_not_found() && position.is_resumed() => {
                // It went with its end while nobody looked.
                return Err(lost(client, name, error.into()));
            }
            outcome => return outcome,
        };
        if !reconnect::is_back(client).await {
            return Err(lost(client, name, error.into()));
        }
        if let Some(stamp) = position.resume() {
            question.since = Some(api_time(&stamp)?);
            question.tail = None;
        } else if question.tail.as_deref() == Some("0") {
            // Nothing of what was, all of what has come since.
            question.since = Some(begun.clone());
            question.tail = None;
        }
    }
}

async fn show(
    client: &Client,
    (id, question): (&str, &LogsOptions),
    position: &mut Position,
) -> Result<()> {
    let mut stream = client.containers().logs(id, question).await?;
    let mut splitter = Splitter::default();
    let mut streams = Streams::lock();
    while let Some(bytes) = stream.next().await? {
        splitter
            .feed_pieces(&bytes, |piece| {
                position.pass(piece, |stream, text| streams.write(stream, text))
            })
            .and_then(|()| streams.flush())
            .map_err(CliError::stdio("write the log"))?;
    }
    Ok(())
}

/// Ours, for as long as a log is written to them.
struct Streams {
    out: io::StdoutLock<'static>,
    err: io::StderrLock<'static>,
}

impl Streams {
    fn lock() -> Self {
        Self { out: io::stdout().lock(), err: io::stderr().lock() }
    }

    fn write(&mut self, stream: StdStream, piece: &[u8]) -> io::Result<()> {
        match stream {
            StdStream::Out => self.out.write_all(piece),
            StdStream::Err | StdStream::System => self.err.write_all(piece),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn lost(client: &Client, name: &str, error: CliError) -> CliError {
    let CliError::Client(cause) = &error else { return error };
    let gone = format!("the barge daemon at {} went away", client.host());
    let text = if cause.is_gone() || cause.is_unreachable() {
        format!(
            "{gone}; container {name} does not end with it: `{PROGRAM} logs -f {name}` goes on with its log"
        )
    } else if cause.is_not_found() {
        format!("{gone}; when it was back there was no container {name} any more")
    } else {
        return error;
    };
    CliError::Lost { text, code: 1 }
}

async fn copy(stream: &mut ByteStream, mut splitter: Option<Splitter>) -> Result<()> {
    let mut streams = Streams::lock();
    while let Some(bytes) = stream.next().await? {
        match &mut splitter {
            None => streams.write(StdStream::Out, &bytes),
            Some(splitter) => splitter.feed(&bytes, |stream, piece| streams.write(stream, piece)),
        }
        .and_then(|()| streams.flush())
        .map_err(CliError::stdio("write the log"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_a_number_or_all() {
        for tail in ["", "all", "0", "12", "-1"] {
            check_tail(tail).unwrap();
        }
        let error = check_tail("word").unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid value \"word\" for --tail: expected a number of lines or \"all\""
        );
    }
}
