//! Records on disk: a temporary name, then a rename, so that a reader finds the old or the new one, never a half.

use std::fs;
use std::path::Path;

use barge_sys::durable;
pub(crate) use barge_sys::durable::Durability;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{EngineError, Result};

/// Writes one record.
pub(crate) fn write_record<T: Serialize>(
    path: &Path,
    record: &T,
    durability: Durability,
) -> Result<()> {
    let text = serde_json::to_vec(record)
        .map_err(|source| EngineError::Record { path: path.display().to_string(), source })?;
    write_file(path, &text, durability)
}

/// Writes one file in whole.
pub(crate) fn write_file(path: &Path, text: &[u8], durability: Durability) -> Result<()> {
    durable::write(path, text, durability).map_err(EngineError::io("write", path))
}

/// Reads one record; `None` when there is no such file.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EngineError::io("read", path)(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| EngineError::Record { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        assert_eq!(read_record::<u32>(&path).unwrap(), None);
        write_record(&path, &7_u32, Durability::Durable).unwrap();
        assert_eq!(read_record::<u32>(&path).unwrap(), Some(7));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "{").unwrap();
        let error = read_record::<u32>(&path).unwrap_err();
        assert!(error.to_string().contains("a.json"), "{error}");
    }
}
