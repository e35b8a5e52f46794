//! How messages stand in a log file: as lines of JSON, or in frames.
//!
//! A frame is what Docker's driver `local` writes: the length of the message in four bytes, big
//! endian, the message, and its length again, so that the last ones are found from the end. The
//! message is Docker's protobuf `LogEntry`: source (1), time in nanoseconds (2), line without its
//! end (3), whether it is a part (4), and which one (5: last (1), id (2), ordinal (3)).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use crate::message::{Completeness, Message, Stream};
use crate::record::Record;
use crate::tail::{TailStart, tail_lines};

/// No message is longer; what says that it is is no message.
const MAX_FRAME: usize = 4 * 1024 * 1024;

/// How messages stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Docker's `json-file`.
    JsonLines,
    /// Docker's `local`.
    Frames,
}

/// What stands at a place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A message, and where the next one begins.
    Whole { message: Range<usize>, end: usize },
    /// The beginning of one; all before this place was searched in vain.
    Unfinished,
    /// Nothing that could be one.
    Broken,
}

impl Format {
    /// What stands at `start`. `searched` bytes behind it are known not to end a line.
    pub(crate) fn piece(self, bytes: &[u8], start: usize, searched: usize) -> Piece {
        match self {
            Self::JsonLines => match memchr::memchr(b'\n', &bytes[start + searched..]) {
                Some(length) => {
                    let end = start + searched + length;
                    Piece::Whole { message: start..end, end: end + 1 }
                }
                None => Piece::Unfinished,
            },
            Self::Frames => frame(&bytes[start..], start),
        }
    }

    /// The message; none when it is not one.
    pub(crate) fn parse(self, message: &[u8]) -> Option<Record> {
        match self {
            Self::JsonLines => Record::parse(message),
            Self::Frames => parse_entry(message),
        }
    }

    /// Where the last messages of a file begin.
    pub(crate) fn tail_start(self, file: &File, messages: u64) -> io::Result<TailStart> {
        match self {
            Self::JsonLines => tail_lines(file, messages),
            Self::Frames => tail_frames(file, messages),
        }
    }
}

fn length_at(bytes: &[u8], place: usize) -> Option<usize> {
    let four = bytes.get(place..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*four)).ok()
}

fn frame(bytes: &[u8], start: usize) -> Piece {
    let Some(length) = length_at(bytes, 0) else {
        return Piece::Unfinished;
    };
    if length == 0 || length > MAX_FRAME {
        return Piece::Broken;
    }
    match length_at(bytes, 4 + length) {
        None => Piece::Unfinished,
        Some(again) if again == length => {
            let message = start + 4..start + 4 + length;
            Piece::Whole { end: message.end + 4, message }
        }
        Some(_) => Piece::Broken,
    }
}

/// Goes back from frame to frame.
fn tail_frames(file: &File, messages: u64) -> io::Result<TailStart> {
    let mut offset = file.metadata()?.len();
    let mut lines = 0;
    let mut four = [0; 4];
    while lines < messages && offset >= 8 {
        file.read_exact_at(&mut four, offset - 4)?;
        let length = u64::from(u32::from_be_bytes(four));
        let Some(start) = offset.checked_sub(length + 8) else { break };
        file.read_exact_at(&mut four, start)?;
        if u64::from(u32::from_be_bytes(four)) != length || length == 0 {
            // The last frame is being written, or somebody else was here: all of it is looked at.
            return Ok(TailStart { offset: 0, lines: 0 });
        }
        offset = start;
        lines += 1;
    }
    Ok(TailStart { offset, lines })
}

/// Where the last whole frame of a file ends: a host that lost power may leave a piece of one.
pub(crate) fn whole_frames(file: &File, size: u64) -> io::Result<u64> {
    let last = tail_frames(file, 1)?;
    if size == 0 || last.lines == 1 {
        return Ok(size);
    }
    let mut four = [0; 4];
    let mut offset = 0;
    while offset + 8 <= size {
        file.read_exact_at(&mut four, offset)?;
        let length = u64::from(u32::from_be_bytes(four));
        let end = offset + length + 8;
        if length == 0 || end > size {
            break;
        }
        file.read_exact_at(&mut four, end - 4)?;
        if u64::from(u32::from_be_bytes(four)) != length {
            break;
        }
        offset = end;
    }
    Ok(offset)
}

/// Appends a frame.
pub(crate) fn append_frame(out: &mut Vec<u8>, message: &Message<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    append_bytes(out, 1, message.stream.name().as_bytes());
    append_number(out, 2, message.time.cast_unsigned());
    if !message.line.is_empty() {
        append_bytes(out, 3, message.line);
    }
    if let Some(part) = message.part {
        append_number(out, 4, 1);
        let mut inner = Vec::new();
        if message.completeness == Completeness::Complete {
            append_number(&mut inner, 1, 1);
        }
        append_bytes(&mut inner, 2, format!("{:016x}", part.line).as_bytes());
        append_number(&mut inner, 3, part.ordinal.into());
        append_bytes(out, 5, &inner);
    }
    // A message is at most some 16 KiB.
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX).to_be_bytes();
    out[start..start + 4].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

fn append_varint(out: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    while rest > 0x7f {
        out.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}

fn append_number(out: &mut Vec<u8>, field: u64, number: u64) {
    append_varint(out, field << 3);
    append_varint(out, number);
}

fn append_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    append_varint(out, field << 3 | 2);
    append_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The next field; none when the bytes are no message (or are used up, which the caller sees).
fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = take_varint(bytes)?;
    let value = match key & 7 {
        0 => Value::Number(take_varint(bytes)?),
        2 => {
            let length = usize::try_from(take_varint(bytes)?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Value::Bytes(value)
        }
        _ => return None,
    };
    Some((key >> 3, value))
}

fn parse_entry(message: &[u8]) -> Option<Record> {
    let mut bytes = message;
    let mut record = Record {
        stream: Stream::Stdout,
        time: 0,
        line: Vec::new(),
        attributes: Default::default(),
    };
    let (mut is_part, mut is_last) = (false, false);
    while !bytes.is_empty() {
        match take_field(&mut bytes)? {
            (1, Value::Bytes(b"stderr")) => record.stream = Stream::Stderr,
            (2, Value::Number(time)) => record.time = time.cast_signed(),
            (3, Value::Bytes(line)) => {
                // With room for its end.
                record.line.reserve_exact(line.len() + 1);
                record.line.extend_from_slice(line);
            }
            (4, Value::Number(number)) => is_part = number != 0,
            (5, Value::Bytes(part)) => is_last = parse_is_last(part)?,
            // What later versions may add.
            (_, Value::Number(_) | Value::Bytes(_)) => {}
        }
    }
    if !is_part || is_last {
        record.line.push(b'\n');
    }
    Some(record)
}

fn parse_is_last(part: &[u8]) -> Option<bool> {
    let mut bytes = part;
    let mut is_last = false;
    while !bytes.is_empty() {
        if let (1, Value::Number(number)) = take_field(&mut bytes)? {
            is_last = number != 0;
        }
    }
    Some(is_last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Part;

    fn message(line: &[u8]) -> Message<'_> {
        Message {
            stream: Stream::Stdout,
            time: 5,
            line,
            completeness: Completeness::Complete,
            part: None,
        }
    }

    /// These bytes were written by Docker's driver `local`.
    #[test]
    fn frames_are_as_docker_writes_them() {
        let mut out = Vec::new();
        append_frame(&mut out, &Message { stream: Stream::Stderr, time: 300, ..message(b"hi") });
        assert_eq!(out, b"\0\0\0\x0f\x0a\x06stderr\x10\xac\x02\x1a\x02hi\0\0\0\x0f");
    }

    #[test]
    fn parts_are_read_back_as_they_were() {
        let part = Some(Part { line: 9, ordinal: 2 });
        for (message, line) in [
            (message(b"x"), &b"x\n"[..]),
            (message(b""), b"\n"),
            (Message { part, ..message(b"x") }, b"x\n"),
            (Message { part, completeness: Completeness::Partial, ..message(b"x") }, b"x"),
        ] {
            let mut out = Vec::new();
            append_frame(&mut out, &message);
            let Piece::Whole { message: place, end } = Format::Frames.piece(&out, 0, 0) else {
                panic!("no frame: {out:?}");
            };
            assert_eq!(end, out.len());
            let record = Format::Frames.parse(&out[place]).unwrap();
            assert_eq!((record.time, &record.line[..]), (5, line));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_fail() {
        let mut out = Vec::new();
        append_frame(&mut out, &message(b"some words"));
        for place in 0..out.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut broken = out.clone();
                broken[place] = byte;
                if let Piece::Whole { message, .. } = Format::Frames.piece(&broken, 0, 0) {
                    Format::Frames.parse(&broken[message]);
                }
            }
            assert_eq!(Format::Frames.piece(&out[..place], 0, 0), Piece::Unfinished);
        }
    }
}
