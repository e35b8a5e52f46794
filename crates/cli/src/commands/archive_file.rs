//! An archive from the daemon, written where the user wants it: to a file that is there as a whole
//! or not at all, or to standard output.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use barge_client::ByteStream;

use crate::error::{CliError, Result};
use crate::progress::{Counter, Moving, Progress, Show};
use crate::terminal;

/// Refuses to write an archive where a person reads.
pub(super) fn check_output(output: Option<&Path>, verb: &str) -> Result<()> {
    let Some(path) = output else {
        if terminal::stdout_is_terminal() {
            return Err(CliError::Invalid(format!(
                "cowardly refusing to {verb} to a terminal. Use the -o flag or redirect"
            )));
        }
        return Ok(());
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(CliError::Invalid(format!(
            "failed to {verb} {}: invalid output path: directory {:?} does not exist",
            match verb {
                "save" => "image",
                "export" => "container",
                _ => "result",
            },
            folder.display().to_string()
        )));
    }
    if path.is_dir() {
        return Err(CliError::Invalid(format!("{}: is a directory", path.display())));
    }
    Ok(())
}

/// Writes it to `output`, or to standard output.
pub(super) async fn write(
    mut archive: ByteStream,
    (output, status): (Option<&Path>, &'static str),
) -> Result<()> {
    let Some(path) = output else {
        return copy(&mut archive, (&mut std::io::stdout().lock(), &Counter::default())).await;
    };
    let counter = Counter::default();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let moving = Moving { name, status, total: None, counter: counter.clone() };
    // Standard error: nothing but the archive is the command's output.
    let progress = Progress::new(Show::OnStderr).with(moving);
    progress.during(write_to(&mut archive, (path, &counter))).await
}

/// The same without a picture of it: somebody else draws one.
pub(super) async fn receive(
    mut archive: ByteStream,
    (output, counter): (Option<&Path>, &Counter),
) -> Result<()> {
    match output {
        Some(path) => write_to(&mut archive, (path, counter)).await,
        None => copy(&mut archive, (&mut std::io::stdout().lock(), counter)).await,
    }
}

/// Writes beside the file and renames: an archive that is not whole is never seen under its name.
async fn write_to(archive: &mut ByteStream, (path, counter): (&Path, &Counter)) -> Result<()> {
    if path.exists() && !path.is_file() {
        let mut device =
            File::options().write(true).open(path).map_err(CliError::file("open", path))?;
        return copy(archive, (&mut device, counter)).await;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = private(&beside).map_err(CliError::file("open", &beside))?;
    let result = match copy(archive, (&mut file, counter)).await {
        Ok(()) => fs::rename(&beside, path).map_err(CliError::file("rename", path)),
        Err(error) => Err(error),
    };
    if result.is_err() {
        // The first error is the one to tell.
        fs::remove_file(&beside).ok();
    }
    result
}

/// A new file that only its owner reads, as Docker's client makes it: images hold secrets at times.
fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

async fn copy(archive: &mut ByteStream, (to, counter): (&mut impl Write, &Counter)) -> Result<()> {
    while let Some(bytes) = archive.next().await? {
        to.write_all(&bytes).map_err(CliError::stdio("write the archive"))?;
        counter.add(bytes.len());
    }
    to.flush().map_err(CliError::stdio("write the archive"))
}
