//! Files that no context has: documents of the Dockerfile and downloads, written where a [`super::Tree`] can read them.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::error::{FilesError, Result};
use super::target::moment;

/// The file of a heredoc in a folder of the build: mode 0644.
///
/// # Errors
/// A disk that fails.
pub fn write_document(folder: &Path, name: &str, content: &str) -> Result<PathBuf> {
    let path = folder.join(name.replace('/', "_"));
    let failed = || FilesError::io("write", path.as_os_str().as_encoded_bytes());
    let mut file = File::create(&path).map_err(failed())?;
    file.write_all(content.as_bytes()).map_err(failed())?;
    file.set_permissions(Permissions::from_mode(0o644)).map_err(failed())?;
    Ok(path)
}

/// Makes a download look as `ADD` leaves it: mode 0600, the time that the server told, or the epoch without one.
///
/// # Errors
/// A disk that fails.
pub fn dress_download(file: &File, modified: Option<i64>) -> Result<()> {
    let failed = || FilesError::io("set attributes of", b"a download");
    file.set_permissions(Permissions::from_mode(0o600)).map_err(failed())?;
    let times = moment(modified.unwrap_or(0), 0);
    rustix::fs::futimens(file, &times).map_err(|error| failed()(error.into()))
}

/// The name that a download gets at a destination that is a folder: the last part of the address, never a path.
#[must_use]
pub fn download_name(address: &str) -> Option<String> {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let (_, path) = path.split_once('/')?;
    let name = path.rsplit('/').find(|part| !part.is_empty())?;
    (!matches!(name, "." | "..")).then(|| name.to_owned())
}
