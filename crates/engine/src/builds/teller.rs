//! What a build tells, on its way to the client that asked for it. A client that reads slowly slows its build down; one
//! that goes away ends it.

use std::sync::{Mutex, PoisonError};

use barge_api_types::{BuildEvent, BuildOutcome, BuildStep, BuildWarning, ProgressMessage};
use barge_builder::BuildError;
use barge_builder::event::{Event, Outcome, Progress, StepLine, Warning};
use tokio::sync::{mpsc, oneshot};

use super::classic::Classic;
use super::runner::NotStarted;
use crate::error::{EngineError, Result};

/// One line of the answer.
#[derive(Debug)]
pub enum BuildMessage {
    /// For Docker's clients.
    Classic(ProgressMessage),
    /// For barge's own.
    Event(BuildEvent),
}

/// What a client hears of its build.
pub type BuildStream = mpsc::Receiver<BuildMessage>;

/// How many lines may wait.
const WAITING: usize = 64;

/// Which words a client wants.
#[derive(Debug)]
pub(super) enum Words {
    Classic(Mutex<Classic>),
    Events,
}

/// Tells one client.
#[derive(Debug)]
pub(super) struct Teller {
    words: Words,
    sender: mpsc::Sender<BuildMessage>,
    /// Told when the first line comes: from then on the answer is a stream, and an error a line of it.
    first: Mutex<Option<oneshot::Sender<Result<()>>>>,
    /// Told only when what they speak of can be had.
    ready: Mutex<Vec<Event>>,
    /// What the builder says of its failure; told when all of the build has ended.
    failed: Mutex<Option<Event>>,
}

impl Teller {
    pub(super) fn new(words: Words) -> (Self, BuildStream, oneshot::Receiver<Result<()>>) {
        let (sender, stream) = mpsc::channel(WAITING);
        let (first, spoken) = oneshot::channel();
        let teller = Self {
            words,
            sender,
            first: Mutex::new(Some(first)),
            ready: Mutex::default(),
            failed: Mutex::default(),
        };
        (teller, stream, spoken)
    }

    /// What tells that the client is gone.
    pub(super) fn client(&self) -> mpsc::Sender<BuildMessage> {
        self.sender.clone()
    }

    /// Whether nothing was told yet: then an error is the answer's own.
    fn begin(&self, outcome: Result<()>) -> std::result::Result<(), Result<()>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            // A client that is gone hears nothing.
            Some(first) => first.send(outcome).or(Ok(())),
            None => Err(outcome),
        }
    }

    fn send(&self, message: BuildMessage) {
        // What is told first makes the answer a stream; later ones find that done.
        self.begin(Ok(())).ok();
        // A client that went away cancels the build elsewhere.
        self.sender.blocking_send(message).ok();
    }

    /// The build is over and went well: what can be fetched is there.
    pub(super) fn finish(&self) {
        let ready = std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
        match &self.words {
            Words::Events => {
                ready.into_iter().for_each(|event| self.send_event(event));
            }
            Words::Classic(classic) => {
                let last = classic.lock().unwrap_or_else(PoisonError::into_inner).last();
                last.into_iter().for_each(|line| self.send(BuildMessage::Classic(line)));
            }
        }
        self.begin(Ok(())).ok();
    }

    /// The last word of a build that failed.
    pub(super) fn fail(&self, error: EngineError) {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (&self.words, failed) {
            // It has the lines of the Dockerfile, which an error of the request has not.
            (Words::Events, Some(failed)) => self.send_event(failed),
            (Words::Events | Words::Classic(_), _) => {
                let error = self.in_words(error);
                if let Err(Err(error)) = self.begin(Err(error)) {
                    self.fail_in_stream(&error);
                }
            }
        }
    }

    /// An error of the request as this client knows it.
    fn in_words(&self, error: EngineError) -> EngineError {
        if let Words::Classic(_) = &self.words
            && let EngineError::Build(failed) = &error
            && let BuildError::NoDockerfile { name } = failed.cause()
        {
            return EngineError::NoDockerfile { name: name.clone() };
        }
        error
    }

    fn send_event(&self, event: Event) {
        if let Some(event) = to_api(event) {
            self.send(BuildMessage::Event(event));
        }
    }

    fn fail_in_stream(&self, error: &EngineError) {
        let failed =
            |message, code| Event::Failed { message, code, excerpt: String::new(), image: None };
        match &self.words {
            Words::Events => {
                self.send_event(failed(error.message(), None));
            }
            Words::Classic(classic) => {
                let (message, code) = classic_words(error);
                let mut classic = classic.lock().unwrap_or_else(PoisonError::into_inner);
                for line in classic.lines(failed(message, code)) {
                    self.send(BuildMessage::Classic(line));
                }
            }
        }
    }
}

/// What Docker's classic builder says of an error.
fn classic_words(error: &EngineError) -> (String, Option<i32>) {
    let EngineError::Build(failed) = error else { return (error.message(), None) };
    let cause = failed.cause();
    if let BuildError::Process { command, code } = cause {
        let text = format!("The command '{command}' returned a non-zero code: {code}");
        (text, Some(*code))
    } else if let BuildError::Run { source, .. } = cause {
        // As `run` says it, without the command in front.
        let text = match source.downcast_ref::<NotStarted>() {
            Some(error) => error.whole(),
            None => chain(&**source),
        };
        (text, None)
    } else {
        (error.message(), None)
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Progress for Teller {
    fn tell(&self, event: Event) {
        if matches!(event, Event::Ready { .. }) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            return;
        }
        if matches!(event, Event::Failed { .. }) {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
            return;
        }
        match &self.words {
            Words::Events => self.send_event(event),
            Words::Classic(classic) => {
                // Held while they are sent, so that lines of two threads do not mix.
                let mut classic = classic.lock().unwrap_or_else(PoisonError::into_inner);
                for line in classic.lines(event) {
                    self.send(BuildMessage::Classic(line));
                }
            }
        }
    }
}

/// The same in the words of the wire, if it is for clients that hear events.
fn to_api(event: Event) -> Option<BuildEvent> {
    Some(match event {
        Event::Planned { steps } => {
            BuildEvent::Planned { steps: steps.into_iter().map(step).collect() }
        }
        Event::Started { step } => BuildEvent::Started { step },
        Event::Running { .. } | Event::Made { .. } => return None,
        Event::Output { step, stream, text } => BuildEvent::Output { step, stream, text },
        Event::Advanced { step, what, current, total } => {
            BuildEvent::Advanced { step, what, current, total }
        }
        Event::Ended { step, outcome } => {
            let outcome = match outcome {
                Outcome::Done => BuildOutcome::Done,
                Outcome::Cached => BuildOutcome::Cached,
                Outcome::Cancelled => BuildOutcome::Cancelled,
                Outcome::Failed(message) => BuildOutcome::Failed(message),
            };
            BuildEvent::Ended { step, outcome }
        }
        Event::Warning(Warning { rule, description, detail, url, line }) => {
            BuildEvent::Warning(BuildWarning { rule, description, detail, url, line })
        }
        Event::Described { value } => BuildEvent::Described { value },
        Event::Image { id, names } => BuildEvent::Image { id, names },
        Event::Pushed { name, digest } => BuildEvent::Pushed { name, digest },
        Event::Ready { build, output } => BuildEvent::Ready { build, output },
        Event::Failed { message, code, excerpt, image } => {
            BuildEvent::Failed { message, code, excerpt, image }
        }
    })
}

fn step(line: StepLine) -> BuildStep {
    let StepLine { step, stage, position, of, text, shown } = line;
    BuildStep { step, stage, position, of, text, shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_on_the_wire() {
        let lines = vec![StepLine {
            step: 1,
            stage: "a".to_owned(),
            position: 2,
            of: 3,
            text: "RUN x".to_owned(),
            shown: Some("s".to_owned()),
        }];
        let warning = Warning {
            rule: "R".to_owned(),
            description: "d".to_owned(),
            detail: "e".to_owned(),
            url: "u".to_owned(),
            line: 4,
        };
        let failed = Event::Failed {
            message: "m".to_owned(),
            code: Some(1),
            excerpt: "x".to_owned(),
            image: Some("i".to_owned()),
        };
        let ended = |outcome| Event::Ended { step: 1, outcome };
        for event in [
            Event::Planned { steps: lines },
            Event::Started { step: 1 },
            Event::Output { step: 1, stream: 2, text: "t".to_owned() },
            Event::Advanced { step: 1, what: "w".to_owned(), current: 1, total: 2 },
            ended(Outcome::Done),
            ended(Outcome::Cached),
            ended(Outcome::Cancelled),
            ended(Outcome::Failed("f".to_owned())),
            Event::Warning(warning),
            Event::Image { id: "i".to_owned(), names: vec!["n".to_owned()] },
            Event::Pushed { name: "n".to_owned(), digest: "d".to_owned() },
            Event::Ready { build: "b".to_owned(), output: 0 },
            failed,
        ] {
            let ours = serde_json::to_value(&event).unwrap();
            assert_eq!(serde_json::to_value(to_api(event).unwrap()).unwrap(), ours);
        }
    }
}
