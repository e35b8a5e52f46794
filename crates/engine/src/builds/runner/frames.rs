//! Takes apart what a shim writes to an attached stream: frames with a header of eight bytes, in pieces of any size.

use barge_builder::runner::Stream;

const HEADER: usize = 8;

/// The frame that is being read.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    /// Of the payload, once the header is whole.
    left: usize,
}

impl Frames {
    /// Hands on the payload in `bytes`.
    pub(super) fn push(&mut self, mut bytes: &[u8], output: &mut dyn FnMut(Stream, &[u8])) {
        while !bytes.is_empty() {
            if self.header.len() < HEADER {
                let (head, rest) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
                self.header.extend_from_slice(head);
                bytes = rest;
                if let Ok(header) = <[u8; HEADER]>::try_from(self.header.as_slice()) {
                    let [_, _, _, _, length @ ..] = header;
                    self.left = u32::from_be_bytes(length) as usize;
                }
            } else {
                let (payload, rest) = bytes.split_at(bytes.len().min(self.left));
                let stream =
                    if self.header.first() == Some(&2) { Stream::Err } else { Stream::Out };
                output(stream, payload);
                self.left -= payload.len();
                bytes = rest;
            }
            if self.header.len() == HEADER && self.left == 0 {
                self.header.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut all = Vec::new();
        for (stream, text) in [(1_u8, "out"), (2, "error"), (1, ""), (1, "more")] {
            all.extend([stream, 0, 0, 0]);
            all.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            all.extend(text.bytes());
        }
        for size in 1..=all.len() {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut frames = Frames::default();
            for piece in all.chunks(size) {
                frames.push(piece, &mut |stream, bytes| match stream {
                    Stream::Out => out.extend_from_slice(bytes),
                    Stream::Err => err.extend_from_slice(bytes),
                });
            }
            assert_eq!((out.as_slice(), err.as_slice()), (&b"outmore"[..], &b"error"[..]));
        }
    }
}
