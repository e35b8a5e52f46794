//! What is told of a transfer: lines that everybody gets, bars of which everybody gets the newest.
//!
//! A transfer never waits for who listens. Listeners that come late hear everything from the beginning; for those that
//! are slow, bars are skipped and lines wait. A bar moves at most ten times a second, as Docker's do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barge_api_types::{ProgressDetail, ProgressMessage};
use barge_types::size::human_decimal;
use tokio::sync::watch;
use tokio::time::Instant;

/// The least time between two messages of one bar.
const PACE: Duration = Duration::from_millis(100);

/// The newest state of a bar.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    status: &'static str,
    current: u64,
    total: u64,
    /// Counts the changes of all bars.
    change: u64,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<ProgressMessage>,
    bars: HashMap<String, Bar>,
    changes: u64,
    is_done: bool,
}

/// A transfer's progress, shared by those who do it and those who look.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        state.changes += 1;
        change(&mut state);
        let changes = state.changes;
        drop(state);
        self.changed.send_replace(changes);
    }

    /// A line about one layer; it takes the place of the layer's bar.
    pub(crate) fn layer(&self, id: &str, status: impl Into<String>) {
        let line = ProgressMessage {
            id: id.to_owned(),
            progress_detail: Some(ProgressDetail::default()),
            ..ProgressMessage::status(status)
        };
        self.change(|state| {
            state.bars.remove(id);
            state.lines.push(line);
        });
    }

    /// Moves a layer's bar. Bytes; a `total` of zero is one that nobody knows.
    pub(crate) fn bar(&self, id: &str, status: &'static str, (current, total): (u64, u64)) {
        self.change(|state| {
            let bar = Bar { status, current, total, change: state.changes };
            state.bars.insert(id.to_owned(), bar);
        });
    }

    /// Nothing will follow.
    pub(crate) fn done(&self) {
        self.change(|state| state.is_done = true);
    }

    /// Listens from the beginning.
    pub(crate) fn watch(self: &Arc<Self>) -> Watcher {
        Watcher {
            changed: self.changed.subscribe(),
            progress: Arc::clone(self),
            lines: 0,
            bars: HashMap::new(),
        }
    }
}

/// One who listens.
#[derive(Debug)]
pub(crate) struct Watcher {
    progress: Arc<Progress>,
    changed: watch::Receiver<u64>,
    /// How many lines it has had.
    lines: usize,
    /// Of each bar: which change it was told last, and when.
    bars: HashMap<String, (u64, Instant)>,
}

/// What there is for a listener.
enum Next {
    Message(Box<ProgressMessage>),
    Later(Option<Instant>),
    End,
}

impl Watcher {
    /// The next message; none at the end.
    pub(crate) async fn next(&mut self) -> Option<ProgressMessage> {
        loop {
            // Before looking, so that what changes meanwhile is noticed.
            self.changed.borrow_and_update();
            let due = match self.look() {
                Next::Message(message) => return Some(*message),
                Next::End => return None,
                Next::Later(due) => due,
            };
            let changed = self.changed.changed();
            match due {
                // An error is the end of the sender, which lives as long as the progress that is held here.
                Some(due) => drop(tokio::time::timeout_at(due, changed).await),
                None => drop(changed.await),
            }
        }
    }

    fn look(&mut self) -> Next {
        let state = self.progress.state();
        if let Some(line) = state.lines.get(self.lines) {
            self.lines += 1;
            return Next::Message(Box::new(line.clone()));
        }
        if state.is_done {
            return Next::End;
        }
        let now = Instant::now();
        let mut due = None;
        for (id, bar) in &state.bars {
            let (told, at) = self.bars.get(id).map_or((0, None), |(told, at)| (*told, Some(*at)));
            if bar.change <= told {
                continue;
            }
            let moment = at.map_or(now, |at| at + PACE);
            if moment <= now {
                self.bars.insert(id.clone(), (bar.change, now));
                return Next::Message(Box::new(bar_message(id, bar)));
            }
            due = Some(due.map_or(moment, |due: Instant| due.min(moment)));
        }
        Next::Later(due)
    }
}

fn bar_message(id: &str, bar: &Bar) -> ProgressMessage {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    ProgressMessage {
        id: id.to_owned(),
        progress_detail: Some(ProgressDetail {
            current: signed(bar.current),
            total: signed(bar.total),
            ..ProgressDetail::default()
        }),
        progress: draw(bar.current, bar.total),
        ..ProgressMessage::status(bar.status)
    }
}

/// The bar as text, for clients that draw none themselves: fifty characters and the numbers.
fn draw(current: u64, total: u64) -> String {
    let so_far = human_decimal(current);
    if total == 0 {
        return if current == 0 { String::new() } else { format!("{so_far:>8}") };
    }
    let filled = usize::try_from((u128::from(current) * 50 / u128::from(total)).min(50));
    let filled = filled.unwrap_or(50);
    let (full, empty) = ("=".repeat(filled), " ".repeat(50 - filled));
    let numbers = if current > total {
        format!("{so_far:>8}")
    } else {
        format!("{so_far:>8}/{}", human_decimal(total))
    };
    format!("[{full}>{empty}] {numbers}")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut watcher: Watcher) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(message) = watcher.next().await {
            let current = message.progress_detail.map_or(0, |detail| detail.current);
            texts.push(format!("{} {} {current}", message.id, message.status));
        }
        texts
    }

    #[tokio::test(start_paused = true)]
    async fn late_listeners_hear_every_line_and_only_the_newest_of_a_bar() {
        let progress = Progress::new();
        progress.layer("a", "Waiting");
        (1..1000).for_each(|current| progress.bar("a", "Downloading", (current, 1000)));
        let mut watcher = progress.watch();
        assert_eq!(watcher.next().await.unwrap().status, "Waiting");
        assert_eq!(watcher.next().await.unwrap().progress_detail.unwrap().current, 999);
        progress.layer("a", "Download complete");
        progress.done();
        assert_eq!(all(watcher).await, ["a Download complete 0"]);
        assert_eq!(all(progress.watch()).await, ["a Waiting 0", "a Download complete 0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bar_moves_ten_times_a_second_and_lines_do_not_wait() {
        let progress = Progress::new();
        let mut watcher = progress.watch();
        let begin = Instant::now();
        for current in 1..=3 {
            progress.bar("a", "Downloading", (current, 9));
            assert_eq!(watcher.next().await.unwrap().status, "Downloading");
        }
        assert!(begin.elapsed() >= 2 * PACE);
        progress.bar("a", "Downloading", (4, 9));
        progress.layer("b", "Waiting");
        let before = Instant::now();
        assert_eq!(watcher.next().await.unwrap().status, "Waiting");
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[test]
    fn bars_are_drawn_as_dockerd_draws_them() {
        let text = "[>                                                  ]  33.28kB/3MB";
        assert_eq!(draw(33_280, 3_000_000), text);
        let text = "[==================================================>]  200.3kB/200.3kB";
        assert_eq!(draw(200_254, 200_254), text);
        assert_eq!(draw(0, 0), "");
        assert_eq!(draw(5, 0), "      5B");
    }
}
