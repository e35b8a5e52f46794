//! Blobs by digest: configurations, and layers as they travel. A name is given only to bytes that
//! have it as their digest.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use barge_archive::Digester;
use barge_types::Digest;

use crate::durable::{self, Batch};
use crate::error::{ImageError, Result};
use crate::faults;

/// The folder `content/blobs/sha256`.
#[derive(Debug, Clone)]
pub struct ContentStore {
    root: PathBuf,
    folder: PathBuf,
}

impl ContentStore {
    /// Opens the store below a data root and sweeps what a killed process left half written.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = root.join("content/blobs/sha256");
        durable::create_folder(&folder)?;
        durable::sweep(&folder)?;
        let store = Self { root: root.to_owned(), folder };
        store.sweep_parts()?;
        Ok(store)
    }

    /// The data root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// Whether the blob is there.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// Opens a blob.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(ImageError::io("open", &path))
    }

    /// A small blob as a whole, checked against its name.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        self.open_blob(digest)?.read_to_end(&mut bytes).map_err(ImageError::io("read", &path))?;
        let got = Digester::of(&bytes);
        if got == *digest {
            Ok(bytes)
        } else {
            Err(ImageError::WrongDigest {
                what: path.display().to_string(),
                expected: *digest,
                got,
            })
        }
    }

    /// Stores bytes, returns their digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digester::of(bytes);
        if !self.contains(&digest) {
            durable::write(&self.path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// [`Self::put`] with other files.
    pub(crate) fn put_in(&self, batch: &mut Batch, bytes: &[u8]) -> Result<Digest> {
        let digest = Digester::of(bytes);
        if !self.contains(&digest) {
            batch.add(self.path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// A blob to be written; it gets its name by [`BlobWriter::commit`] and is gone when dropped
    /// before.
    pub fn writer(&self) -> Result<BlobWriter> {
        let (file, path) = durable::temporary(&self.folder)?;
        Ok(BlobWriter { file, path, folder: self.folder.clone(), digester: Digester::new() })
    }

    /// Removes a blob that may be gone already.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        durable::remove(&self.path(digest))
    }

    /// All blobs.
    pub fn list(&self) -> Result<Vec<Digest>> {
        Ok(durable::names(&self.folder)?
            .iter()
            .filter_map(|name| Digest::from_hex(name).ok())
            .collect())
    }

    /// How many blobs there are with how many bytes, and the same of begun downloads.
    pub fn usage(&self) -> Result<ContentUsage> {
        let (blobs, bytes) = usage_of(&self.folder, |name| Digest::from_hex(name).is_ok())?;
        let (parts, bytes_of_parts) = usage_of(&self.parts(), |name| name.ends_with(".part"))?;
        Ok(ContentUsage { blobs, bytes, parts, bytes_of_parts })
    }

    /// Bytes on disk of a blob, 0 when it is not there.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> u64 {
        fs::metadata(self.path(digest)).map_or(0, |metadata| metadata.len())
    }
}

/// What the content store takes: files, and bytes of content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentUsage {
    /// Whole blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Begun downloads.
    pub parts: u64,
    /// Their bytes.
    pub bytes_of_parts: u64,
}

fn usage_of(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for name in durable::names(folder)?.iter().filter(|name| is_meant(name)) {
        // What goes away meanwhile takes nothing.
        if let Ok(metadata) = fs::metadata(folder.join(name)) {
            count += 1;
            bytes += metadata.len();
        }
    }
    Ok((count, bytes))
}

/// A blob being written.
#[derive(Debug)]
pub struct BlobWriter {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    digester: Digester,
}

impl BlobWriter {
    /// The digest of what was written so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digester.clone().finish().0
    }

    /// Gives the blob its name: the digest of what was written. Returns it with the size.
    pub fn commit(self) -> Result<(Digest, u64)> {
        let (digest, size) = self.digester.clone().finish();
        durable::publish(&self.file, &self.path, &self.folder.join(digest.hex()))?;
        Ok((digest, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buffer)?;
        self.digester.update(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !faults::is_dead() {
            // After commit the temporary name is gone already; otherwise a sweep gets what this
            // cannot remove.
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_by_the_digest_of_its_bytes() {
        let root = tempfile::tempdir().unwrap();
        let content = ContentStore::open(root.path()).unwrap();
        let digest = content.put(b"hello").unwrap();
        assert_eq!(
            digest.hex(),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(content.read(&digest).unwrap(), b"hello");
        assert_eq!(content.list().unwrap(), [digest]);
        content.remove(&digest).unwrap();
        content.remove(&digest).unwrap();
        assert!(!content.contains(&digest));
    }

    #[test]
    fn changed_bytes_are_noticed_on_reading() {
        let root = tempfile::tempdir().unwrap();
        let content = ContentStore::open(root.path()).unwrap();
        let digest = content.put(b"hello").unwrap();
        fs::write(content.path(&digest), b"hellO").unwrap();
        assert!(matches!(content.read(&digest), Err(ImageError::WrongDigest { .. })));
    }

    #[test]
    fn a_blob_that_was_not_committed_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let content = ContentStore::open(root.path()).unwrap();
        let mut writer = content.writer().unwrap();
        writer.write_all(b"half").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(&content.folder).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_at_open() {
        let root = tempfile::tempdir().unwrap();
        let content = ContentStore::open(root.path()).unwrap();
        fs::write(content.folder.join(".tmp-1"), b"half").unwrap();
        let content = ContentStore::open(root.path()).unwrap();
        assert_eq!(fs::read_dir(&content.folder).unwrap().count(), 0);
    }
}
