//! The output of a probe: taken out of the shim's frames, and only so much of it kept as Docker keeps.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much is kept.
const KEPT: usize = 4096;
/// What a frame begins with: the stream, three zeros, the length of what follows.
const HEADER: usize = 8;

/// What a probe has written, as far as it is kept.
#[derive(Debug, Default)]
pub(super) struct Output {
    kept: Vec<u8>,
    is_longer: bool,
    /// The header that is being read.
    header: Vec<u8>,
    /// How much of the frame is still to come.
    rest: usize,
}

impl Output {
    /// Reads to the end; a stream that breaks has ended.
    pub(super) async fn take_all(&mut self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.take(buffer.get(..count).unwrap_or_default());
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let (now, later) = bytes.split_at(self.rest.min(bytes.len()));
                self.keep(now);
                self.rest -= now.len();
                bytes = later;
                continue;
            }
            let missing = HEADER - self.header.len();
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.header.extend_from_slice(now);
            bytes = later;
            if let Some(&[_, _, _, _, a, b, c, d]) = self.header.first_chunk::<HEADER>() {
                self.rest = u32::from_be_bytes([a, b, c, d]) as usize;
                self.header.clear();
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT - self.kept.len();
        self.is_longer |= bytes.len() > room;
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// As dockerd shows it: cut with three dots, and what is no text replaced.
    pub(super) fn into_text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.kept).into_owned();
        if self.is_longer {
            text.push_str("...");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0][..], &length, text].concat()
    }

    #[test]
    fn frames_are_joined_wherever_they_are_cut() {
        let all = [frame(1, b"one "), frame(2, b""), frame(2, b"two")].concat();
        for size in 1..=all.len() {
            let mut output = Output::default();
            for piece in all.chunks(size) {
                output.take(piece);
            }
            assert_eq!(output.into_text(), "one two");
        }
    }

    #[tokio::test]
    async fn the_first_4096_bytes_are_kept() {
        let exact = frame(1, &[b'x'; KEPT]);
        let mut output = Output::default();
        output.take_all(exact.as_slice()).await;
        assert_eq!(output.into_text(), "x".repeat(KEPT));
        let mut output = Output::default();
        output.take_all([exact, frame(2, b"y")].concat().as_slice()).await;
        assert_eq!(output.into_text(), format!("{}...", "x".repeat(KEPT)));
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut output = Output::default();
        output.take(&frame(1, b"a\xff"));
        assert_eq!(output.into_text(), "a\u{fffd}");
    }
}
