//! SHA-256 while bytes pass by, with their count.

use std::io::{self, Read, Write};

use barge_types::Digest;

/// Computes the digest and the length of what it is fed.
#[derive(Clone)]
pub struct Digester {
    context: ring::digest::Context,
    bytes: u64,
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digester").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self { context: ring::digest::Context::new(&ring::digest::SHA256), bytes: 0 }
    }
}

impl Digester {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// The digest of bytes that are all there.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut digester = Self::new();
        digester.update(bytes);
        digester.finish().0
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Bytes fed so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest and the number of bytes.
    pub fn finish(self) -> (Digest, u64) {
        let mut sum = [0; 32];
        sum.copy_from_slice(self.context.finish().as_ref());
        (Digest::from_bytes(sum), self.bytes)
    }
}

/// Digests what is read through it.
#[derive(Debug)]
pub struct DigestReader<R> {
    inner: R,
    digester: Digester,
}

impl<R: Read> DigestReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, digester: Digester::new() }
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.digester.bytes()
    }

    /// The digest and the length of what was read, and the reader.
    pub fn finish(self) -> (Digest, u64, R) {
        let (digest, bytes) = self.digester.finish();
        (digest, bytes, self.inner)
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digester.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Digests what is written through it.
#[derive(Debug)]
pub struct DigestWriter<W> {
    inner: W,
    digester: Digester,
}

impl<W: Write> DigestWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, digester: Digester::new() }
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.digester.bytes()
    }

    /// The digest and the length of what was written, and the writer.
    pub fn finish(self) -> (Digest, u64, W) {
        let (digest, bytes) = self.digester.finish();
        (digest, bytes, self.inner)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.digester.update(buffer.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digest_and_length_of_what_passed() {
        let mut reader = DigestReader::new(&b"abc"[..]);
        let mut writer = DigestWriter::new(Vec::new());
        io::copy(&mut reader, &mut writer).unwrap();
        let (read, read_bytes, _) = reader.finish();
        let (written, written_bytes, out) = writer.finish();
        assert_eq!((read.to_string().as_str(), read_bytes), (ABC, 3));
        assert_eq!((written, written_bytes, out), (read, 3, b"abc".to_vec()));
        assert_eq!(Digester::of(b"abc"), read);
    }
}
