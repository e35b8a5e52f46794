//! The steps on a terminal, as BuildKit's users know them: a row per step, bytes and the last lines
//! of output below those that go on.
//!
//! Pure: gives rows no wider and no more than the window has room for.

use std::time::Duration;

use barge_api_types::BuildOutcome;
use barge_types::size::human_decimal_short;

use super::steps::{State, Step, Steps, Transfer};
use crate::progress::cells::{cells, cut};
use crate::terminal::Size;

/// Lines of a running step's output that are shown.
const TAIL: usize = 6;

/// Whether rows are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

/// Whether anything is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Building,
    Finished,
}

/// How a picture is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canvas {
    pub(super) window: Size,
    pub(super) colours: Colours,
    pub(super) now: Duration,
}

/// A step's row and what stands below it.
struct Block {
    row: String,
    transfers: Vec<String>,
    tail: Vec<String>,
    is_running: bool,
}

impl Canvas {
    /// The last column stays free: some terminals break a line that is full.
    fn width(self) -> usize {
        usize::from(self.window.width).saturating_sub(1)
    }

    /// ` => name         1.2s`, in a colour.
    fn row(self, (head, took): (&str, Duration), colour: &str) -> String {
        let time = format!("{:.1}s", took.as_secs_f64());
        let room = self.width().saturating_sub(time.len() + 1);
        let head = cut(head, room);
        let blank = room - cells(head);
        let text = format!("{head}{:blank$} {time}", "");
        self.coloured(cut(&text, self.width()), colour)
    }

    fn coloured(self, text: &str, colour: &str) -> String {
        if colour.is_empty() || self.colours == Colours::Off {
            return text.to_owned();
        }
        format!("\x1b[{colour}m{text}\x1b[0m")
    }

    fn block(self, steps: &Steps, step: &Step) -> Block {
        let (mark, colour) = match &step.state {
            State::Waiting | State::Running { .. } => ("", ""),
            State::Ended { outcome, .. } => match outcome {
                BuildOutcome::Done => ("", BLUE),
                BuildOutcome::Cached => ("CACHED ", BLUE),
                BuildOutcome::Cancelled => ("CANCELED ", YELLOW),
                BuildOutcome::Failed(_) => ("ERROR ", RED),
            },
        };
        let head = format!(" => {mark}{}", steps.name(step));
        let is_running = step.is_running();
        let transfers = step.transfers.iter().map(|transfer| self.transfer(transfer)).collect();
        let tail = if is_running { step.log.tail(TAIL) } else { Vec::new() };
        let tail =
            tail.iter().map(|line| cut(&format!(" => => # {line}"), self.width()).to_owned());
        Block {
            row: self.row((&head, step.took(self.now)), colour),
            transfers,
            tail: tail.collect(),
            is_running,
        }
    }

    fn transfer(self, transfer: &Transfer) -> String {
        let head = format!(" => => {} {}", transfer.what, bytes(transfer));
        let took = transfer.ended.unwrap_or(self.now).saturating_sub(transfer.since);
        self.row((&head, took), if transfer.ended.is_some() { BLUE } else { "" })
    }
}

const BLUE: &str = "34";
const RED: &str = "31";
const YELLOW: &str = "33";

/// `1.2MB / 3.4MB`, or so far.
pub(super) fn bytes(transfer: &Transfer) -> String {
    let current = human_decimal_short(transfer.current);
    if transfer.total == 0 {
        return current;
    }
    format!("{current} / {}", human_decimal_short(transfer.total))
}

/// The rows while the build goes on: never more than fit above the cursor.
pub(super) fn lines(steps: &Steps, canvas: Canvas) -> Vec<String> {
    let mut blocks: Vec<Block> = steps.seen().map(|step| canvas.block(steps, step)).collect();
    // The head and the cursor have a line each.
    let room = usize::from(canvas.window.height).saturating_sub(2).max(1);
    fit(&mut blocks, room);
    let mut lines = vec![head(steps, canvas, Phase::Building)];
    for block in blocks {
        lines.push(block.row);
        lines.extend(block.transfers);
        lines.extend(block.tail);
    }
    lines.truncate(room + 1);
    lines
}

/// All rows, as they stay.
pub(super) fn last_lines(steps: &Steps, canvas: Canvas) -> Vec<String> {
    let mut lines = vec![head(steps, canvas, Phase::Finished)];
    for step in steps.seen() {
        let block = canvas.block(steps, step);
        lines.push(block.row);
        lines.extend(block.transfers);
    }
    lines
}

fn head(steps: &Steps, canvas: Canvas, phase: Phase) -> String {
    let (done, all) = steps.count();
    let time = canvas.now.as_secs_f64();
    let end = if phase == Phase::Finished { " FINISHED" } else { "" };
    let text = format!("[+] Building {time:.1}s ({done}/{all}){end}");
    let colour = if phase == Phase::Finished { BLUE } else { "" };
    canvas.coloured(cut(&text, canvas.width()), colour)
}

/// Leaves out what matters least until the rest fits: bytes of what is done, the oldest rows that
/// are done, output from six lines down to none, bytes of what goes on.
fn fit(blocks: &mut Vec<Block>, room: usize) {
    let height = |blocks: &[Block]| -> usize {
        blocks.iter().map(|block| 1 + block.transfers.len() + block.tail.len()).sum()
    };
    while height(blocks) > room {
        let done = |block: &Block| !block.is_running;
        if let Some(block) =
            blocks.iter_mut().find(|block| done(block) && !block.transfers.is_empty())
        {
            block.transfers.clear();
        } else if let Some(place) = blocks.iter().position(done) {
            blocks.remove(place);
        } else if let Some(block) = blocks
            .iter_mut()
            .max_by_key(|block| block.tail.len())
            .filter(|block| !block.tail.is_empty())
        {
            block.tail.remove(0);
        } else if let Some(block) = blocks
            .iter_mut()
            .max_by_key(|block| block.transfers.len())
            .filter(|block| !block.transfers.is_empty())
        {
            block.transfers.remove(0);
        } else {
            return;
        }
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
