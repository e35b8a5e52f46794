//! What `--output type=registry` says: the image goes to its registries, as steps that people see.

use std::sync::Arc;

use barge_api_types::ProgressMessage;
use barge_builder::BuildRequest;
use barge_builder::event::{Event, Outcome, Progress as _, StepLine};
use barge_builder::request::OutputKind;
use barge_builder::runner::Cancel;
use barge_types::Reference;
use tokio::runtime::Handle;

use super::Builds;
use super::sources::cancelled;
use super::teller::Teller;
use crate::error::{EngineError, Result};
use crate::images::PushRequest;

/// Pushes for one build, on its thread.
#[derive(Debug)]
pub(super) struct PushStep<'a> {
    pub(super) builds: &'a Builds,
    pub(super) teller: &'a Teller,
    pub(super) cancel: &'a Cancel,
    pub(super) runtime: &'a Handle,
}

impl PushStep<'_> {
    /// Pushes every name, one step for each from `first`.
    pub(super) fn all(&self, request: &BuildRequest, first: u32) -> Result<()> {
        let outputs = request.outputs.iter();
        let outputs = outputs.filter(|output| output.kind == OutputKind::Registry);
        let names = outputs
            .flat_map(|output| if output.names.is_empty() { &request.tags } else { &output.names });
        for (step, name) in (first..).zip(names) {
            self.begin(step, name);
            let pushed = self.one((step, name), &request.client);
            let outcome = match &pushed {
                Ok(()) => Outcome::Done,
                Err(EngineError::Cancelled) => Outcome::Cancelled,
                Err(error) => Outcome::Failed(error.message()),
            };
            self.teller.tell(Event::Ended { step, outcome });
            pushed?;
        }
        Ok(())
    }

    fn begin(&self, step: u32, name: &Reference) {
        let text = format!("pushing {}", name.familiar());
        let line = StepLine { step, stage: String::new(), position: 1, of: 1, text, shown: None };
        self.teller.tell(Event::Planned { steps: vec![line] });
        self.teller.tell(Event::Started { step });
    }

    fn one(&self, (step, name): (u32, &Reference), client: &str) -> Result<()> {
        let request = PushRequest {
            name: name.familiar_name(),
            tag: name.tag().unwrap_or("latest").to_owned(),
            platform: String::new(),
            credentials: self.builds.sources.credentials(client, name),
        };
        let images = Arc::clone(&self.builds.images);
        let mut messages = self.wait(images.push(request))?;
        while let Some(message) = self.wait(async { Ok(messages.recv().await) })? {
            if !message.error.is_empty() {
                return Err(EngineError::Conflict(format!(
                    "cannot push {}: {}",
                    name.familiar(),
                    message.error
                )));
            }
            // Between two waits: a client that reads slowly holds up its own build alone.
            events((step, name), message).into_iter().for_each(|event| self.teller.tell(event));
        }
        Ok(())
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                () = cancelled(self.cancel) => Err(EngineError::Cancelled),
            }
        })
    }
}

/// What a message of a push comes to.
fn events((step, name): (u32, &Reference), message: ProgressMessage) -> Vec<Event> {
    if let Some(digest) = message.aux.as_ref().and_then(|aux| aux.get("Digest")?.as_str()) {
        return vec![Event::Pushed { name: name.familiar(), digest: digest.to_owned() }];
    }
    if message.id.is_empty() {
        let text = format!("{}\n", message.status);
        return vec![Event::Output { step, stream: 1, text }];
    }
    let bytes = message.progress_detail.filter(|detail| detail.total > 0);
    bytes
        .map(|detail| Event::Advanced {
            step,
            what: message.id,
            current: u64::try_from(detail.current).unwrap_or_default(),
            total: u64::try_from(detail.total).unwrap_or_default(),
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use barge_api_types::ProgressDetail;
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_advance_a_step_and_the_end_is_a_digest() {
        let name: Reference = "host:5000/a:1".parse().unwrap();
        let events = |message| events((3, &name), message);
        let layer = |status: &str, detail| ProgressMessage {
            id: "abc".to_owned(),
            progress_detail: detail,
            ..ProgressMessage::status(status)
        };
        assert_eq!(events(layer("Preparing", Some(ProgressDetail::default()))), []);
        let detail = ProgressDetail { current: 1, total: 2, ..ProgressDetail::default() };
        let what = "abc".to_owned();
        assert_eq!(
            events(layer("Pushing", Some(detail))),
            [Event::Advanced { step: 3, what, current: 1, total: 2 }]
        );
        let text = "1: digest: sha256:1 size: 2".to_owned();
        let output = Event::Output { step: 3, stream: 1, text: format!("{text}\n") };
        assert_eq!(events(ProgressMessage::status(&text)), [output]);
        let aux = Some(json!({"Tag": "1", "Digest": "sha256:1", "Size": 2}));
        let name = name.familiar();
        assert_eq!(
            events(ProgressMessage { aux, ..ProgressMessage::default() }),
            [Event::Pushed { name, digest: "sha256:1".to_owned() }]
        );
    }
}
