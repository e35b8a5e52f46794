//! `barge image …`, and most of the same verbs at the top level.

use barge_api_types::ImageDeleteResponseItem;
use barge_client::Upload;
use barge_types::{Reference, ReferenceError};

use super::{Noun, build, verb, verb_also};
use crate::error::{CliError, Result};
use crate::progress::Counter;

pub(super) mod history;
pub(super) mod import;
mod inspect;
pub(super) mod load;
pub(super) mod ls;
mod prune;
pub(super) mod pull;
pub(super) mod push;
pub(super) mod rm;
pub(super) mod save;
pub(super) mod tag;
mod tree;

pub(super) use pull::check_trust;

/// `barge image`.
pub(crate) const NOUN: Noun = Noun {
    about: "Manage images",
    verbs: &[
        verb("build", &build::VERB),
        verb("history", &history::VERB),
        verb("import", &import::VERB),
        verb("inspect", &inspect::VERB),
        verb("load", &load::VERB),
        verb_also("ls", &["list"], &ls::VERB),
        verb("prune", &prune::VERB),
        verb("pull", &pull::VERB),
        verb("push", &push::VERB),
        verb_also("rm", &["remove"], &rm::VERB),
        verb("save", &save::VERB),
        verb("tag", &tag::VERB),
    ],
};

/// How much of an archive is read at once.
const CHUNK: usize = 128 * 1024;

/// What became of an image, in one line.
fn removed(item: &ImageDeleteResponseItem) -> String {
    if item.deleted.is_empty() {
        format!("Untagged: {}", item.untagged)
    } else {
        format!("Deleted: {}", item.deleted)
    }
}

/// Feeds an upload from something that may block, on a thread of its own.
pub(super) fn upload(mut from: impl std::io::Read + Send + 'static, counter: Counter) -> Upload {
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
            let (ended, count) = (chunk.is_err(), chunk.as_ref().map_or(0, bytes::Bytes::len));
            // A daemon that has answered already takes no more.
            if sender.blocking_send(chunk).is_err() || ended {
                return;
            }
            counter.add(count);
        }
    });
    upload
}

/// What of a repository is meant, as the API wants it.
pub(super) fn tag_or_digest(name: &Reference) -> String {
    match name.digest() {
        Some(digest) => digest.to_string(),
        None => name.tag().unwrap_or("latest").to_owned(),
    }
}

/// A name that must be in the grammar.
pub(super) fn reference(text: &str) -> Result<Reference> {
    text.parse().map_err(|error: ReferenceError| CliError::Invalid(error.to_string()))
}

/// Whether a name says which one of the repository it means.
fn says_which(text: &str) -> bool {
    text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':'))
}
