//! What is going on, as rows: one per layer, redrawn in place, and a line with the totals.
//!
//! Pure: takes messages and points in time, gives lines no wider than the window. What Docker's
//! client shows stays where people look for it (id, status, bar, numbers); rate, time left, totals
//! and the shrinking of the bars are ours.

use std::time::Duration;

use barge_api_types::{ProgressDetail, ProgressMessage};
use barge_types::size::{human_decimal, human_decimal_short};

use super::meter::{Meter, time_left};
use crate::terminal::Size;

/// The widest bar, as Docker's.
const BAR: usize = 50;

/// A narrower bar says nothing.
const LEAST_BAR: usize = 6;

/// Statuses after which nothing comes for a layer.
const DONE: [&str; 6] = [
    "Pull complete",
    "Already exists",
    "Pushed",
    "Layer already exists",
    "Mounted from",
    "Skipped foreign layer",
];

/// Rows of one block.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<Row>,
    overall: Meter,
    /// What came while we looked: a download that is resumed begins with what was there.
    fresh: u64,
}

#[derive(Debug, Default)]
struct Row {
    id: String,
    status: String,
    detail: ProgressDetail,
    meter: Meter,
    /// What is moved over the wire: unlike `detail`, it does not start again with the next step.
    moved: u64,
    /// Of so many; 0 while that is unknown.
    total: u64,
}

impl Board {
    /// Takes a message in; gives back the text that is no row, to be printed below.
    pub(super) fn apply(&mut self, message: &ProgressMessage, now: Duration) -> Option<String> {
        if !message.stream.is_empty() {
            return Some(message.stream.clone());
        }
        let Some(detail) = message.progress_detail.as_ref().filter(|_| !message.id.is_empty())
        else {
            return Some(plain(message));
        };
        let position = self.rows.iter().position(|row| row.id == message.id);
        let row = match position {
            Some(position) => self.rows.get_mut(position),
            None => {
                self.rows.push(Row { id: message.id.clone(), ..Row::default() });
                self.rows.last_mut()
            }
        }?;
        let before = (row.total > 0).then_some(row.moved);
        row.advance(&message.status, detail, now);
        self.fresh += row.moved.saturating_sub(before.unwrap_or(row.moved));
        self.overall.note(now, self.fresh);
        None
    }

    /// Whether there is anything to see.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines for a window: never more than fit above the cursor.
    pub(super) fn lines(&self, window: Size, now: Duration) -> Vec<String> {
        let (width, height) = (usize::from(window.width), usize::from(window.height));
        let totals = self.totals(now);
        // The cursor stands on a line of its own.
        let room = height.saturating_sub(1 + usize::from(totals.is_some())).max(1);
        let mut shown: Vec<&Row> = self.rows.iter().collect();
        let hidden = if shown.len() > room {
            // What goes on is worth more than what is done or waits.
            shown.sort_by_key(|row| row.rank());
            let hidden = shown.len() - (room - 1);
            shown.truncate(room - 1);
            hidden
        } else {
            0
        };
        let mut lines = set(&shown, (width, now));
        if hidden > 0 {
            lines.push(cut(format!("… and {hidden} more"), width));
        }
        lines.extend(totals.map(|text| cut(text, width)));
        lines
    }

    /// All rows as they stay: without totals.
    pub(super) fn last_lines(&self, width: u16, now: Duration) -> Vec<String> {
        set(&self.rows.iter().collect::<Vec<_>>(), (usize::from(width), now))
    }

    fn totals(&self, now: Duration) -> Option<String> {
        if self.rows.len() < 2 {
            return None;
        }
        let done = self.rows.iter().filter(|row| row.is_done()).count();
        let moved: u64 = self.rows.iter().map(|row| row.moved).sum();
        let total: u64 = self.rows.iter().map(|row| row.total).sum();
        let mut text = format!("{done}/{} layers done", self.rows.len());
        if total == 0 || done == self.rows.len() {
            return Some(text);
        }
        let is_known = self.rows.iter().all(|row| row.is_done() || row.total > 0);
        let at_least = if is_known { "" } else { "+" };
        text.push_str(&format!(", {}/{}{at_least}", human_decimal(moved), human_decimal(total)));
        if let Some(rate) = self.overall.rate(now, self.fresh).filter(|_| moved < total) {
            text.push_str(&format!(", {}/s", human_decimal_short(rate)));
            if is_known && let Some(left) = time_left(total - moved, rate) {
                text.push_str(&format!(", {left} left"));
            }
        }
        Some(text)
    }
}

impl Row {
    fn advance(&mut self, status: &str, detail: &ProgressDetail, now: Duration) {
        if self.status != status {
            self.meter = Meter::default();
        }
        status.clone_into(&mut self.status);
        self.detail = detail.clone();
        let (current, total) = (bytes(detail.current), bytes(detail.total));
        match status {
            "Downloading" | "Pushing" | "Loading layer" => {
                self.moved = current;
                self.total = total.max(self.total);
            }
            "Extracting" | "Verifying Checksum" | "Download complete" => self.moved = self.total,
            _ if self.is_done() => self.moved = self.total,
            _ => {}
        }
        if current > 0 {
            self.meter.note(now, current);
        }
    }

    fn is_done(&self) -> bool {
        DONE.iter().any(|done| self.status.starts_with(done))
    }

    fn has_bar(&self) -> bool {
        self.detail.current > 0 || self.detail.total > 0
    }

    /// What is seen first when there is no room for all.
    fn rank(&self) -> u8 {
        match () {
            () if self.has_bar() => 0,
            () if self.status.starts_with("Retrying") => 0,
            () if self.is_done() => 3,
            () if self.status == "Waiting" || self.status == "Pulling fs layer" => 2,
            () => 1,
        }
    }

    /// `12.3MB/45.6MB`, `1/3 chunks`, or nothing.
    fn numbers(&self) -> String {
        let detail = &self.detail;
        if detail.hide_counts || !self.has_bar() {
            return String::new();
        }
        let show = |number: i64| match detail.units.as_str() {
            "" => human_decimal(bytes(number)),
            _ => number.to_string(),
        };
        let units = if detail.units.is_empty() { "" } else { " " };
        if detail.total <= 0 || detail.current > detail.total {
            return format!("{:>8}{units}{}", show(detail.current), detail.units);
        }
        let (current, total) = (show(detail.current), show(detail.total));
        format!("{current:>8}/{total}{units}{}", detail.units)
    }

    /// `10.2MB/s 3s`, or nothing.
    fn speed(&self, now: Duration) -> String {
        let detail = &self.detail;
        let current = bytes(detail.current);
        if !detail.units.is_empty() || !self.has_bar() {
            return String::new();
        }
        let Some(rate) = self.meter.rate(now, current) else {
            return String::new();
        };
        let left = time_left(bytes(detail.total).saturating_sub(current), rate);
        let left = left.filter(|_| detail.total > detail.current).unwrap_or_default();
        format!("  {}/s  {left}", human_decimal_short(rate)).trim_end().to_owned()
    }

    /// The row in `width` columns, its status as wide as those of its neighbours.
    fn text(&self, status_width: usize, (width, now): (usize, Duration)) -> String {
        if !self.has_bar() {
            return cut(format!("{}: {}", self.id, self.status), width);
        }
        let head = format!("{}: {:status_width$} ", self.id, self.status);
        let (numbers, speed) = (self.numbers(), self.speed(now));
        // The rate goes before the bar does, and the bar before the numbers.
        [speed.as_str(), ""]
            .into_iter()
            .find_map(|speed| {
                let taken = length(&head) + length(&numbers) + length(speed);
                // Brackets, a blank, and the last column: some terminals break a line that is full.
                let room = width.checked_sub(taken + 4).filter(|room| *room >= LEAST_BAR)?;
                let bar = match self.detail.total {
                    1.. => bar(&self.detail, room.min(BAR)) + " ",
                    _ => String::new(),
                };
                Some(format!("{head}{bar}{numbers}{speed}"))
            })
            .unwrap_or_else(|| cut(format!("{head}{numbers}"), width))
    }
}

fn set(rows: &[&Row], (width, now): (usize, Duration)) -> Vec<String> {
    let barred = rows.iter().filter(|row| row.has_bar());
    let widest = barred.map(|row| length(&row.status)).max().unwrap_or(0);
    rows.iter().map(|row| row.text(widest, (width, now))).collect()
}

/// `[====>     ]` with `width` columns between the brackets.
fn bar(detail: &ProgressDetail, width: usize) -> String {
    let (current, total) = (bytes(detail.current), bytes(detail.total).max(1));
    let share = u128::from(current.min(total)) * width as u128 / u128::from(total);
    let filled = usize::try_from(share).unwrap_or(width);
    if filled >= width {
        return format!("[{}]", "=".repeat(width));
    }
    format!("[{}>{}]", "=".repeat(filled), " ".repeat(width - filled - 1))
}

/// A message that is no row, as Docker prints it.
pub(super) fn plain(message: &ProgressMessage) -> String {
    let id = if message.id.is_empty() { String::new() } else { format!("{}: ", message.id) };
    if message.progress.is_empty() {
        format!("{id}{}\n", message.status)
    } else {
        format!("{id}{} {}\n", message.status, message.progress)
    }
}

fn bytes(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// At most `width` - 1 characters.
fn cut(text: String, width: usize) -> String {
    if length(&text) < width { text } else { text.chars().take(width.saturating_sub(1)).collect() }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
