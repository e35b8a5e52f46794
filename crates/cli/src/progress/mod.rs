//! What the daemon says while it works, shown: bars on a terminal, plain lines elsewhere.
//!
//! Without a terminal the lines are Docker's, word for word: scripts read them.

mod board;
pub(crate) mod build;
mod cells;
mod meter;
mod painter;
#[cfg(test)]
mod screen;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use barge_api_types::{ProgressDetail, ProgressMessage};
use barge_client::JsonStream;

use self::board::Board;
use self::painter::Painter;
use crate::error::{CliError, Result};
use crate::streams::Streams;
use crate::terminal::{self, Size};

/// How often the terminal is drawn at most.
const TICK: Duration = Duration::from_millis(100);

/// Where progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// It is what the command is for.
    OnStdout,
    /// Something else is.
    OnStderr,
    /// Not wanted.
    Nothing,
}

/// Bytes that we move ourselves, counted by whoever moves them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

/// Bytes being moved, for a row of their own.
#[derive(Debug)]
pub(crate) struct Moving {
    /// What the row is called.
    pub(crate) name: String,
    /// What is done with them.
    pub(crate) status: &'static str,
    /// How many there are, where that is known.
    pub(crate) total: Option<u64>,
    /// How many have been moved.
    pub(crate) counter: Counter,
}

/// Progress on its way to the user.
#[derive(Debug)]
pub(crate) struct Progress {
    show: Show,
    window: Option<Size>,
    begun: Instant,
    board: Board,
    painter: Painter,
    drawn: Option<Instant>,
    moving: Option<Moving>,
}

impl Counter {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many they were.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Show {
    /// The window that bars can be drawn in.
    fn window(self) -> Option<Size> {
        match self {
            Self::OnStdout if terminal::stdout_is_terminal() => {
                Some(terminal::size().unwrap_or(Size { height: 24, width: 80 }))
            }
            Self::OnStderr => terminal::stderr_size(),
            Self::OnStdout | Self::Nothing => None,
        }
    }

    fn write(self, text: &str) -> Result<()> {
        match self {
            Self::OnStdout => Streams.write(text),
            Self::OnStderr => {
                Streams.aside(text);
                Ok(())
            }
            Self::Nothing => Ok(()),
        }
    }
}

impl Progress {
    pub(crate) fn new(show: Show) -> Self {
        Self {
            show,
            window: show.window(),
            begun: Instant::now(),
            board: Board::default(),
            painter: Painter::default(),
            drawn: None,
            moving: None,
        }
    }

    /// Also shows bytes that we move ourselves, on a terminal.
    pub(crate) fn with(self, moving: Moving) -> Self {
        Self { moving: Some(moving), ..self }
    }

    /// Whether bars are drawn.
    pub(crate) fn is_drawn(&self) -> bool {
        self.window.is_some()
    }

    /// Shows a stream to its end; its error is ours. What the daemon adds for programs is given back.
    pub(crate) async fn follow(
        mut self,
        mut messages: JsonStream<ProgressMessage>,
    ) -> Result<Vec<serde_json::Value>> {
        let mut notes = Vec::new();
        let result = loop {
            let next = if self.is_drawn() {
                match tokio::time::timeout(TICK, messages.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.tick()?;
                        continue;
                    }
                }
            } else {
                messages.next().await
            };
            match next {
                Ok(Some(message)) => {
                    if let Some(error) = error_of(&message) {
                        break Err(error);
                    }
                    if let Some(note) = &message.aux {
                        notes.push(note.clone());
                    } else {
                        self.tell(&message)?;
                    }
                }
                Ok(None) => break Ok(notes),
                Err(error) => break Err(error.into()),
            }
        };
        self.end()?;
        result
    }

    /// Does something while its row is drawn; nothing of that stays.
    pub(crate) async fn during<T>(mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.is_drawn() {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(TICK, &mut work).await {
                Ok(result) => {
                    self.draw(&[])?;
                    return result;
                }
                Err(_) => self.tick()?,
            }
        }
    }

    fn tell(&mut self, message: &ProgressMessage) -> Result<()> {
        if self.show == Show::Nothing {
            return Ok(());
        }
        if !self.is_drawn() {
            return match plain(message) {
                Some(text) => self.show.write(&text),
                None => Ok(()),
            };
        }
        match self.board.apply(message, self.begun.elapsed()) {
            Some(line) => {
                // What stands above it stays as it is.
                self.settle()?;
                self.show.write(&line)
            }
            None if self.drawn.is_none_or(|drawn| drawn.elapsed() >= TICK) => self.tick(),
            // Drawn with what comes next, or when nothing comes.
            None => Ok(()),
        }
    }

    /// Draws what there is now, in the window as it is now.
    fn tick(&mut self) -> Result<()> {
        self.window = self.show.window();
        let now = self.begun.elapsed();
        if let Some(moving) = &self.moving {
            let current = moving.counter.0.load(Ordering::Relaxed);
            let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            let message = ProgressMessage {
                id: moving.name.clone(),
                status: moving.status.to_owned(),
                progress_detail: Some(ProgressDetail {
                    current: signed(current),
                    total: signed(moving.total.unwrap_or(0)),
                    ..ProgressDetail::default()
                }),
                ..ProgressMessage::default()
            };
            self.board.apply(&message, now);
        }
        let Some(window) = self.window.filter(|_| !self.board.is_empty()) else {
            return Ok(());
        };
        self.draw(&self.board.lines(window, now))
    }

    fn draw(&mut self, lines: &[String]) -> Result<()> {
        let Some(window) = self.window else {
            return Ok(());
        };
        self.drawn = Some(Instant::now());
        let text = self.painter.paint(lines, window.width);
        if text.is_empty() { Ok(()) } else { self.show.write(&text) }
    }

    /// Draws the rows a last time and begins anew below them.
    fn settle(&mut self) -> Result<()> {
        let board = std::mem::take(&mut self.board);
        if let Some(window) = self.window.filter(|_| !board.is_empty() && self.moving.is_none()) {
            self.draw(&board.last_lines(window.width, self.begun.elapsed()))?;
        } else if self.moving.is_some() {
            self.draw(&[])?;
        }
        self.painter.keep();
        self.drawn = None;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.is_drawn() { self.settle() } else { Ok(()) }
    }
}

/// The line of a message where there is no terminal; numbers that change are left out, as in Docker.
fn plain(message: &ProgressMessage) -> Option<String> {
    let moves = |detail: &ProgressDetail| detail.current > 0 || detail.total > 0;
    if message.progress_detail.as_ref().is_some_and(moves) {
        return None;
    }
    if message.stream.is_empty() {
        Some(board::plain(message))
    } else {
        Some(message.stream.clone())
    }
}

fn error_of(message: &ProgressMessage) -> Option<CliError> {
    let text = match &message.error_detail {
        // In the words of Docker's client.
        Some(error) if error.code == 401 => "authentication is required",
        Some(error) if !error.message.is_empty() => &error.message,
        Some(_) | None => &message.error,
    };
    (!text.is_empty()).then(|| CliError::Invalid(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> ProgressMessage {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn without_a_terminal_lines_are_dockers() {
        for (json, line) in [
            (r#"{"status":"Pulling from small","id":"1"}"#, Some("1: Pulling from small\n")),
            (
                r#"{"status":"Pulling fs layer","progressDetail":{},"id":"1709f09e5343"}"#,
                Some("1709f09e5343: Pulling fs layer\n"),
            ),
            (
                r#"{"status":"Downloading","progressDetail":{"current":5,"total":9},"progress":"[=> ] 5B/9B","id":"a"}"#,
                None,
            ),
            (r#"{"status":"Waiting","progressDetail":{"current":7},"id":"a"}"#, None),
            (r#"{"status":"Digest: sha256:x"}"#, Some("Digest: sha256:x\n")),
            (r#"{"stream":"Loaded image: a\n"}"#, Some("Loaded image: a\n")),
            (r#"{"status":""}"#, Some("\n")),
        ] {
            assert_eq!(plain(&message(json)).as_deref(), line, "{json}");
        }
    }

    #[test]
    fn errors_are_told_in_the_daemons_words() {
        let told = |json: &str| error_of(&message(json)).map(|error| error.to_string());
        assert_eq!(
            told(r#"{"errorDetail":{"message":"no basic auth credentials"},"error":"no basic auth credentials"}"#)
                .as_deref(),
            Some("no basic auth credentials")
        );
        assert_eq!(told(r#"{"error":"x"}"#).as_deref(), Some("x"));
        assert_eq!(
            told(r#"{"errorDetail":{"code":401,"message":"y"}}"#).as_deref(),
            Some("authentication is required")
        );
        assert_eq!(told(r#"{"status":"fine"}"#), None);
    }
}
