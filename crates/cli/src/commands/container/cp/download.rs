//! Out of a container.
//!
//! The archive is the container's say, which is not ours: nothing outside the folder that it is put into is touched,
//! neither through a link of the archive nor through one that was there.

use std::path::Path;

use barge_api_types::PathStat;
use barge_archive::extract::{self, ApplyOptions, Clashes, Renamed, RootEntry, Special, Whiteouts};

use super::paths::{CopyPath, Found, Target, target};
use super::{Copy, pipe};
use crate::commands::archive_file;
use crate::error::{CliError, Result};
use crate::progress::Counter;
use crate::session::Session;

/// Go's bits of a folder and of a symbolic link.
const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;

pub(super) async fn run(session: &Session, copy: &Copy) -> Result<()> {
    let destination = match copy.local.as_str() {
        "-" => None,
        text => Some(CopyPath::local(text).map_err(CliError::file("getwd", "."))?),
    };
    if let Some(destination) = &destination {
        check(destination)?;
    }
    let client = session.client().await?;
    let container = &copy.remote.container;
    let asked = CopyPath::new("", &copy.remote.path);
    let mut path = copy.remote.path.clone();
    if copy.flags.follow_link
        && !asked.is_folder()
        && let Ok(stat) = client.containers().stat_path(container, &path).await
        && stat.mode & LINK != 0
    {
        path = stat.link_target;
    }
    let (stat, archive) = client.containers().archive(container, &path).await?;
    let counter = Counter::default();
    let Some(destination) = destination else {
        return archive_file::receive(archive, (None, &counter)).await;
    };
    let target = place(&destination, (asked.copy_name(), &stat))?
        .map_err(|text| CliError::Invalid(format!("{}: {text}", copy.place())))?;
    let from = CopyPath::new("", &stat.name).split().1.as_bytes().to_vec();
    let owner = if copy.flags.archive && rustix::process::geteuid().is_root() {
        None
    } else {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        Some((user.as_raw(), group.as_raw()))
    };
    let work = move |tar: pipe::Pieces| {
        let special = Special {
            root: RootEntry::Ignored,
            clashes: Clashes::Refused,
            owner,
            ..Special::default()
        };
        let options = ApplyOptions {
            whiteouts: Whiteouts::Ordinary,
            special,
            renamed: Some(Renamed { from: &from, to: target.name.as_bytes() }),
            ..ApplyOptions::default()
        };
        let applied = extract::apply(Path::new(&target.folder), tar, &options);
        applied.map(drop).map_err(|error| CliError::Invalid(text(&error)))
    };
    copy.shown((&copy.local, &counter), pipe::read(archive, &counter, work)).await
}

/// Where it goes, now that is known what it is.
fn place(
    destination: &CopyPath,
    (name, stat): (&str, &PathStat),
) -> Result<std::result::Result<Target, &'static str>> {
    let source = if stat.mode & FOLDER == 0 { Found::Other } else { Found::Folder };
    let found = Found::at(&destination.path());
    // What a link leads to is written to, not the link.
    let resolved = match found {
        Found::Nothing => destination.clone(),
        Found::Folder | Found::Other => {
            let path = destination.path();
            let real = path.canonicalize().map_err(CliError::file("lstat", &path))?;
            CopyPath { absolute: real.to_string_lossy().into_owned(), ..destination.clone() }
        }
    };
    Ok(target((name, source), (&resolved, found)))
}

/// What can be known before anything is asked for.
fn check(destination: &CopyPath) -> Result<()> {
    let (folder, _) = destination.split();
    if !Path::new(folder).is_dir() {
        return Err(CliError::Invalid(format!(
            "invalid output path: directory {folder:?} does not exist"
        )));
    }
    let path = destination.path();
    if destination.is_folder() && Found::at(&path) == Found::Other {
        let text = format!("stat {}/: not a directory", path.display());
        return Err(CliError::Invalid(text));
    }
    Ok(())
}

pub(super) fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
