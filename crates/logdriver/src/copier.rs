//! Cuts one stream of bytes into messages.

use crate::driver::LogDriver;
use crate::message::{Completeness, Message, Part, Stream};

/// A line longer than this becomes several messages, as in Docker.
pub const MAX_LINE: usize = 16 * 1024;

/// A buffer that is empty and larger than this is given back.
const KEEP: usize = 1024;

/// Cuts the output of one stream into messages for a driver. Memory is needed only for a line whose
/// end has not come.
#[derive(Debug)]
pub struct Copier {
    stream: Stream,
    /// What was read of the current line and is not logged yet; shorter than [`MAX_LINE`].
    pending: Vec<u8>,
    /// When the current line's first byte was read.
    begun: Option<i64>,
    /// How many messages the current line has been so far.
    parts: u32,
    /// How many lines were more than one message.
    long_lines: u32,
}

impl Copier {
    /// For one stream.
    pub fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new(), begun: None, parts: 0, long_lines: 0 }
    }

    /// Logs the lines that end in `bytes`, which were read at `now`, and keeps the rest. Does not
    /// flush.
    pub fn copy(&mut self, bytes: &[u8], now: i64, driver: &mut dyn LogDriver) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let window = rest.len().min(MAX_LINE - self.pending.len());
            match memchr::memchr(b'\n', &rest[..window]) {
                Some(end) => {
                    self.emit(&rest[..end], Completeness::Complete, now, driver);
                    rest = &rest[end + 1..];
                }
                None if self.pending.len() + window == MAX_LINE => {
                    self.emit(&rest[..window], Completeness::Partial, now, driver);
                    rest = &rest[window..];
                }
                None => {
                    self.begun.get_or_insert(now);
                    self.pending.extend_from_slice(rest);
                    rest = &[];
                }
            }
        }
    }

    /// Logs what is left of a line that was never ended.
    pub fn finish(&mut self, now: i64, driver: &mut dyn LogDriver) {
        if !self.pending.is_empty() {
            self.emit(&[], Completeness::Partial, now, driver);
        }
    }

    fn emit(
        &mut self,
        tail: &[u8],
        completeness: Completeness,
        now: i64,
        driver: &mut dyn LogDriver,
    ) {
        let time = *self.begun.get_or_insert(now);
        let part = self.next_part(time, completeness);
        let line = if self.pending.is_empty() {
            tail
        } else {
            self.pending.extend_from_slice(tail);
            &self.pending
        };
        driver.log(&Message { stream: self.stream, time, line, completeness, part });
        self.pending.clear();
        self.pending.shrink_to(KEEP);
        if completeness == Completeness::Complete {
            self.begun = None;
        }
    }

    /// None for a line that is one message.
    fn next_part(&mut self, time: i64, completeness: Completeness) -> Option<Part> {
        if completeness == Completeness::Complete && self.parts == 0 {
            return None;
        }
        if self.parts == 0 {
            self.long_lines = self.long_lines.wrapping_add(1);
        }
        let begun = time.cast_unsigned().wrapping_add(self.long_lines.into());
        let line = begun << 1 | u64::from(self.stream == Stream::Stderr);
        let ordinal = self.parts.saturating_add(1);
        self.parts = if completeness == Completeness::Complete { 0 } else { ordinal };
        Some(Part { line, ordinal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LogError;

    #[derive(Debug, Default)]
    struct Seen(Vec<(Vec<u8>, Completeness, i64)>);

    impl LogDriver for Seen {
        fn name(&self) -> &'static str {
            "seen"
        }
        fn log(&mut self, message: &Message<'_>) {
            self.0.push((message.line.to_vec(), message.completeness, message.time));
        }
        fn flush(&mut self) -> Result<(), LogError> {
            Ok(())
        }
    }

    use Completeness::{Complete, Partial};

    #[test]
    fn lines_are_whole_however_they_are_read() {
        let text = b"one\n\nthree and more\nlast";
        for step in 1..=text.len() {
            let (mut copier, mut seen) = (Copier::new(Stream::Stdout), Seen::default());
            for piece in text.chunks(step) {
                copier.copy(piece, 1, &mut seen);
            }
            copier.finish(2, &mut seen);
            let lines: Vec<_> = seen.0.iter().map(|(line, how, _)| (&line[..], *how)).collect();
            let expected = [
                (&b"one"[..], Complete),
                (b"", Complete),
                (b"three and more", Complete),
                (b"last", Partial),
            ];
            assert_eq!(lines, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_keeps_its_time() {
        let (mut copier, mut seen) = (Copier::new(Stream::Stdout), Seen::default());
        let long = vec![b'x'; 2 * MAX_LINE + 3];
        copier.copy(&long[..100], 1, &mut seen);
        copier.copy(&long[100..], 2, &mut seen);
        copier.copy(b"\nnext\n", 3, &mut seen);
        let lengths: Vec<_> = seen.0.iter().map(|(l, how, time)| (l.len(), *how, *time)).collect();
        let expected =
            [(MAX_LINE, Partial, 1), (MAX_LINE, Partial, 1), (3, Complete, 1), (4, Complete, 3)];
        assert_eq!(lengths, expected);
    }

    #[test]
    fn parts_are_counted_and_belong_to_one_line() {
        #[derive(Debug, Default)]
        struct Parts(Vec<Option<Part>>);
        impl LogDriver for Parts {
            fn name(&self) -> &'static str {
                "parts"
            }
            fn log(&mut self, message: &Message<'_>) {
                self.0.push(message.part);
            }
            fn flush(&mut self) -> Result<(), LogError> {
                Ok(())
            }
        }
        let (mut copier, mut seen) = (Copier::new(Stream::Stdout), Parts::default());
        let long = vec![b'x'; MAX_LINE + 3];
        for text in [&b"short\n"[..], &long, b"\n", &long, b"\n"] {
            copier.copy(text, 7, &mut seen);
        }
        assert_eq!(seen.0[0], None);
        let parts: Vec<Part> = seen.0[1..].iter().map(|part| part.unwrap()).collect();
        let ordinals: Vec<u32> = parts.iter().map(|part| part.ordinal).collect();
        assert_eq!(ordinals, [1, 2, 1, 2]);
        assert_eq!(parts[0].line, parts[1].line);
        assert_eq!(parts[2].line, parts[3].line);
        assert_ne!(parts[0].line, parts[2].line);
    }

    #[test]
    fn a_line_of_exactly_the_longest_length_ends_with_an_empty_part() {
        let (mut copier, mut seen) = (Copier::new(Stream::Stderr), Seen::default());
        let mut line = vec![b'x'; MAX_LINE];
        line.push(b'\n');
        copier.copy(&line, 1, &mut seen);
        copier.finish(1, &mut seen);
        let lengths: Vec<_> = seen.0.iter().map(|(line, how, _)| (line.len(), *how)).collect();
        assert_eq!(lengths, [(MAX_LINE, Partial), (0, Complete)]);
    }

    #[test]
    fn memory_of_a_long_line_is_given_back() {
        let (mut copier, mut seen) = (Copier::new(Stream::Stdout), Seen::default());
        copier.copy(&vec![b'x'; MAX_LINE - 1], 1, &mut seen);
        copier.copy(b"\n", 1, &mut seen);
        assert!(copier.pending.capacity() <= KEEP);
    }
}
