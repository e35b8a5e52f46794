//! The files of a log: `x.log` is written, `x.log.1` or `x.log.1.gz` is the one before, and so on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::drivers;
use crate::format::Format;

/// The file that was rotated away `age` rotations ago; 0 is the current one.
pub(crate) fn rotated(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

/// The same, compressed.
pub(crate) fn packed(path: &Path, age: u32) -> PathBuf {
    let mut name = rotated(path, age).into_os_string();
    name.push(".gz");
    PathBuf::from(name)
}

/// What a driver leaves to be read on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The file that is written.
    pub path: PathBuf,
    /// How.
    pub format: Format,
}

impl LogFile {
    /// Where Docker has it too: in the container's folder. None for a driver that leaves nothing.
    pub fn of(
        driver: &str,
        options: &BTreeMap<String, String>,
        folder: &Path,
        id: &str,
    ) -> Option<Self> {
        let (name, format) = match drivers::storage(driver, options)? {
            drivers::Storage::Json => (format!("{id}-json.log"), Format::JsonLines),
            drivers::Storage::Local => ("local-logs/container.log".to_owned(), Format::Frames),
            drivers::Storage::Cache => ("container-cached.log".to_owned(), Format::Frames),
        };
        Some(Self { path: folder.join(name), format })
    }
}
