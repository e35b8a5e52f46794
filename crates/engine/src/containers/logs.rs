//! `logs`: what a container wrote, read from its log file while its shim goes on writing to it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use barge_logdriver::{
    LogSubject, ReadOptions, Reader, Record, Stream, TailLength, Watch, format_fixed,
};
use barge_shim_api::{LogConfig, LogOrigin};
use bytes::Bytes;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::container::{Container, Rest};
use super::settings::invalid;
use super::state::State;
use super::{Containers, command};
use crate::error::{EngineError, Result};
use crate::{blocking, time};

/// What of a log is wanted, and how.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the parameters of the API, by its names")]
pub struct LogsOptions {
    /// Goes on until the container ends.
    pub follow: bool,
    /// With stdout.
    pub stdout: bool,
    /// With stderr.
    pub stderr: bool,
    /// Begins here.
    pub since: Option<String>,
    /// Ends here.
    pub until: Option<String>,
    /// With the time before each line.
    pub timestamps: bool,
    /// With the attributes before each line.
    pub details: bool,
    /// So many of the last lines; `all` or nothing for all.
    pub tail: Option<String>,
}

/// A log on its way to a client; framed unless the container has a terminal.
#[derive(Debug)]
pub struct LogStream {
    /// Whether the container has a terminal.
    pub tty: bool,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
}

impl LogStream {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.chunks.recv().await
    }
}

/// About how much is read before it is sent.
const CHUNK: usize = 64 * 1024;

impl Containers {
    /// Begins to read a log.
    pub async fn logs(self: &Arc<Self>, name: &str, options: LogsOptions) -> Result<LogStream> {
        let container = self.registry.find(name)?;
        if !options.stdout && !options.stderr {
            return Err(invalid("Bad parameters: you must choose at least one stream"));
        }
        let record = container.record();
        let driver = &record.host_config.log_config.kind;
        let Some(log) = self.log_file(&container) else {
            return Err(EngineError::NotImplemented(format!(
                "configured logging driver does not support reading: {driver}"
            )));
        };
        let read = read_options(&options)?;
        let (sender, chunks) = mpsc::channel(4);
        let tty = record.config.tty;
        let source = blocking::run(move || {
            // Watched before it is read: what is written in between wakes the reader.
            let follow = if options.follow { Follow::start(&log.path) } else { Follow::No };
            Ok(Source { reader: Reader::open(&log, read)?, follow, options, tty })
        })
        .await?;
        tokio::spawn(async move {
            if let Err(error) = pump(source, &container, &sender).await {
                // A client that went away does not want to know.
                sender.send(Err(io::Error::other(error.message()))).await.ok();
            }
        });
        Ok(LogStream { tty, chunks })
    }

    /// What its shim is told of a container's log.
    pub(super) fn log_config(&self, container: &Container) -> Result<LogConfig> {
        let record = container.record();
        let log = &record.host_config.log_config;
        let name = record.name.to_string();
        let image = record.image.to_string();
        let (program, arguments) = command(&record.config);
        let subject = LogSubject {
            id: container.id.as_str(),
            name: &name,
            image_id: &image,
            image_name: &record.config.image,
            labels: &record.config.labels,
            env: &record.config.env,
            command: &std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" "),
        };
        Ok(LogConfig {
            driver: log.kind.clone(),
            // A driver that writes no file does not look at it.
            path: self.log_file(container).map(|log| log.path).unwrap_or_default(),
            options: log.config.clone(),
            attributes: barge_logdriver::attributes(&log.kind, &log.config, &subject)?,
            origin: LogOrigin {
                id: container.id.to_string(),
                tag: barge_logdriver::tag(&log.config, &subject)?,
                command: subject.command.to_owned(),
                created: record.created.clone(),
                image_id: image.clone(),
                image_name: record.config.image.clone(),
                name: name.clone(),
            },
        })
    }
}

fn read_options(options: &LogsOptions) -> Result<ReadOptions> {
    let moment = |text: &Option<String>| match text.as_deref() {
        None | Some("" | "0") => Ok(None),
        Some(text) => time::parse(text).map(time::unix_nanos).map(Some).ok_or_else(|| {
            invalid(format!(
                "invalid value for \"since\" or \"until\": {text:?}: expected seconds or RFC 3339"
            ))
        }),
    };
    let tail = match options.tail.as_deref() {
        None | Some("" | "all") => TailLength::All,
        // As Docker: what is no number of lines means all of them.
        Some(text) => text.parse().map_or(TailLength::All, TailLength::Last),
    };
    Ok(ReadOptions { tail, since: moment(&options.since)?, until: moment(&options.until)? })
}

/// A watch as the reactor wants it.
struct Watched(Watch);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe because the descriptor must stay open: `Watched` owns it"
)]
fn watched(watch: Watch) -> Result<AsyncFd<Watched>> {
    AsyncFd::new(Watched(watch)).map_err(EngineError::io("watch", "a log"))
}

/// How it is found out that there is more.
enum Follow {
    No,
    /// The kernel tells.
    Watch(Watch),
    /// The kernel has no more watches (128 for all programs of a user, unless told otherwise): looks again and again.
    Looks,
}

impl Follow {
    fn start(path: &std::path::Path) -> Self {
        match Watch::new(path) {
            Ok(watch) => Self::Watch(watch),
            Err(error) => {
                tracing::debug!(%error, "a log is followed without a watch");
                Self::Looks
            }
        }
    }
}

/// How often a log is looked at that the kernel does not watch.
const LOOK_EVERY: Duration = Duration::from_millis(200);

struct Source {
    reader: Reader,
    follow: Follow,
    options: LogsOptions,
    tty: bool,
}

async fn pump(
    source: Source,
    container: &Container,
    out: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<()> {
    let Source { mut reader, follow, options, tty } = source;
    let follows = !matches!(follow, Follow::No);
    let watch = match follow {
        Follow::Watch(watch) => Some(watched(watch)?),
        Follow::No | Follow::Looks => None,
    };
    let mut progress = container.watch();
    loop {
        // Looked at before the read: what was written until then is found by it.
        let is_last = is_complete(container, progress.borrow_and_update().rest);
        let wanted = options.clone();
        let (returned, chunk, is_drained) = blocking::run(move || {
            let mut chunk = Vec::new();
            let is_drained = fill(&mut reader, &wanted, tty, &mut chunk)?;
            Ok((reader, chunk, is_drained))
        })
        .await?;
        reader = returned;
        if !chunk.is_empty() && out.send(Ok(Bytes::from(chunk))).await.is_err() {
            return Ok(());
        }
        if reader.is_finished() || (is_drained && (is_last || !follows)) {
            return Ok(());
        }
        if is_drained {
            tokio::select! {
                () = out.closed() => return Ok(()),
                changed = progress.changed() => drop(changed),
                changed = change(watch.as_ref()) => changed?,
            }
        }
    }
}

/// Waits until something was written, or could have been.
async fn change(watch: Option<&AsyncFd<Watched>>) -> Result<()> {
    let Some(watch) = watch else {
        tokio::time::sleep(LOOK_EVERY).await;
        return Ok(());
    };
    let mut ready = watch.readable().await.map_err(EngineError::io("watch", "a log"))?;
    watch.get_ref().0.drain()?;
    ready.clear_ready();
    Ok(())
}

/// Whether nothing will be written any more.
fn is_complete(container: &Container, rest: Rest) -> bool {
    match container.state() {
        State::Running(_) | State::Restarting(_) => false,
        State::Created(_) | State::Exited(_) | State::Removing(_) => rest == Rest::Settled,
    }
}

/// Reads about a chunk; true when there is no more at the moment.
fn fill(
    reader: &mut Reader,
    options: &LogsOptions,
    tty: bool,
    chunk: &mut Vec<u8>,
) -> Result<bool> {
    while chunk.len() < CHUNK {
        let Some(record) = reader.next_record()? else {
            return Ok(true);
        };
        let is_wanted = match record.stream {
            Stream::Stdout => options.stdout,
            Stream::Stderr => options.stderr,
        };
        if is_wanted {
            append(&record, options, tty, chunk);
        }
    }
    Ok(false)
}

fn append(record: &Record, options: &LogsOptions, tty: bool, chunk: &mut Vec<u8>) {
    let mut line = Vec::with_capacity(record.line.len() + 40);
    if options.timestamps {
        line.extend_from_slice(format_fixed(record.time).as_bytes());
        line.push(b' ');
    }
    if options.details {
        line.extend_from_slice(record.details().as_bytes());
        line.push(b' ');
    }
    line.extend_from_slice(&record.line);
    if !tty {
        let stream = match record.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        chunk.extend_from_slice(&[stream, 0, 0, 0]);
        chunk.extend_from_slice(&u32::try_from(line.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    chunk.extend_from_slice(&line);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_line_is_framed_without_a_terminal_and_raw_with_one() {
        let record = Record {
            stream: Stream::Stderr,
            time: 0,
            line: b"hi\n".to_vec(),
            attributes: BTreeMap::new(),
        };
        let mut framed = Vec::new();
        append(&record, &LogsOptions::default(), false, &mut framed);
        assert_eq!(framed, b"\x02\0\0\0\0\0\0\x03hi\n");
        let mut raw = Vec::new();
        append(
            &record,
            &LogsOptions { timestamps: true, ..LogsOptions::default() },
            true,
            &mut raw,
        );
        assert_eq!(raw, b"1970-01-01T00:00:00.000000000Z hi\n");
    }

    #[test]
    fn a_bad_moment_is_named() {
        let options = LogsOptions { since: Some("soon".to_owned()), ..LogsOptions::default() };
        assert!(read_options(&options).unwrap_err().message().contains("soon"));
    }
}
