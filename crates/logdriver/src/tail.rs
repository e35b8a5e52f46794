//! Where the last lines of a file begin, found from its end without reading the rest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const BLOCK: u64 = 64 * 1024;

/// Where a file's last lines begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TailStart {
    /// The offset of the first of them.
    pub(crate) offset: u64,
    /// How many there are; fewer than asked when the file has no more.
    pub(crate) lines: u64,
}

/// Finds the last `lines` lines. An unfinished line at the end, which is still being written, does
/// not count and comes after them.
pub(crate) fn tail_lines(file: &File, lines: u64) -> io::Result<TailStart> {
    let size = file.metadata()?.len();
    let mut block = vec![0; usize::try_from(BLOCK.min(size)).unwrap_or(0)];
    let mut found = 0;
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let bytes = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(bytes, start)?;
        for (at, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if found == lines {
                return Ok(TailStart { offset: start + at as u64 + 1, lines });
            }
            found += 1;
        }
        end = start;
    }
    Ok(TailStart { offset: 0, lines: found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn offset(text: &[u8], lines: u64) -> (u64, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let start = tail_lines(&file, lines).unwrap();
        (start.offset, start.lines)
    }

    #[test]
    fn lines_are_counted_from_the_end() {
        assert_eq!(offset(b"", 3), (0, 0));
        assert_eq!(offset(b"a\nb\nc\n", 0), (6, 0));
        assert_eq!(offset(b"a\nb\nc\n", 1), (4, 1));
        assert_eq!(offset(b"a\nb\nc\n", 3), (0, 3));
        assert_eq!(offset(b"a\nb\nc\n", 9), (0, 3));
        assert_eq!(offset(b"a\nb\nunfini", 1), (2, 1));
        assert_eq!(offset(b"unfini", 1), (0, 0));
    }

    #[test]
    fn lines_longer_than_a_block_are_found() {
        let mut text = vec![b'x'; 200_000];
        text.push(b'\n');
        text.extend_from_slice(&vec![b'y'; 100_000]);
        text.push(b'\n');
        assert_eq!(offset(&text, 1), (200_001, 1));
        assert_eq!(offset(&text, 2), (0, 2));
    }
}
