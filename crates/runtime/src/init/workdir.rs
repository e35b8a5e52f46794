//! The working directory.

use std::path::Path;

use barge_sys::openat2;
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::error::{At as _, Stage, StartError};

/// What becomes of a working directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made: images name folders that nothing made.
    Made,
    /// One more process of a container gets what there is.
    Refused,
}

/// Enters it.
pub(super) fn enter(path: &str, missing: Missing) -> Result<(), StartError> {
    if path == "/" {
        return rustix::process::chdir("/").at(Stage::WorkingDirectory, || failed(path));
    }
    match rustix::process::chdir(path) {
        Err(Errno::NOENT) if missing == Missing::Made => {
            let folder = openat2::open_root(Path::new("/"))
                .and_then(|root| {
                    let mode = Mode::from_raw_mode(0o755);
                    openat2::create_folders(&root, Path::new(path), mode)
                })
                .at(Stage::WorkingDirectory, || failed(path))?;
            rustix::process::fchdir(&folder).at(Stage::WorkingDirectory, || failed(path))?;
        }
        result => result.at(Stage::WorkingDirectory, || failed(path))?,
    }
    // A path through /proc/self/fd could lead to a folder of the host that someone forgot to close
    // (CVE-2024-21626). The kernel knows no path for such a place.
    match rustix::process::getcwd(Vec::new()) {
        Ok(place) if place.as_bytes().first() == Some(&b'/') => Ok(()),
        _ => Err(StartError::new(
            Stage::WorkingDirectory,
            "current working directory is outside of container mount namespace root",
        )),
    }
}

fn failed(path: &str) -> String {
    format!("chdir to cwd ({path:?}) set in config.json failed")
}
