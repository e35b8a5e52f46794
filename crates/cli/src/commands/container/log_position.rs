//! How far a log has been shown, so that another daemon can be asked for the rest.
//!
//! Each line has its time, which is asked for and taken off again. Lines of the same nanosecond are told apart by
//! counting them.

use std::io;

use barge_client::stdcopy::{Piece, StdStream};

/// How far a log has been shown.
#[derive(Debug)]
pub(super) struct Position {
    times: Times,
    /// Of the line that comes; whole when `is_in_text`.
    stamp: Vec<u8>,
    is_in_text: bool,
    /// The last line shown.
    last: Last,
    /// What of the new answer was shown already.
    skip: Option<Last>,
    is_resumed: bool,
}

/// What the user sees of the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Shown,
    Hidden,
}

/// A line by its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Last {
    stamp: Vec<u8>,
    /// Which line of that time it is; the first is 1.
    number: usize,
    /// How much of its text was shown.
    shown: usize,
}

impl Position {
    /// Before the first line.
    pub(super) fn new(shows_times: bool) -> Self {
        Self {
            times: if shows_times { Times::Shown } else { Times::Hidden },
            stamp: Vec::new(),
            is_in_text: false,
            last: Last::default(),
            skip: None,
            is_resumed: false,
        }
    }

    /// Whether another daemon is being asked.
    pub(super) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Another daemon is asked for what is as young as this and younger; for all when nothing has come.
    pub(super) fn resume(&mut self) -> Option<String> {
        self.is_resumed = true;
        self.is_in_text = false;
        self.stamp.clear();
        if self.last.number == 0 {
            return None;
        }
        let last = std::mem::take(&mut self.last);
        let stamp = String::from_utf8_lossy(&last.stamp).into_owned();
        self.skip = Some(last);
        Some(stamp)
    }

    /// Hands on what of a piece is new.
    pub(super) fn pass(
        &mut self,
        piece: Piece<'_>,
        mut sink: impl FnMut(StdStream, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = piece.bytes;
        if piece.is_first {
            self.stamp.clear();
            self.is_in_text = false;
        }
        if !self.is_in_text {
            let end = bytes.iter().position(|byte| *byte == b' ');
            self.stamp.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            let Some(end) = end else { return Ok(()) };
            bytes = &bytes[end + 1..];
            self.is_in_text = true;
            self.begin_line();
            let is_new = self.skip.as_ref().is_none_or(|skip| skip.number < self.last.number);
            if is_new && self.times == Times::Shown {
                let mut stamp = self.stamp.clone();
                stamp.push(b' ');
                sink(piece.stream, &stamp)?;
            }
        }
        let from = self.last.shown;
        self.last.shown += bytes.len();
        let already = match &self.skip {
            Some(skip) if self.last.number < skip.number => self.last.shown,
            Some(skip) if self.last.number == skip.number => skip.shown,
            Some(_) | None => 0,
        };
        match bytes.get(already.saturating_sub(from)..) {
            None | Some([]) => Ok(()),
            Some(new) => sink(piece.stream, new),
        }
    }

    fn begin_line(&mut self) {
        if self.last.stamp == self.stamp {
            self.last.number += 1;
        } else {
            self.last = Last { stamp: self.stamp.clone(), number: 1, shown: 0 };
        }
        self.last.shown = 0;
        if self.skip.as_ref().is_some_and(|skip| skip.stamp != self.stamp) {
            self.skip = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use barge_client::stdcopy::Splitter;

    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = vec![1, 0, 0, 0];
        frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend(text.as_bytes());
        frame
    }

    /// Shows `bytes`, which come in pieces of `step`.
    fn show(position: &mut Position, bytes: &[u8], step: usize) -> String {
        let mut shown = Vec::new();
        let mut splitter = Splitter::default();
        for chunk in bytes.chunks(step) {
            splitter
                .feed_pieces(chunk, |piece| {
                    position.pass(piece, |_, text| {
                        shown.extend_from_slice(text);
                        Ok(())
                    })
                })
                .unwrap();
        }
        String::from_utf8(shown).unwrap()
    }

    const LINES: [&str; 5] = ["T1 one\n", "T2 two\n", "T2 two\n", "T2 three four\n", "T3 \n"];

    #[test]
    fn wherever_it_is_cut_nothing_is_lost_or_doubled() {
        let all: Vec<u8> = LINES.iter().flat_map(|line| frame(line)).collect();
        for (shows_times, expected) in
            [(false, "one\ntwo\ntwo\nthree four\n\n".to_owned()), (true, LINES.concat())]
        {
            for cut in 0..all.len() {
                for step in [1, 7, all.len()] {
                    let mut position = Position::new(shows_times);
                    let mut text = show(&mut position, &all[..cut], step);
                    let since = position.resume();
                    assert!(position.is_resumed());
                    let from = since.map_or(0, |stamp| {
                        LINES.iter().position(|line| line.starts_with(&stamp)).unwrap()
                    });
                    let rest: Vec<u8> = LINES[from..].iter().flat_map(|line| frame(line)).collect();
                    text += &show(&mut position, &rest, step);
                    assert_eq!(text, expected, "cut at {cut}, in steps of {step}");
                }
            }
        }
    }

    #[test]
    fn lines_that_are_gone_meanwhile_hide_none_that_are_not() {
        let mut position = Position::new(false);
        show(&mut position, &frame("T1 old\n"), 64);
        assert_eq!(position.resume().unwrap(), "T1");
        assert_eq!(show(&mut position, &frame("T5 new\n"), 64), "new\n");
    }
}
