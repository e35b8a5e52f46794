//! The files of a rotated log: `x.log` is written, `x.log.1` is the one before, and so on.

use std::path::{Path, PathBuf};

/// The file that was rotated away `age` rotations ago; 0 is the current one.
pub(crate) fn rotated(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}
