//! `cp`: files of a container, told of, taken out and put in, whether it runs or not.
//!
//! Every path is looked up by the kernel with the container's root as its root, and what was found is held by
//! descriptors from then on: a process of the container that swaps folders and links meanwhile changes what of the
//! container is read or written, and never reaches the host (CVE-2018-15664). Nothing of the container is ever executed
//! or loaded (CVE-2019-14271): its user names are looked up in its files by ourselves.

mod files;
mod path;
mod stat;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use barge_api_types::PathStat;
use barge_archive::compression::Decoder;
use barge_archive::extract::{self, ApplyOptions, Clashes, RootEntry, Special, Whiteouts};
use barge_archive::owners::Owners;
use barge_archive::pack::PackOptions;
use barge_archive::resource::Resource;
use barge_sys::spawn::UserMaps;
use barge_sys::{openat2, user_namespace};
use barge_types::accounts;
use rustix::fs::{OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use self::files::{Files, mount_id};
use self::path::ContainerPath;
use super::container::Container;
use super::{Containers, invalid_text};
use crate::blocking;
use crate::bridge::{Download, DownloadWriter, Upload, UploadReader};
use crate::error::{EngineError, Result, os_text};

/// What `PUT` of an archive says.
#[derive(Clone, Debug)]
pub struct ExtractOptions {
    /// The folder to extract into.
    pub path: String,
    /// Whether a folder and something else do not replace each other.
    pub no_overwrite_dir_non_dir: bool,
    /// Whether everything gets the container's user, when it has one.
    pub copy_uid_gid: bool,
}

impl Containers {
    /// What a path of a container is.
    pub async fn stat_path(self: &Arc<Self>, name: &str, path: String) -> Result<PathStat> {
        let container = self.registry.find(name)?;
        let files = self.files(&container).await?;
        let wanted = Wanted { path, name: name.to_owned() };
        blocking::run(move || Ok(wanted.find(&files)?.1)).await
    }

    /// The same, and begins to write an archive of it.
    pub async fn archive_path(
        self: &Arc<Self>,
        name: &str,
        path: String,
    ) -> Result<(PathStat, Download)> {
        let container = self.registry.find(name)?;
        let files = self.files(&container).await?;
        let wanted = Wanted { path, name: name.to_owned() };
        let found = blocking::run(move || {
            let (resource, stat) = wanted.find(&files)?;
            Ok((files, resource, stat))
        });
        let (files, resource, stat) = found.await?;
        let (writer, download) = DownloadWriter::new();
        let as_name = stat.name.clone();
        self.tell(&container, "archive-path");
        tokio::spawn(blocking::paced(move || {
            write(&files, (&resource, &as_name), writer);
            Ok(())
        }));
        Ok((stat, download))
    }

    /// Extracts an archive, compressed or not, into a folder of a container.
    pub async fn extract(
        self: &Arc<Self>,
        name: &str,
        (options, body): (ExtractOptions, Upload),
    ) -> Result<()> {
        let container = self.registry.find(name)?;
        let files = self.files(&container).await?;
        let (this, target, name) = (Arc::clone(self), Arc::clone(&container), name.to_owned());
        blocking::paced(move || {
            let wanted = Wanted { path: options.path.clone(), name };
            extract_into(&files, &target, (&wanted, &options), body)?;
            this.tell(&target, "extract-to-dir");
            Ok(())
        })
        .await
    }
}

/// A path as it was asked for, and of which container.
struct Wanted {
    path: String,
    name: String,
}

impl Wanted {
    fn find(&self, files: &Files) -> Result<(Resource, PathStat)> {
        let path = ContainerPath::parse(&self.path);
        let found = path.find(files.root()).and_then(|resource| {
            let stat = stat::of(files.root(), &path, &resource)?;
            Ok((resource, stat))
        });
        found.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> EngineError {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => EngineError::NotFound(format!(
                "Could not find the file {} in container {}",
                self.path, self.name
            )),
            Some(Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => {
                EngineError::Invalid(format!("lstat {}: {}", self.path, os_text(&error)))
            }
            _ => EngineError::io("look up", &self.path)(error),
        }
    }
}

fn write(files: &Files, (resource, name): (&Resource, &str), mut writer: DownloadWriter) {
    let written = files.limits(resource).map_err(EngineError::io("look at", name));
    let written = written.and_then(|limits| {
        let descends = |fd: std::os::fd::BorrowedFd<'_>| limits.lets_into(fd);
        let options = PackOptions::default();
        let inside = files.maps().map(|maps| move |owner| Some(maps.inside(owner)));
        let owners = inside.as_ref().map(|inside| Owners(inside));
        resource.pack(name.as_bytes(), (&options, &descends, owners), &mut writer)?;
        writer.flush().map_err(EngineError::io("send", "the archive"))
    });
    if let Err(error) = written {
        writer.fail(error.message());
    }
}

fn extract_into(
    files: &Files,
    container: &Container,
    (wanted, options): (&Wanted, &ExtractOptions),
    body: Upload,
) -> Result<()> {
    let path = ContainerPath::parse(&wanted.path);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let folder = match openat2::open(files.root(), path.absolute(), flags) {
        Ok(folder) => folder,
        Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
            return Err(EngineError::Invalid("extraction point is not a directory".to_owned()));
        }
        Err(error) => return Err(wanted.failed(error)),
    };
    let at_path = |error: Errno| EngineError::io("look at", &wanted.path)(error.into());
    let flags = rustix::fs::fstatvfs(&folder).map_err(at_path)?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        let is_root =
            mount_id(&folder).map_err(at_path)? == mount_id(files.root()).map_err(at_path)?;
        let what = if is_root { "container rootfs" } else { "mounted volume" };
        return Err(EngineError::Invalid(format!("{what} is marked read-only")));
    }
    drop(folder);
    let owner = if options.copy_uid_gid { user_of(files, container)? } else { None };
    let clashes =
        if options.no_overwrite_dir_non_dir { Clashes::Refused } else { Clashes::Replaced };
    let special = Special { root: RootEntry::Ignored, clashes, owner, ..Special::default() };
    let outside = files.maps().map(|maps| move |owner| maps.outside(owner));
    let owners = outside.as_ref().map(|outside| Owners(outside));
    let whiteouts = Whiteouts::Ordinary;
    let options = ApplyOptions { whiteouts, special, owners, ..ApplyOptions::default() };
    let root = files.root().try_clone_to_owned().map_err(EngineError::io("open", "/"))?;
    let place = extract::Place { root, path: path.clean() };
    let work = || {
        extract::apply_in(place, Decoder::new(UploadReader::new(body))?, &options)?;
        Ok(())
    };
    match files.maps().and_then(UserMaps::root) {
        None => work(),
        // What is made on the way belongs to somebody in there.
        Some(root) => user_namespace::as_owner(root, work)
            .map_err(EngineError::io("act for the root of", container.id.as_str()))?,
    }
}

/// The user and the group of a container's processes, by its own files; none when it does not say.
fn user_of(files: &Files, container: &Container) -> Result<Option<(u32, u32)>> {
    let record = container.record();
    let user = &record.config.user;
    if user.is_empty() {
        return Ok(None);
    }
    let database = |path: &str| match openat2::read(files.root(), Path::new(path)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(EngineError::io("read", path)(error)),
    };
    let (passwd, group) = (database("/etc/passwd")?, database("/etc/group")?);
    let found = accounts::resolve(user, &passwd, &group, &[]).map_err(invalid_text)?;
    Ok(Some((found.uid, found.gid)))
}
