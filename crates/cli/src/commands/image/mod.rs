//! `barge image …`, and most of the same verbs at the top level.

use barge_api_types::{ImageDeleteResponseItem, ProgressMessage};
use barge_client::{JsonStream, Upload};

use super::{Noun, verb, verb_also};
use crate::error::{CliError, Result};
use crate::streams::Streams;

pub(super) mod history;
pub(super) mod import;
mod inspect;
pub(super) mod load;
pub(super) mod ls;
mod prune;
pub(super) mod rm;
pub(super) mod save;
pub(super) mod tag;

/// `barge image`.
pub(crate) const NOUN: Noun = Noun {
    about: "Manage images",
    verbs: &[
        verb("history", &history::VERB),
        verb("import", &import::VERB),
        verb("inspect", &inspect::VERB),
        verb("load", &load::VERB),
        verb_also("ls", &["list"], &ls::VERB),
        verb("prune", &prune::VERB),
        verb_also("rm", &["remove"], &rm::VERB),
        verb("save", &save::VERB),
        verb("tag", &tag::VERB),
    ],
};

/// How much of an archive is read at once.
const CHUNK: usize = 128 * 1024;

/// What became of an image, in one line.
pub(super) fn removed(item: &ImageDeleteResponseItem) -> String {
    if item.deleted.is_empty() {
        format!("Untagged: {}", item.untagged)
    } else {
        format!("Deleted: {}", item.deleted)
    }
}

/// Feeds an upload from something that may block, on a thread of its own.
fn upload(mut from: impl std::io::Read + Send + 'static) -> Upload {
    let (sender, upload) = Upload::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        loop {
            let chunk = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(bytes::Bytes::copy_from_slice(&buffer[..count])),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let ended = chunk.is_err();
            // A daemon that has answered already takes no more.
            if sender.blocking_send(chunk).is_err() || ended {
                return;
            }
        }
    });
    upload
}

/// Where progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// It is what the command is for.
    OnStdout,
    /// Something else is.
    OnStderr,
    /// Not wanted.
    Nothing,
}

impl Show {
    fn tell(self, text: &str) -> Result<()> {
        match self {
            Self::OnStdout => Streams.write(text),
            Self::OnStderr => {
                Streams.note(text.trim_end_matches('\n'));
                Ok(())
            }
            Self::Nothing => Ok(()),
        }
    }
}

/// Shows what the daemon says while it works; its error is ours.
pub(super) async fn show(show: Show, mut progress: JsonStream<ProgressMessage>) -> Result<()> {
    while let Some(message) = progress.next().await? {
        if let Some(error) = message.error_detail.filter(|error| !error.message.is_empty()) {
            return Err(CliError::Invalid(error.message));
        }
        if !message.error.is_empty() {
            return Err(CliError::Invalid(message.error));
        }
        if message.progress_detail.is_some() {
            // Bars are for terminals; the lines that end a step come without.
            continue;
        }
        if !message.stream.is_empty() {
            show.tell(&message.stream)?;
        } else if !message.status.is_empty() {
            if message.id.is_empty() {
                show.tell(&format!("{}\n", message.status))?;
            } else {
                show.tell(&format!("{}: {}\n", message.id, message.status))?;
            }
        }
    }
    Ok(())
}
