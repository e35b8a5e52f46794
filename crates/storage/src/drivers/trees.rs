//! Layers as whole trees, each begun as a copy of its parent: what the drivers vfs and btrfs share.
//!
//! A layer is made in `new` and renamed to where Docker has it (`dir/ID`, `subvolumes/ID`); `parent/ID` is a link with
//! the parent's id as its text. Nothing is ever mounted.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use barge_archive::changes::Change;
use barge_archive::extract::{ApplyOptions, Whiteouts, apply};
use barge_archive::pack::{PackOptions, Packed};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::driver::{MountOptions, Owners, ReadWriteOptions, StorageDriver};
use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;
use crate::mapped::{Mapped, MappedOptions};
use crate::syncing::Syncing;
use crate::table::{Making, Table};
use crate::trash::Trash;
use crate::{fault, naive_diff};

/// The text of the link of a layer without a parent.
const NO_PARENT: &str = "none";

/// How a whole tree begins and ends.
pub(crate) trait Origin: Debug + Send + Sync {
    /// The word users type, and the driver's folder.
    const NAME: &'static str;
    /// The folder of the layers in it.
    const LAYERS: &'static str;
    /// Deletes a tree for good.
    const DELETE: fn(&Path) -> std::io::Result<()>;

    /// Makes the tree `new.name` in `new.folder`: a copy of `parent`, or empty.
    fn make(&self, new: &NewTree<'_>, parent: Option<&Path>) -> Result<()>;

    /// What becomes of a size that a tree is to keep to.
    fn check_size(&self, size: u64) -> Result<()>;

    /// Forgets what the host keeps of a tree that is going to be deleted.
    fn forget(&self, tree: &Path);

    /// What `info` shows.
    fn status(&self) -> Vec<(&'static str, String)>;
}

/// A tree to be made.
pub(crate) struct NewTree<'a> {
    pub(crate) folder: BorrowedFd<'a>,
    pub(crate) name: &'a str,
    /// The same as a path.
    pub(crate) path: &'a Path,
    /// Upper bound in bytes.
    pub(crate) size: Option<u64>,
}

/// A driver of whole trees.
#[derive(Debug)]
#[expect(private_bounds, reason = "the members of the family are the type's aliases")]
pub struct Trees<O: Origin> {
    origin: O,
    /// Size of a container's layer that asks for none.
    size: Option<u64>,
    path: PathBuf,
    root: OwnedFd,
    trash: Trash,
    layers: Table<()>,
    syncing: Syncing,
    /// One layer at a time is filled: there is one such per image.
    filling: Mutex<()>,
    mapped: Mapped,
}

#[expect(private_bounds, reason = "the members of the family are the type's aliases")]
impl<O: Origin> Trees<O> {
    /// Opens the driver's folder below the data root; makes it if needed. `origin` looks at it.
    pub(crate) fn open_with(
        data_root: &Path,
        size: Option<u64>,
        origin: impl FnOnce(&OwnedFd, &Path) -> Result<O>,
    ) -> Result<Self> {
        let path = data_root.join(O::NAME);
        for part in [O::LAYERS, "new", "parent"] {
            let part = path.join(part);
            std::fs::create_dir_all(&part).map_err(StorageError::io("create", &part))?;
        }
        let path = std::fs::canonicalize(&path).map_err(StorageError::io("open", &path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(StorageError::io("open", &path))?;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o710))
            .map_err(StorageError::io("change mode of", &path))?;
        let origin = origin(&root, &path)?;
        if let Some(size) = size {
            origin.check_size(size)?;
        }
        let trash = Trash::open(&path, root.as_fd(), O::DELETE)?;
        let driver = Self {
            origin,
            size,
            path,
            root,
            trash,
            layers: Table::default(),
            syncing: Syncing::default(),
            filling: Mutex::new(()),
            mapped: Mapped::default(),
        };
        driver.load()?;
        Ok(driver)
    }

    fn load(&self) -> Result<()> {
        let mut parents = BTreeMap::new();
        for id in self.ids_in(O::LAYERS)? {
            let text =
                std::fs::read_link(self.path.join("parent").join(id.as_str())).unwrap_or_default();
            match text.to_str() {
                Some(NO_PARENT) => parents.insert(id, None),
                Some(parent) => match parent.parse::<LayerId>() {
                    Ok(parent) => parents.insert(id, Some(parent)),
                    Err(_) => continue,
                },
                None => continue,
            };
        }
        // Parents before children; what never gets its parent is not there.
        loop {
            let ready: Vec<LayerId> = parents
                .iter()
                .filter(|(_, parent)| {
                    parent.as_ref().is_none_or(|parent| self.layers.contains(parent))
                })
                .map(|(id, _)| id.clone())
                .collect();
            if ready.is_empty() {
                return Ok(());
            }
            for id in ready {
                let parent = parents.remove(&id).flatten();
                self.layers.make(&id, parent.as_ref())?.done(());
            }
        }
    }

    fn ids_in(&self, folder: &str) -> Result<Vec<LayerId>> {
        let folder = self.path.join(folder);
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(StorageError::io("read", &folder))? {
            let entry = entry.map_err(StorageError::io("read", &folder))?;
            ids.extend(entry.file_name().to_str().and_then(|name| name.parse::<LayerId>().ok()));
        }
        Ok(ids)
    }

    fn tree(&self, id: &LayerId) -> PathBuf {
        self.path.join(O::LAYERS).join(id.as_str())
    }

    fn make(
        &self,
        id: &LayerId,
        (parent, size): (Option<&LayerId>, Option<u64>),
        fill: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let making = self.layers.make(id, parent)?;
        match self.make_tree(id, (&making, size), fill) {
            Ok(()) => {
                making.done(());
                Ok(())
            }
            Err(error) => {
                // The first error tells; what is left is swept.
                self.origin.forget(&self.path.join("new").join(id.as_str()));
                self.throw("new", id).ok();
                rustix::fs::unlinkat(&self.root, format!("parent/{id}"), AtFlags::empty()).ok();
                Err(error)
            }
        }
    }

    fn make_tree(
        &self,
        id: &LayerId,
        (making, size): (&Making<'_, ()>, Option<u64>),
        fill: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let new = self.path.join("new").join(id.as_str());
        let failed = |action| StorageError::io::<Errno>(action, &new);
        // Half-made by a process that died: nobody knows it.
        self.throw("new", id)?;
        self.throw(O::LAYERS, id)?;
        let folder = self.folder("new")?;
        let parent = making.parent.as_deref().map(|parent| self.tree(&parent.id));
        let tree = NewTree { folder: folder.as_fd(), name: id.as_str(), path: &new, size };
        self.origin.make(&tree, parent.as_deref())?;
        if parent.is_none() {
            // The umask of the daemon is not the container's business.
            let mode = Mode::from_raw_mode(0o755);
            rustix::fs::chmodat(&folder, id.as_str(), mode, AtFlags::empty())
                .map_err(failed("change mode of layer"))?;
        }
        fault::point();
        fill(&new)?;
        fault::point();
        let link = format!("parent/{id}");
        match rustix::fs::unlinkat(&self.root, &link, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed("remove parent of layer")(error)),
        }
        let text = making.parent.as_deref().map_or(NO_PARENT, |parent| parent.id.as_str());
        rustix::fs::symlinkat(text, &self.root, &link).map_err(failed("write parent of layer"))?;
        fault::point();
        rustix::fs::renameat(
            &self.root,
            format!("new/{id}"),
            &self.root,
            format!("{}/{id}", O::LAYERS),
        )
        .map_err(failed("show layer"))?;
        fault::point();
        Ok(())
    }

    /// Moves `folder/ID` to the trash, if it is there.
    fn throw(&self, folder: &str, id: &LayerId) -> Result<()> {
        self.trash.take(self.folder(folder)?.as_fd(), id.as_str())
    }

    fn folder(&self, name: &str) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.root, name, flags, Mode::empty())
            .map_err(StorageError::io("open", &self.path.join(name)))
    }

    fn erase(&self, id: &LayerId) -> Result<()> {
        self.origin.forget(&self.tree(id));
        self.throw(O::LAYERS, id)?;
        match rustix::fs::unlinkat(&self.root, format!("parent/{id}"), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(StorageError::io("remove parent of", &self.tree(id))(error)),
        }
    }
}

impl<O: Origin> StorageDriver for Trees<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        self.origin.status()
    }

    fn layers_are_independent(&self) -> bool {
        false
    }

    fn create(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        self.make(id, (parent, None), &mut |_| Ok(()))
    }

    fn create_read_write(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        options: &ReadWriteOptions,
    ) -> Result<()> {
        let size = options.size.or(self.size);
        if let Some(size) = size {
            self.origin.check_size(size)?;
        }
        self.make(id, (parent, size), &mut |_| Ok(()))
    }

    fn create_filled(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        fill: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let _turn = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.layers.contains(id) { Ok(()) } else { self.make(id, (parent, None), fill) }
    }

    fn map_owners(&self, options: &MappedOptions<'_>) -> Result<()> {
        self.mapped
            .show(&self.path, options)
            .map_err(|error| crate::detect::not_supported(O::NAME, &self.path, error))
    }

    /// The durability is the file system's own: there is no mount to give it to.
    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        let tree = match options.owners {
            Owners::Stored => self.tree(id),
            Owners::Mapped => self.mapped.path(&self.tree(id))?,
        };
        self.layers.get(id)?.lock()?.mounts += 1;
        Ok(tree)
    }

    fn unmount(&self, id: &LayerId) -> Result<()> {
        let layer = self.layers.get(id)?;
        let mut state = layer.lock()?;
        state.mounts = state.mounts.saturating_sub(1);
        Ok(())
    }

    fn mount_read_only(&self, id: &LayerId) -> Result<PathBuf> {
        self.mount(id, &MountOptions::default())
    }

    fn unmount_read_only(&self, id: &LayerId) -> Result<()> {
        self.unmount(id)
    }

    fn sync(&self) -> Result<()> {
        self.syncing.sync(&self.root).map_err(StorageError::io("sync", &self.path))
    }

    fn remove(&self, id: &LayerId) -> Result<()> {
        let layer = self.layers.get(id)?;
        self.layers.remove_unused_init(id, |layer| self.erase(&layer.id))?;
        self.layers.remove(&layer, |layer| self.erase(&layer.id))
    }

    fn exists(&self, id: &LayerId) -> bool {
        self.layers.contains(id)
    }

    fn parent(&self, id: &LayerId) -> Result<Option<LayerId>> {
        Ok(self.layers.get(id)?.parent.as_ref().map(|parent| parent.id.clone()))
    }

    /// Nothing, as in Docker.
    fn metadata(&self, id: &LayerId) -> Result<BTreeMap<String, String>> {
        self.layers.get(id).map(|_| BTreeMap::new())
    }

    fn apply_diff(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        tar: &mut dyn Read,
    ) -> Result<u64> {
        if let Some(parent) = parent {
            self.layers.get(parent)?;
        }
        let layer = self.layers.get(id)?;
        let _turn = layer.lock()?;
        // The parents' folders are in the copy.
        let options =
            ApplyOptions { whiteouts: Whiteouts::Plain, lowers: &[], ..ApplyOptions::default() };
        let applied =
            apply(&self.tree(id), tar, &options).map_err(StorageError::archive("extract", id))?;
        self.sync()?;
        Ok(applied.bytes)
    }

    /// Nothing: the parent was there.
    fn settle(&self, id: &LayerId) -> Result<()> {
        self.layers.get(id).map(drop)
    }

    fn pack(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        options: &PackOptions,
        out: &mut dyn Write,
    ) -> Result<Packed> {
        naive_diff::pack(self, (id, parent), options, out)
    }

    fn changes(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<Vec<Change>> {
        naive_diff::changes(self, id, parent)
    }

    fn diff_size(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<u64> {
        naive_diff::diff_size(self, id, parent)
    }

    fn list(&self) -> Result<Vec<LayerId>> {
        Ok(self.layers.ids())
    }

    fn sweep(&self, in_use: &HashSet<LayerId>) -> Result<()> {
        for layer in self.layers.unused(in_use) {
            self.layers.remove_if_unused(&layer, |layer| self.erase(&layer.id))?;
        }
        for id in self.ids_in("new")?.into_iter().filter(|id| !self.layers.is_taken(id)) {
            self.throw("new", &id)?;
        }
        for id in self
            .ids_in(O::LAYERS)?
            .into_iter()
            .filter(|id| !self.layers.is_taken(id) && !in_use.contains(id))
        {
            self.erase(&id)?;
        }
        for id in self
            .ids_in("parent")?
            .into_iter()
            .filter(|id| !self.layers.is_taken(id) && !in_use.contains(id))
        {
            self.erase(&id)?;
        }
        Ok(())
    }

    fn flush(&self) {
        self.trash.flush();
    }
}
