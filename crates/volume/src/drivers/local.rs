//! `local`: a folder of this host, `volumes/<name>/_data`, or a file system that is mounted there
//! while it is used.
//!
//! The options are those of mount(8) as Docker has them: `type`, `device`, `o`. A volume appears
//! and disappears by one rename; what a killed process left under a temporary name is deleted at
//! the next start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::net::ToSocketAddrs as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use barge_sys::durable::{self, Durability};
use barge_sys::mount::{self, Attributes, Change, Filesystem, Reach};
use rustix::fs::{AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::driver::{Scope, VolumeDriver};
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;

/// Docker's name of the folder with the files.
const DATA: &str = "_data";
/// Docker's name of the file with the options.
const OPTIONS: &str = "opts.json";

/// What is mounted on a volume while it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Filling {
    #[serde(rename = "type")]
    kind: String,
    device: String,
    #[serde(rename = "o")]
    options: String,
}

impl Filling {
    fn parse(name: &VolumeName, options: &BTreeMap<String, String>) -> Result<Option<Self>> {
        let known = ["type", "device", "o"];
        if let Some(option) = options.keys().find(|option| !known.contains(&option.as_str())) {
            return Err(VolumeError::InvalidOption {
                name: name.to_string(),
                option: option.clone(),
            });
        }
        let value = |option: &str| options.get(option).cloned().unwrap_or_default();
        if options.is_empty() {
            return Ok(None);
        }
        for option in ["device", "type"] {
            if value(option).is_empty() {
                return Err(VolumeError::MissingOption { name: name.to_string(), option });
            }
        }
        Ok(Some(Self { kind: value("type"), device: value("device"), options: value("o") }))
    }

    /// The mount, nowhere yet.
    fn create(&self) -> io::Result<OwnedFd> {
        let options = self.options.split(',').filter(|option| !option.is_empty());
        let (mut attributes, mut others) = (Change::NONE, Vec::new());
        let mut reach = None;
        for option in options {
            match (option, mount::attribute_of_option(option)) {
                ("bind", _) => reach = Some(Reach::One),
                ("rbind", _) => reach = Some(Reach::Tree),
                (_, Some(change)) => {
                    attributes.set = attributes.set.difference(change.clear) | change.set;
                    attributes.clear = attributes.clear.difference(change.set) | change.clear;
                }
                (_, None) => others.push(option),
            }
        }
        if let Some(reach) = reach {
            let tree = mount::clone_tree(CWD, Path::new(&self.device), reach)?;
            mount::change(&tree, reach, attributes)?;
            return Ok(tree);
        }
        let filesystem = Filesystem::open(&self.kind)?;
        let done = self.configure(&filesystem, &others, attributes.set);
        done.map_err(|error| match filesystem.complaint() {
            said if said.is_empty() => error,
            said => io::Error::new(error.kind(), format!("{error}: {said}")),
        })
    }

    fn configure(
        &self,
        filesystem: &Filesystem,
        options: &[&str],
        attributes: Attributes,
    ) -> io::Result<OwnedFd> {
        filesystem.set("source", self.device.as_str())?;
        for option in options {
            match option.split_once('=') {
                // The kernel's NFS takes addresses only.
                Some(("addr", host)) if self.kind.starts_with("nfs") => {
                    filesystem.set("addr", resolve(host)?)?;
                }
                Some((key, value)) => filesystem.set(key, value)?,
                None => filesystem.flag(option)?,
            }
        }
        filesystem.create(attributes)
    }
}

fn resolve(host: &str) -> io::Result<String> {
    let mut addresses = (host, 0).to_socket_addrs()?;
    addresses
        .next()
        .map(|address| address.ip().to_string())
        .ok_or_else(|| Errno::HOSTUNREACH.into())
}

/// The driver of volumes on this host.
#[derive(Debug)]
pub struct Local {
    folder: PathBuf,
    /// Who has which volume mounted.
    users: Mutex<HashMap<VolumeName, BTreeSet<String>>>,
}

impl Local {
    /// Opens the driver on the folder `volumes`.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o701)
            .create(folder)
            .map_err(VolumeError::io("create", folder))?;
        for entry in fs::read_dir(folder).map_err(VolumeError::io("list", folder))? {
            let entry = entry.map_err(VolumeError::io("list", folder))?;
            if durable::is_temporary(&entry.file_name().to_string_lossy()) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(VolumeError::io("remove", &path))?;
            }
        }
        Ok(Self { folder: folder.to_owned(), users: Mutex::default() })
    }

    fn place(&self, name: &VolumeName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// Nothing under this name is a volume: it is made there, or thrown away.
    fn temporary(&self) -> Result<PathBuf> {
        durable::temporary_name(&self.folder)
            .map_err(VolumeError::io("name a folder in", &self.folder))
    }

    fn sync(&self) -> Result<()> {
        durable::sync_folder(&self.folder).map_err(VolumeError::io("sync", &self.folder))
    }

    fn users(&self) -> MutexGuard<'_, HashMap<VolumeName, BTreeSet<String>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filling(&self, name: &VolumeName) -> Result<Option<Filling>> {
        let path = self.place(name).join(OPTIONS);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VolumeError::io("read", &path)(error)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| VolumeError::Record { path, source })
    }

    /// Makes everything under a temporary name.
    fn build(place: &Path, filling: Option<&Filling>) -> Result<()> {
        fs::DirBuilder::new()
            .mode(0o701)
            .create(place)
            .map_err(VolumeError::io("create", place))?;
        let data = place.join(DATA);
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&data)
            .map_err(VolumeError::io("create", &data))?;
        if let Some(filling) = filling {
            let path = place.join(OPTIONS);
            let text = serde_json::to_vec(filling)
                .map_err(|source| VolumeError::Record { path: path.clone(), source })?;
            durable::write(&path, &text, Durability::Durable)
                .map_err(VolumeError::io("write", &path))?;
        }
        durable::sync_folder(place).map_err(VolumeError::io("sync", place))
    }
}

impl VolumeDriver for Local {
    fn name(&self) -> &str {
        "local"
    }

    fn scope(&self) -> Scope {
        Scope::Local
    }

    fn create(&self, name: &VolumeName, options: &BTreeMap<String, String>) -> Result<()> {
        let filling = Filling::parse(name, options)?;
        let place = self.place(name);
        let temporary = self.temporary()?;
        let done =
            Self::build(&temporary, filling.as_ref()).and_then(
                |()| match rustix::fs::renameat_with(
                    CWD,
                    &temporary,
                    CWD,
                    &place,
                    RenameFlags::NOREPLACE,
                ) {
                    Err(Errno::EXIST) => Ok(Made::Before),
                    Err(error) => Err(VolumeError::io("rename", &temporary)(error)),
                    Ok(()) => Ok(Made::Now),
                },
            );
        match done {
            Ok(Made::Now) => self.sync(),
            done => {
                // The first error is the one to tell; what stays is swept at the next start.
                fs::remove_dir_all(&temporary).ok();
                done.map(drop)
            }
        }
    }

    fn remove(&self, name: &VolumeName) -> Result<()> {
        let place = self.place(name);
        let data = place.join(DATA);
        let mut users = self.users();
        while is_mount(&data)? {
            mount::detach(&data).map_err(VolumeError::io("unmount", &data))?;
        }
        users.remove(name);
        drop(users);
        let temporary = self.temporary()?;
        match fs::rename(&place, &temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(VolumeError::io("rename", &place)(error)),
            Ok(()) => self.sync()?,
        }
        fs::remove_dir_all(&temporary).map_err(VolumeError::io("remove", &temporary))
    }

    fn exists(&self, name: &VolumeName) -> Result<bool> {
        let data = self.place(name).join(DATA);
        data.try_exists().map_err(VolumeError::io("look at", &data))
    }

    fn list(&self) -> Result<Vec<VolumeName>> {
        let mut names: Vec<VolumeName> = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(VolumeError::io("list", &self.folder))? {
            let entry = entry.map_err(VolumeError::io("list", &self.folder))?;
            let name = entry.file_name().into_string().ok().and_then(|name| name.parse().ok());
            if let Some(name) = name
                && entry.path().join(DATA).is_dir()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &VolumeName) -> PathBuf {
        self.place(name).join(DATA)
    }

    fn mount(&self, name: &VolumeName, user: &str) -> Result<PathBuf> {
        if !self.exists(name)? {
            return Err(VolumeError::NoSuchVolume(name.to_string()));
        }
        let data = self.path(name);
        let mut users = self.users();
        if let Some(filling) = self.filling(name)?
            // A daemon that was killed leaves its mounts: they are taken over.
            && !is_mount(&data)?
        {
            let failed = |source| VolumeError::Mount {
                device: filling.device.clone(),
                target: data.clone(),
                source,
            };
            let tree = filling.create().map_err(failed)?;
            mount::attach_at(&tree, CWD, &data).map_err(failed)?;
        }
        users.entry(name.clone()).or_default().insert(user.to_owned());
        Ok(data)
    }

    fn unmount(&self, name: &VolumeName, user: &str) -> Result<()> {
        let data = self.path(name);
        let mut users = self.users();
        let Some(of_volume) = users.get_mut(name) else {
            return Ok(());
        };
        if !of_volume.remove(user) || !of_volume.is_empty() {
            return Ok(());
        }
        users.remove(name);
        if self.filling(name)?.is_some() && is_mount(&data)? {
            mount::detach(&data).map_err(VolumeError::io("unmount", &data))?;
        }
        Ok(())
    }
}

/// Whether a volume was there before.
enum Made {
    Now,
    Before,
}

/// Whether something is mounted on a folder; a folder that is not there has nothing mounted.
fn is_mount(path: &Path) -> Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    match rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(VolumeError::io("look at", path)(error)),
    }
}

#[cfg(test)]
mod tests;
