//! A build being watched: live on a terminal, lines elsewhere, or JSON for programs.
//!
//! Everything goes to standard error: standard output is for results, an id or an archive.

mod live;
mod plain;
mod raw;
mod steps;

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use barge_api_types::{BuildEvent, BuildOutcome, BuildWarning};
use barge_client::JsonStream;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use self::live::{Canvas, Colours};
use self::plain::Plain;
use self::raw::Raw;
pub(crate) use self::steps::Key;
use self::steps::{Happening, Steps};
use super::painter::Painter;
use super::{Counter, TICK};
use crate::error::{CliError, Result};
use crate::streams::Streams;
use crate::terminal;

/// How a build is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Live,
    Plain,
    RawJson,
    Quiet,
}

impl View {
    /// What `--progress` says, or the environment, or the terminal.
    pub(crate) fn choose(flag: &str, environment: Option<&str>) -> Result<Self> {
        let text = match (flag, environment) {
            ("", Some(text)) => text,
            ("", None) => "auto",
            (text, _) => text,
        };
        match text {
            "" | "auto" if terminal::stderr_size().is_some() => Ok(Self::Live),
            "tty" if terminal::stderr_size().is_some() => Ok(Self::Live),
            "tty" => {
                Err(CliError::Invalid("--progress tty: standard error is no terminal".to_owned()))
            }
            "" | "auto" | "plain" => Ok(Self::Plain),
            "rawjson" => Ok(Self::RawJson),
            "quiet" | "none" => Ok(Self::Quiet),
            other => Err(CliError::Invalid(format!(
                "invalid progress mode {other:?}: there are auto, none, plain, quiet, rawjson and tty"
            ))),
        }
    }
}

/// Something that we do ourselves while the build goes on, with a row of its own.
pub(crate) struct Own<'a, T> {
    /// What the row says.
    pub(crate) text: String,
    /// What is done with the bytes.
    pub(crate) what: &'static str,
    pub(crate) counter: Counter,
    pub(crate) work: Pin<Box<dyn Future<Output = Result<T>> + 'a>>,
}

impl<T> std::fmt::Debug for Own<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("text", &self.text).finish_non_exhaustive()
    }
}

/// What came of a build.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The image's id.
    pub(crate) image: Option<String>,
    /// The names that it got.
    pub(crate) names: Vec<String>,
    /// The digest of the manifest that a registry got.
    pub(crate) pushed: Option<String>,
    pub(crate) warnings: Vec<BuildWarning>,
    /// How many outputs came to us.
    pub(crate) received: usize,
    pub(crate) failure: Option<Failure>,
    /// What was asked instead of a build.
    pub(crate) described: Option<serde_json::Value>,
}

/// Why a build failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// The lines of the Dockerfile around.
    pub(crate) excerpt: String,
    /// An image of the failed step's files.
    pub(crate) image: Option<String>,
}

/// A build on its way to the user.
#[derive(Debug)]
pub(crate) struct BuildProgress {
    view: View,
    begun: Instant,
    steps: Steps,
    plain: Plain,
    raw: Raw,
    painter: Painter,
    drawn: Option<Instant>,
    colours: Colours,
    /// Bytes of what we do ourselves.
    moving: Vec<(Key, &'static str, Counter)>,
}

impl BuildProgress {
    pub(crate) fn new(view: View) -> Self {
        let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        Self {
            view,
            begun: Instant::now(),
            steps: Steps::default(),
            plain: Plain::default(),
            raw: Raw::default(),
            painter: Painter::default(),
            drawn: None,
            colours: if has("NO_COLOR") || is_dumb { Colours::Off } else { Colours::On },
            moving: Vec::new(),
        }
    }

    /// Does something of ours, with a row that shows it.
    pub(crate) async fn during<T>(&mut self, own: Own<'_, T>) -> Result<T> {
        let key = self.begin(&own.text, (own.what, own.counter));
        let mut work = own.work;
        let result = loop {
            match tokio::time::timeout(TICK, &mut work).await {
                Ok(result) => break result,
                Err(_) => self.tick(),
            }
        };
        self.end(key, result.is_ok());
        result
    }

    /// Shows a build to its end; `fetch` gets what it makes for us, by the build and the number of
    /// the output. Our own error ends the build.
    pub(crate) async fn follow<'a>(
        &mut self,
        mut events: JsonStream<BuildEvent>,
        fetch: impl Fn(String, u32) -> Option<Own<'a, ()>>,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut fetches = FuturesUnordered::new();
        let mut is_over = false;
        while !is_over || !fetches.is_empty() {
            let event = tokio::select! {
                event = events.next(), if !is_over => event?,
                Some((key, result)) = fetches.next(), if !fetches.is_empty() => {
                    let result: Result<()> = result;
                    self.end(key, result.is_ok());
                    result?;
                    outcome.received += 1;
                    continue;
                }
                () = tokio::time::sleep(TICK) => {
                    self.tick();
                    continue;
                }
            };
            let Some(event) = event else {
                is_over = true;
                continue;
            };
            self.tell(&event);
            if let BuildEvent::Ready { build, output } = &event
                && let Some(own) = fetch(build.clone(), *output)
            {
                let key = self.begin(&own.text, (own.what, own.counter));
                let work = own.work;
                fetches.push(async move { (key, work.await) });
            }
            outcome.note(event);
        }
        Ok(outcome)
    }

    /// Draws what there is a last time; nothing goes on any more.
    pub(crate) fn finish(&mut self) {
        let now = self.begun.elapsed();
        for happening in self.steps.stop(now) {
            self.write_plain(&happening);
        }
        if self.view != View::Live || self.steps.seen().next().is_none() {
            return;
        }
        if let Some(window) = terminal::stderr_size() {
            let canvas = Canvas { window, colours: self.colours, now };
            let text = self.painter.paint(&live::last_lines(&self.steps, canvas), window.width);
            Streams.aside(text);
        }
        self.painter.keep();
    }

    /// What became of the image, in BuildKit's words.
    pub(crate) fn tell_image(&mut self, outcome: &Outcome) {
        let written = outcome.image.iter().map(|id| format!("writing image {id}"));
        let named = outcome.names.iter().map(|name| format!("naming to {name}"));
        let lines = written.chain(named);
        match self.view {
            View::Quiet | View::RawJson => {}
            View::Live => lines.for_each(|line| Streams.note(line)),
            View::Plain if outcome.image.is_none() => {}
            View::Plain => {
                let lines = lines.map(|line| format!("{line} done")).collect();
                let now = self.begun.elapsed();
                for happening in self.steps.all_of_own("exporting to image", lines, now) {
                    self.write_plain(&happening);
                }
            }
        }
    }

    /// Name and output of the step that failed, as BuildKit shows them.
    pub(crate) fn failed_step(&self) -> Option<String> {
        let step = self.steps.failed()?;
        let mut text = format!("------\n > {}:\n", self.steps.name(step));
        if step.log.dropped > 0 {
            text.push_str(&format!("… {} lines before\n", step.log.dropped));
        }
        for (at, line) in step.log.lines() {
            let line = line.trim_end_matches('\r');
            text.push_str(&format!("{:.3} {line}\n", at.as_secs_f64()));
        }
        text.push_str("------\n");
        Some(text)
    }

    fn tell(&mut self, event: &BuildEvent) {
        let happening = self.steps.apply(event, self.begun.elapsed());
        match self.view {
            View::Live => {
                if self.drawn.is_none_or(|drawn| drawn.elapsed() >= TICK) {
                    self.tick();
                }
            }
            View::Plain => self.write_plain(&happening),
            View::RawJson => {
                let line = self.raw.tell(&self.steps, event, jiff::Timestamp::now());
                Streams.aside(line.unwrap_or_default());
            }
            View::Quiet => {}
        }
    }

    fn begin(&mut self, text: &str, (what, counter): (&'static str, Counter)) -> Key {
        let (key, happening) = self.steps.begin_own(text, self.begun.elapsed());
        self.moving.push((key, what, counter));
        self.write_plain(&happening);
        self.tick();
        key
    }

    fn end(&mut self, key: Key, is_well: bool) {
        self.count_moved();
        self.moving.retain(|(moving, _, _)| *moving != key);
        let outcome = if is_well { BuildOutcome::Done } else { BuildOutcome::Cancelled };
        let happening = self.steps.end(key, outcome, self.begun.elapsed());
        self.write_plain(&happening);
        self.tick();
    }

    fn write_plain(&mut self, happening: &Happening) {
        if self.view == View::Plain {
            let text = self.plain.tell(&self.steps, happening);
            if !text.is_empty() {
                Streams.aside(text);
            }
        }
    }

    fn count_moved(&mut self) {
        let now = self.begun.elapsed();
        for (key, what, counter) in &self.moving {
            let bytes = counter.0.load(Ordering::Relaxed);
            if bytes > 0 {
                self.steps.advance(*key, (what, bytes, 0), now);
            }
        }
    }

    /// Draws what there is now, in the window as it is now: one write.
    fn tick(&mut self) {
        if self.view != View::Live {
            return;
        }
        let Some(window) = terminal::stderr_size() else {
            return;
        };
        self.count_moved();
        let canvas = Canvas { window, colours: self.colours, now: self.now() };
        let text = self.painter.paint(&live::lines(&self.steps, canvas), window.width);
        self.drawn = Some(Instant::now());
        if !text.is_empty() {
            Streams.aside(text);
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Outcome {
    fn note(&mut self, event: BuildEvent) {
        match event {
            BuildEvent::Warning(warning) => self.warnings.push(warning),
            BuildEvent::Described { value } => self.described = Some(value),
            BuildEvent::Image { id, names } => {
                self.image = Some(id);
                self.names = names;
            }
            BuildEvent::Pushed { digest, .. } => self.pushed = Some(digest),
            BuildEvent::Failed { message, excerpt, image, .. } => {
                self.failure = Some(Failure { message, excerpt, image });
            }
            BuildEvent::Planned { .. }
            | BuildEvent::Started { .. }
            | BuildEvent::Output { .. }
            | BuildEvent::Advanced { .. }
            | BuildEvent::Ended { .. }
            | BuildEvent::Ready { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_before_the_environment() {
        assert_eq!(View::choose("plain", Some("rawjson")).unwrap(), View::Plain);
        assert_eq!(View::choose("", Some("rawjson")).unwrap(), View::RawJson);
        assert_eq!(View::choose("none", None).unwrap(), View::Quiet);
        let error = View::choose("fancy", None).unwrap_err().to_string();
        assert!(error.starts_with("invalid progress mode \"fancy\""), "{error}");
    }

    #[test]
    fn the_step_that_failed_is_told_with_its_output() {
        let mut progress = BuildProgress::new(View::Quiet);
        assert_eq!(progress.failed_step(), None);
        progress.tell(&BuildEvent::Started { step: 0 });
        let text = "last words\n".to_owned();
        progress.tell(&BuildEvent::Output { step: 0, stream: 2, text });
        let outcome = BuildOutcome::Failed("exit code: 1".to_owned());
        progress.tell(&BuildEvent::Ended { step: 0, outcome });
        let text = progress.failed_step().unwrap();
        assert!(text.starts_with("------\n > [internal] :\n"), "{text}");
        assert!(text.ends_with(" last words\n------\n"), "{text}");
    }
}
