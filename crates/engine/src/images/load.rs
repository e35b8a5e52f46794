//! `load`: images from an archive that `save` of barge, Docker or others wrote.

use std::sync::Arc;

use barge_api_types::{ProgressDetail, ProgressMessage};
use barge_image::{LoadProgress, Loaded};
use barge_types::Digest;
use tokio::sync::mpsc;

use super::Images;
use crate::blocking;
use crate::bridge::{Upload, UploadReader};
use crate::error::EngineError;

/// What is told of a load while it goes on; an error is its last message.
pub type LoadStream = mpsc::Receiver<ProgressMessage>;

impl Images {
    /// Begins to load.
    pub fn load(self: &Arc<Self>, body: Upload) -> LoadStream {
        let (sender, messages) = mpsc::channel(16);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let progress = sender.clone();
            let loaded = blocking::paced(move || {
                let mut reader = UploadReader::new(body);
                // Progress that nobody has room for is not worth waiting for.
                let mut tell = |step: LoadProgress| drop(progress.try_send(step_message(&step)));
                Ok(this.store.load(&mut reader, &mut tell).map(|loaded| this.loaded(&loaded))?)
            })
            .await;
            let messages = loaded
                .unwrap_or_else(|error: EngineError| vec![ProgressMessage::error(error.message())]);
            for message in messages {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        messages
    }

    fn loaded(&self, loaded: &[Loaded]) -> Vec<ProgressMessage> {
        let mut messages = Vec::new();
        for image in loaded {
            for (reference, old) in &image.displaced {
                messages.push(ProgressMessage::stream(format!(
                    "The image {} already exists, renaming the old one with ID {old} to empty string\n",
                    reference.familiar()
                )));
            }
            if image.references.is_empty() {
                messages.push(ProgressMessage::stream(format!("Loaded image ID: {}\n", image.id)));
            }
            for reference in &image.references {
                messages.push(ProgressMessage::stream(format!(
                    "Loaded image: {}\n",
                    reference.familiar()
                )));
            }
            self.tell("load", &image.id, &image.id.to_string());
        }
        messages
    }
}

fn step_message(step: &LoadProgress) -> ProgressMessage {
    let short = |digest: Option<&Digest>| {
        digest.map_or_else(|| "layer".to_owned(), |digest| digest.hex()[..12].to_owned())
    };
    match step {
        LoadProgress::Unpacking { diff_id, current, total } => ProgressMessage {
            id: short(diff_id.as_ref()),
            status: "Loading layer".to_owned(),
            progress_detail: Some(ProgressDetail {
                current: i64::try_from(*current).unwrap_or(i64::MAX),
                total: i64::try_from(*total).unwrap_or(i64::MAX),
                ..ProgressDetail::default()
            }),
            ..ProgressMessage::default()
        },
        LoadProgress::Exists { diff_id } => ProgressMessage {
            id: short(Some(diff_id)),
            status: "Already exists".to_owned(),
            ..ProgressMessage::default()
        },
    }
}
