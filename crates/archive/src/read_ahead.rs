//! Reads a source on a thread of its own, so that decompression and extraction use two cores.
//!
//! A fixed number of blocks goes round: memory is bounded and nothing is allocated per block once it runs.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

const BLOCK: usize = 128 * 1024;
const BLOCKS: usize = 8;

/// A reader that is filled by another thread.
///
/// Dropped before the end, it stops that thread at its next block.
#[derive(Debug)]
pub struct ReadAhead<R> {
    filled: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    position: usize,
    thread: Option<JoinHandle<R>>,
}

impl<R: Read + Send + 'static> ReadAhead<R> {
    /// Starts to read `source`.
    pub fn new(mut source: R) -> io::Result<Self> {
        let (filled_sender, filled) = sync_channel(BLOCKS);
        let (empty, empty_receiver) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            empty.send(Vec::new()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        let thread = Builder::new().name("read-ahead".into()).spawn(move || {
            fill(&mut source, &filled_sender, &empty_receiver);
            source
        })?;
        Ok(Self { filled, empty, block: Vec::new(), position: 0, thread: Some(thread) })
    }

    /// Reads to the end and gives the source back.
    pub fn finish(mut self) -> io::Result<R> {
        io::copy(&mut self, &mut io::sink())?;
        let gone = || io::Error::other("the reading thread panicked");
        self.thread.take().ok_or_else(gone)?.join().map_err(|_| gone())
    }
}

fn fill(
    source: &mut impl Read,
    filled: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) {
    while let Ok(mut block) = empty.recv() {
        block.resize(BLOCK, 0);
        let mut length = 0;
        let mut failed = None;
        while let Some(rest) = block.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match source.read(rest) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let ended = length < BLOCK;
        block.truncate(length);
        if length > 0 && filled.send(Ok(block)).is_err() {
            return;
        }
        if let Some(error) = failed {
            // The receiver may be gone: then nobody wants to know.
            filled.send(Err(error)).ok();
            return;
        }
        if ended {
            return;
        }
    }
}

impl<R> Read for ReadAhead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.block.len() {
            let used = std::mem::take(&mut self.block);
            self.position = 0;
            // The thread may have ended: the block is not needed any more then.
            self.empty.try_send(used).ok();
            match self.filled.recv() {
                Ok(block) => self.block = block?,
                Err(_) => return Ok(0),
            }
        }
        let rest = self.block.get(self.position..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.position += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_and_the_source_comes_back() {
        let plain: Vec<u8> = (0..600_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let mut reader = ReadAhead::new(io::Cursor::new(plain.clone())).unwrap();
        let mut out = vec![0; 1_000_001];
        reader.read_exact(&mut out).unwrap();
        assert_eq!(out, plain[..1_000_001]);
        let source = reader.finish().unwrap();
        assert_eq!(source.position(), plain.len() as u64);
    }

    #[test]
    fn an_error_of_the_source_arrives_after_its_bytes() {
        #[derive(Debug)]
        struct Breaks(u8);
        impl Read for Breaks {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 3 {
                    return Err(io::Error::other("disk on fire"));
                }
                buffer[0] = self.0;
                Ok(1)
            }
        }
        let mut out = Vec::new();
        let error = ReadAhead::new(Breaks(0)).unwrap().read_to_end(&mut out).unwrap_err();
        assert_eq!((out, error.to_string()), (vec![1, 2, 3], "disk on fire".into()));
    }

    #[test]
    fn an_early_drop_ends_the_thread() {
        drop(ReadAhead::new(io::repeat(1)).unwrap());
    }
}
