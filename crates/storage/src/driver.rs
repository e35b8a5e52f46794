//! The trait of the family: what every storage driver does.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use barge_archive::changes::Change;
use barge_archive::pack::{PackOptions, Packed};

use crate::error::Result;
use crate::layer_id::LayerId;
use crate::mapped::MappedOptions;

/// Whether what a container writes must survive a crash of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The container's `fsync` reaches the disk.
    #[default]
    Durable,
    /// The container is thrown away when it ends: syncing is skipped where the kernel lets us.
    Volatile,
}

/// Whom the files of a mounted layer belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// Those on the disk.
    #[default]
    Stored,
    /// Those that [`StorageDriver::map_owners`] makes of them.
    Mapped,
}

/// How to mount a layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountOptions {
    /// Whether writes must survive a crash of the host.
    pub durability: Durability,
    /// Whom its files belong to. All who have a layer mounted at the same time ask for the same.
    pub owners: Owners,
}

/// How to create a writable layer.
#[derive(Clone, Debug, Default)]
pub struct ReadWriteOptions {
    /// Upper bound of the layer's size in bytes (`--storage-opt size=`).
    pub size: Option<u64>,
}

/// Keeps layers in a folder and mounts them on top of each other.
///
/// Methods may be called from many threads; what touches one layer waits for its turn, different layers do not wait for
/// each other. Nothing is fsynced per layer except by [`StorageDriver::apply_diff`]: a layer counts once its user has
/// recorded it, and gets to the disk by [`StorageDriver::sync`].
///
/// A layer made by [`StorageDriver::create_read_write`] may have children, and be all that one filled by
/// [`StorageDriver::apply_diff`] is, as soon as nobody writes to it any more.
pub trait StorageDriver: Send + Sync + Debug {
    /// The word users type: `overlay2`.
    fn name(&self) -> &'static str;

    /// Whether a layer's own files can be applied before its parents' are there: the parent must exist, its content may
    /// come later or at the same time. `false` where a new layer starts as a copy or a snapshot of its parent.
    fn layers_are_independent(&self) -> bool;

    /// Makes an empty layer on `parent`, to be filled by [`StorageDriver::apply_diff`].
    ///
    /// # Errors
    /// `LayerExists`, `NoSuchLayer` (the parent), `TooDeep`.
    fn create(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<()>;

    /// Makes an empty layer on `parent`, for a container to write to.
    ///
    /// # Errors
    /// As [`StorageDriver::create`]; `NoQuota` for a size that the file system cannot enforce.
    fn create_read_write(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        options: &ReadWriteOptions,
    ) -> Result<()>;

    /// Makes a layer on `parent`, lets `fill` write to it as its children will see it, and only then shows it. Does
    /// nothing when the layer exists; when another thread makes it, waits for that.
    fn create_filled(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        fill: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()>;

    /// Finds out whether layers can be mounted with other owners, and lets [`Owners::Mapped`] be asked for from now on.
    ///
    /// # Errors
    /// `NotSupported` where the kernel or the file system cannot.
    fn map_owners(&self, options: &MappedOptions<'_>) -> Result<()>;

    /// Mounts the layer on its parents and tells where. Every call needs its [`StorageDriver::unmount`]; a mount that a
    /// former daemon left is taken over.
    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf>;

    /// Takes one [`StorageDriver::mount`] back; the last one unmounts. Does nothing when not mounted.
    fn unmount(&self, id: &LayerId) -> Result<()>;

    /// Shows the tree of a layer that nobody writes to, and tells where; other processes see it there too. It is not to be
    /// written to: where the tree is a plain folder (`vfs`, `btrfs`, a layer without a parent), nothing else keeps it from
    /// that. Every call needs its [`StorageDriver::unmount_read_only`]; it may be mounted otherwise at the same time.
    fn mount_read_only(&self, id: &LayerId) -> Result<PathBuf>;

    /// Takes one [`StorageDriver::mount_read_only`] back; the last one unmounts. Does nothing when not mounted.
    fn unmount_read_only(&self, id: &LayerId) -> Result<()>;

    /// Gets what all layers hold to the disk, once for all who wait for it.
    fn sync(&self) -> Result<()>;

    /// Removes the layer: it is out of sight on return, its files are deleted by a thread of the driver.
    ///
    /// # Errors
    /// `HasChildren`, `Mounted`, `NoSuchLayer`.
    fn remove(&self, id: &LayerId) -> Result<()>;

    /// Whether the layer is there, complete.
    fn exists(&self, id: &LayerId) -> bool;

    /// The parent of a layer.
    fn parent(&self, id: &LayerId) -> Result<Option<LayerId>>;

    /// What `info` shows as `DriverStatus`, in Docker's words.
    fn status(&self) -> Vec<(&'static str, String)>;

    /// What `inspect` shows as `GraphDriver.Data`.
    fn metadata(&self, id: &LayerId) -> Result<BTreeMap<String, String>>;

    /// Extracts a plain layer archive into the layer, reading `tar` to its end, and gets it to the disk. Tells the bytes
    /// of content. On an error the layer holds a part: remove it.
    fn apply_diff(&self, id: &LayerId, parent: Option<&LayerId>, tar: &mut dyn Read)
    -> Result<u64>;

    /// Gives folders that an archive needed and did not have the attributes of the layers below. [`Self::apply_diff`]
    /// does so by itself where those are complete; for layers that were applied side by side this is called afterwards
    /// and in the same process, parents first.
    fn settle(&self, id: &LayerId) -> Result<()>;

    /// Writes what the layer changes in `parent` as a layer archive; without `parent`, in nothing.
    fn diff(&self, id: &LayerId, parent: Option<&LayerId>, out: &mut dyn Write) -> Result<()> {
        self.pack(id, parent, &PackOptions::default(), out).map(drop)
    }

    /// The same as `options` say. A layer that nobody writes to gives the same bytes each time, unless there are holes in
    /// them.
    fn pack(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        options: &PackOptions,
        out: &mut dyn Write,
    ) -> Result<Packed>;

    /// What the layer changes in `parent`, sorted by path.
    fn changes(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<Vec<Change>>;

    /// Bytes of content that the layer adds to `parent`.
    fn diff_size(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<u64>;

    /// Every complete layer, in no order.
    fn list(&self) -> Result<Vec<LayerId>>;

    /// Deletes what a crash left: half-made layers, and every layer that is not in `in_use` or below one that is.
    fn sweep(&self, in_use: &HashSet<LayerId>) -> Result<()>;

    /// Waits until the files of removed layers are gone (for tests and an orderly end).
    fn flush(&self);

    /// Takes away what only the driver itself needs mounted, when the daemon ends; nothing is made or mounted afterwards.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}
