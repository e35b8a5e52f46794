//! Into a container.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use barge_archive::pack::PackOptions;
use barge_archive::resource::Resource;
use barge_client::{Client, ExtractOptions, Upload};
use rustix::fs::{CWD, Mode, OFlags};

use super::download::text;
use barge_types::path::Ending;

use super::paths::{CopyPath, Found, Target, target};
use super::{Copy, pipe};
use crate::commands::image::upload;
use crate::error::{CliError, Result};
use crate::progress::Counter;
use crate::session::Session;

/// Go's bits of what can be written to: a folder, a file; and of a symbolic link.
const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
/// Devices, pipes, sockets, character devices, irregular ones.
const SPECIAL: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;

pub(super) async fn run(session: &Session, copy: &Copy) -> Result<()> {
    let client = session.client().await?;
    let source = match copy.local.as_str() {
        "-" => None,
        text => Some(Source::find(text, copy.flags.follow_link)?),
    };
    let (destination, found) = look(client, copy).await?;
    let counter = Counter::default();
    let Some(source) = source else {
        if found != Found::Folder {
            return Err(CliError::Invalid(format!(
                "destination \"{}\" must be a directory",
                copy.place()
            )));
        }
        let body = upload(std::io::stdin(), counter.clone());
        let sending = send(client, copy, (&destination.absolute, body));
        return copy.shown((&copy.place(), &counter), sending).await;
    };
    let target = target((&source.name, source.found), (&destination, found))
        .map_err(|text| CliError::Invalid(format!("{}: {text}", copy.place())))?;
    let (sender, body) = Upload::channel();
    let out = pipe::Body { sender, counter: counter.clone(), gathered: Vec::new() };
    let folder = target.folder.clone();
    let packing = tokio::task::spawn_blocking(move || pack(&source, &target, out));
    let sending = async {
        let sent = send(client, copy, (&folder, body)).await;
        match packing.await {
            // Why it was broken off is said here.
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => sent,
            Err(error) => Err(CliError::Invalid(format!("cannot copy: {error}"))),
        }
    };
    copy.shown((&copy.place(), &counter), sending).await
}

async fn send(client: &Client, copy: &Copy, (folder, body): (&str, Upload)) -> Result<()> {
    let options = ExtractOptions {
        path: folder.to_owned(),
        no_overwrite_dir_non_dir: true,
        copy_uid_gid: copy.flags.archive,
    };
    Ok(client.containers().extract(&copy.remote.container, &options, body).await?)
}

/// The destination, through a link at its end, and what is there. What cannot be asked about is as good as not there:
/// sending will say why.
async fn look(client: &Client, copy: &Copy) -> Result<(CopyPath, Found)> {
    let (container, path) = (&copy.remote.container, &copy.remote.path);
    let mut destination = CopyPath::new("", path);
    let mut found = client.containers().stat_path(container, path).await;
    if let Ok(stat) = &found
        && stat.mode & LINK != 0
    {
        destination.absolute = CopyPath::new("", &stat.link_target).absolute;
        found = client.containers().stat_path(container, &destination.absolute).await;
    }
    match found {
        Err(_) => Ok((destination, Found::Nothing)),
        Ok(stat) if stat.mode & FOLDER != 0 => Ok((destination, Found::Folder)),
        Ok(stat) if stat.mode & SPECIAL == 0 => Ok((destination, Found::Other)),
        Ok(_) => Err(CliError::Invalid(format!(
            "destination \"{container}:{path}\" must be a directory or a regular file"
        ))),
    }
}

/// Something of ours.
struct Source {
    resource: Resource,
    found: Found,
    /// What a copy of it is called.
    name: String,
}

impl Source {
    fn find(text: &str, follows: bool) -> Result<Self> {
        let path = CopyPath::local(text).map_err(CliError::file("getwd", "."))?;
        let name = path.copy_name().to_owned();
        let whole = path.path();
        let real = match path.ending {
            // A folder is meant, through whatever links.
            Ending::Slash | Ending::Dot => {
                let folder = open(&whole, OFlags::RDONLY)?;
                return Ok(Self { resource: Resource::Folder(folder), found: Found::Folder, name });
            }
            Ending::Name if follows => {
                whole.canonicalize().map_err(CliError::file("lstat", &whole))?
            }
            Ending::Name => whole.clone(),
        };
        let folder = open(real.parent().unwrap_or(Path::new("/")), OFlags::PATH)
            .map_err(|_| CliError::file("lstat", &whole)(std::io::ErrorKind::NotFound.into()))?;
        let last = real.file_name().unwrap_or_default().as_encoded_bytes();
        let resource = Resource::find(folder, last).map_err(CliError::file("lstat", &whole))?;
        let is_folder = matches!(resource, Resource::Folder(_));
        let found = if is_folder { Found::Folder } else { Found::Other };
        Ok(Self { resource, found, name })
    }
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|error| CliError::file("lstat", path)(error.into()))
}

fn pack(source: &Source, target: &Target, mut out: pipe::Body) -> Result<()> {
    let name = if target.name.is_empty() { "." } else { &target.name };
    let all = |_: std::os::fd::BorrowedFd<'_>| Ok(true);
    let options = PackOptions::default();
    let packed = source.resource.pack(name.as_bytes(), (&options, &all, None), &mut out);
    // A daemon that has answered takes no more, and its answer counts.
    if out.sender.is_closed() {
        return Ok(());
    }
    match packed {
        Ok(_) => out.flush().or(Ok(())),
        Err(error) => {
            out.break_off();
            Err(CliError::Invalid(text(&error)))
        }
    }
}
