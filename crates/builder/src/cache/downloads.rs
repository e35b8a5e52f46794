//! Files of the web that `ADD` got, kept with what their servers told of them: the next time it is only asked whether
//! they have changed.
//!
//! Two files for each address: its bytes and, written after them, a record that says which bytes those are. Nothing else
//! keeps the two together, so bytes are used only when their digest is the record's.

use std::fs;
use std::path::{Path, PathBuf};

use barge_sys::durable::{self, Durability};
use barge_types::{Digest, shown_address};
use serde::{Deserialize, Serialize};

use super::key::KeyMaker;
use super::record::now;
use crate::builder::CacheEntry;
use crate::error::{BuildError, Result};
use crate::sources::Downloaded;

/// Docker's word for such an entry.
pub(crate) const KIND: &str = "source.http";

/// What is known of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DownloadRecord {
    /// To be shown: without what may be secret.
    url: String,
    name: String,
    etag: Option<String>,
    modified: Option<i64>,
    digest: Digest,
    size: u64,
    created: i64,
    last_used: Option<i64>,
    uses: u64,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Downloads {
    folder: PathBuf,
}

impl Downloads {
    /// Removes bytes without a record.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(BuildError::io("create", folder))?;
        durable::sweep(folder).map_err(BuildError::io("sweep", folder))?;
        let this = Self { folder: folder.to_owned() };
        for entry in fs::read_dir(folder).map_err(BuildError::io("read", folder))?.flatten() {
            let path = entry.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if this.load(name).is_none() {
                durable::remove(&path).map_err(BuildError::io("remove", &path))?;
            }
        }
        Ok(this)
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.data"))
    }

    fn record(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// None also when there is no `ETag` to ask by, as older versions kept.
    fn load(&self, name: &str) -> Option<DownloadRecord> {
        let mut record: DownloadRecord =
            serde_json::from_slice(&fs::read(self.record(name)).ok()?).ok()?;
        // Older versions kept all of it.
        record.url = redacted(&record.url);
        record.etag.is_some().then_some(record)
    }

    fn save(&self, name: &str, record: &DownloadRecord) -> Result<()> {
        let path = self.record(name);
        let bytes = serde_json::to_vec(record)
            .map_err(std::io::Error::other)
            .map_err(BuildError::io("write", &path))?;
        durable::write(&path, &bytes, Durability::Lazy).map_err(BuildError::io("write", &path))
    }

    /// What the server told of an address the last time.
    pub(crate) fn find(&self, url: &str) -> Option<Downloaded> {
        let record = self.load(&name_of(url))?;
        Some(Downloaded {
            name: record.name,
            etag: record.etag,
            modified: record.modified,
            digest: Some(record.digest),
        })
    }

    /// Puts the bytes of an address at a path where nothing is; whether they are there.
    pub(crate) fn take(&self, url: &str, path: &Path) -> Result<bool> {
        let name = name_of(url);
        let Some(mut record) = self.load(&name) else { return Ok(false) };
        if fs::hard_link(self.data(&name), path).is_err() {
            return Ok(false);
        }
        record.last_used = Some(now());
        record.uses += 1;
        self.save(&name, &record)?;
        Ok(true)
    }

    /// Keeps a file that does not change any more, if it can be asked for changes of it: by its `ETag`, as a date tells
    /// nothing of a file that went back to an older one.
    pub(crate) fn keep(&self, url: &str, path: &Path, told: &Downloaded) -> Result<()> {
        let Some(digest) = told.digest.filter(|_| told.etag.is_some()) else { return Ok(()) };
        let name = name_of(url);
        let temporary = durable::temporary_name(&self.folder)
            .map_err(BuildError::io("name a file in", &self.folder))?;
        fs::hard_link(path, &temporary).map_err(BuildError::io("keep", path))?;
        let data = self.data(&name);
        fs::rename(&temporary, &data).map_err(BuildError::io("rename", &temporary))?;
        let size = fs::metadata(path).map_err(BuildError::io("look at", path))?.len();
        let record = DownloadRecord {
            url: redacted(url),
            name: told.name.clone(),
            etag: told.etag.clone(),
            modified: told.modified,
            digest,
            size,
            created: now(),
            last_used: None,
            uses: 0,
        };
        self.save(&name, &record)
    }

    /// What there is.
    pub(crate) fn entries(&self) -> Vec<CacheEntry> {
        let Ok(files) = fs::read_dir(&self.folder) else { return Vec::new() };
        let names = files.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".json").map(str::to_owned)
        });
        let entry = |name: String| {
            let record = self.load(&name)?;
            Some(CacheEntry {
                id: name,
                parents: Vec::new(),
                kind: KIND,
                description: format!("http url {}", record.url),
                in_use: false,
                shared: false,
                size: record.size,
                created: record.created,
                last_used: record.last_used,
                usage_count: record.uses,
            })
        };
        names.filter_map(entry).collect()
    }

    /// Gives one up. A build that has it has the bytes for itself.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        for path in [self.record(name), self.data(name)] {
            durable::remove(&path).map_err(BuildError::io("remove", &path))?;
        }
        Ok(())
    }
}

/// An address without what may be a secret; what is behind `#` no server is told.
fn redacted(url: &str) -> String {
    shown_address(url.split('#').next().unwrap_or_default())
}

fn name_of(url: &str) -> String {
    KeyMaker::new("download").word(url).finish().hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(etag: Option<&str>) -> Downloaded {
        Downloaded {
            name: "f".to_owned(),
            etag: etag.map(str::to_owned),
            modified: None,
            digest: Some(Digest::from_bytes([1; 32])),
        }
    }

    #[test]
    fn what_was_kept_is_found_after_a_restart_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let downloads = Downloads::open(&folder.path().join("d")).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "bytes").unwrap();
        downloads.keep("http://a/f", &path, &told(Some("1"))).unwrap();
        fs::write(folder.path().join("d/left.data"), "").unwrap();
        let downloads = Downloads::open(&folder.path().join("d")).unwrap();
        assert!(!folder.path().join("d/left.data").exists());
        assert_eq!(downloads.find("http://a/f"), Some(told(Some("1"))));
        assert_eq!(downloads.find("http://a/g"), None);
        let taken = folder.path().join("taken");
        assert!(downloads.take("http://a/f", &taken).unwrap());
        assert_eq!(fs::read_to_string(&taken).unwrap(), "bytes");
        let entries = downloads.entries();
        assert_eq!((entries.len(), entries[0].size, entries[0].usage_count), (1, 5, 1));
        downloads.remove(&entries[0].id).unwrap();
        assert!(downloads.entries().is_empty());
        assert!(!downloads.take("http://a/f", &folder.path().join("again")).unwrap());
    }

    #[test]
    fn what_is_secret_in_an_address_is_neither_kept_nor_shown() {
        let folder = tempfile::tempdir().unwrap();
        let downloads = Downloads::open(&folder.path().join("d")).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "bytes").unwrap();
        let url = "https://me:secret@a:81/f@1?token=secret#x";
        downloads.keep(url, &path, &told(Some("1"))).unwrap();
        let record = fs::read_to_string(downloads.record(&name_of(url))).unwrap();
        assert!(!record.contains("secret"), "{record}");
        assert_eq!(downloads.entries()[0].description, "http url https://a:81/f@1");
        assert_eq!(downloads.find(url), Some(told(Some("1"))));
        assert_eq!(downloads.find("https://a:81/f@1"), None);
        assert_eq!(redacted("http://u@h"), "http://h");
    }

    #[test]
    fn what_nobody_can_be_asked_of_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let downloads = Downloads::open(&folder.path().join("d")).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "bytes").unwrap();
        let dated = Downloaded { modified: Some(784_111_777), ..told(None) };
        downloads.keep("http://a/f", &path, &dated).unwrap();
        assert_eq!(downloads.find("http://a/f"), None);
    }

    #[test]
    fn what_was_kept_by_its_date_alone_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("d");
        let downloads = Downloads::open(&at).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "bytes").unwrap();
        downloads.keep("http://a/f", &path, &told(Some("1"))).unwrap();
        let name = name_of("http://a/f");
        let mut record = downloads.load(&name).unwrap();
        (record.etag, record.modified) = (None, Some(784_111_777));
        downloads.save(&name, &record).unwrap();
        assert_eq!(downloads.find("http://a/f"), None);
        assert!(!downloads.take("http://a/f", &folder.path().join("taken")).unwrap());
        Downloads::open(&at).unwrap();
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    }
}
