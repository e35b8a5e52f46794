//! Layers stacked by the kernel's overlayfs, laid out on disk as Docker does.
//!
//! `ID/{diff,link,lower,work,merged}` and `l/LINK → ../ID/diff` with 26 letters, so that many layers fit into one mount
//! call. The link in `l/` is made last: a layer that it does not lead to is not there. Directory renames across layers are
//! not redirected and metadata is not copied up alone (`redirect_dir=off,metacopy=off`), so that a layer's `diff` holds
//! all of the difference.

mod disk;
mod stack;

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use barge_archive::changes::{self, Change};
use barge_archive::extract::{ApplyOptions, Whiteouts, apply};
use barge_archive::{Marks, pack};

use crate::driver::{MountOptions, ReadWriteOptions, StorageDriver};
use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;
use crate::table::{Layer, Making, Table};
use crate::{fault, naive_diff};
use disk::{Disk, Parts};
use stack::{Mounter, Stack};

/// What the kernel stacks (`OVL_MAX_STACK`).
const MOST_LAYERS: usize = 500;

/// The 26 letters of a layer.
type Link = String;

/// The overlay2 driver.
#[derive(Debug)]
pub struct Overlay2 {
    disk: Disk,
    layers: Table<Link>,
    mounter: Mounter,
    /// One layer at a time is filled: there is one such per image.
    filling: Mutex<()>,
}

impl Overlay2 {
    /// Opens the driver's folder `overlay2` below the data root; makes it if needed.
    ///
    /// # Errors
    /// `NotSupported` where overlayfs cannot have its upper folders.
    pub fn open(data_root: &Path) -> Result<Self> {
        let disk = Disk::open(&data_root.join("overlay2"))?;
        let driver = Self {
            disk,
            layers: Table::default(),
            mounter: Mounter::default(),
            filling: Mutex::new(()),
        };
        driver.check_support()?;
        driver.load()?;
        Ok(driver)
    }

    /// Whether a data root has layers of this driver.
    pub(crate) fn is_used(data_root: &Path) -> bool {
        std::fs::read_dir(data_root.join("overlay2/l"))
            .is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Tries a mount, in a folder that is then thrown away.
    fn check_support(&self) -> Result<()> {
        let probe = LayerId::random()?;
        let path = self.disk.path(&probe);
        let result = self.disk.make_probe(&probe).and_then(|()| {
            let stack = Stack {
                lowers: vec![path.join("lower")],
                upper: Some((path.join("diff"), path.join("work"))),
                ..Stack::default()
            };
            self.mounter.mount(&stack, &path.join("merged"))
        });
        disk::unmount(&path.join("merged"))?;
        self.disk.trash.take(self.disk.root.as_fd(), probe.as_str())?;
        result.map_err(|error| crate::detect::not_supported("overlay2", &self.disk.path, &error))
    }

    /// Reads what is there. Layers whose parents are missing or unreadable are not.
    fn load(&self) -> Result<()> {
        let links = self.disk.links()?;
        let by_link: BTreeMap<&str, &LayerId> =
            links.iter().map(|(id, link)| (link.as_str(), id)).collect();
        let mut found = Vec::new();
        for (id, link) in &links {
            let Some(lower) = self.disk.lower(id)? else {
                continue;
            };
            found.push((lower.len(), id, link, lower));
        }
        // Parents before children.
        found.sort_unstable();
        for (_, id, link, lower) in found {
            let parent = match lower.first() {
                None => None,
                Some(first) => match by_link.get(first.as_str()) {
                    Some(parent) => Some(*parent),
                    None => continue,
                },
            };
            if let Ok(making) = self.layers.make(id, parent) {
                making.done(link.clone());
            }
        }
        Ok(())
    }

    fn make(&self, id: &LayerId, parent: Option<&LayerId>, parts: Parts) -> Result<()> {
        let (making, link) = self.begin(id, parent, parts)?;
        self.disk.show(id, &link)?;
        making.done(link);
        Ok(())
    }

    /// Makes everything but the link in `l/`.
    fn begin(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        parts: Parts,
    ) -> Result<(Making<'_, Link>, Link)> {
        let making = self.layers.make(id, parent)?;
        if making.depth() > MOST_LAYERS {
            return Err(StorageError::TooDeep { depth: making.depth(), limit: MOST_LAYERS });
        }
        let link = disk::new_link()?;
        let lower = making.parent.as_deref().map(lower_text);
        let result = self.disk.make(id, &link, lower.as_deref(), parts);
        if let Err(error) = result {
            // The first error tells; what is left is swept.
            self.disk.trash.take(self.disk.root.as_fd(), id.as_str()).ok();
            return Err(error);
        }
        Ok((making, link))
    }

    fn stack(&self, layer: &Layer<Link>, options: &MountOptions) -> Stack {
        let path = self.disk.path(&layer.id);
        Stack {
            lowers: layer.parents().map(|parent| self.disk.short(&parent.own)).collect(),
            upper: Some((path.join("diff"), path.join("work"))),
            durability: options.durability,
        }
    }

    /// The view of everything below a layer, without a place in the file system.
    fn lower_view(&self, layer: &Layer<Link>) -> Result<LowerView> {
        let lowers: Vec<PathBuf> =
            layer.parents().map(|parent| self.disk.short(&parent.own)).collect();
        match lowers.as_slice() {
            [] => Ok(LowerView::Nothing),
            [only] => Ok(LowerView::Is(disk::open_folder(only)?)),
            _ => match self.mounter.detached(&Stack { lowers, ..Stack::default() })? {
                Some(fd) => Ok(LowerView::Is(fd)),
                None => Ok(LowerView::Unsupported),
            },
        }
    }

    /// The layer, if `parent` is what it stands on, and the view below it.
    fn native(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<Option<Native>> {
        let layer = self.layers.get(id)?;
        if layer.parent.as_ref().map(|parent| &parent.id) != parent {
            return Ok(None);
        }
        Ok(match self.lower_view(&layer)? {
            LowerView::Nothing => Some((layer, None)),
            LowerView::Is(fd) => Some((layer, Some(fd))),
            LowerView::Unsupported => None,
        })
    }

    fn diff_path(&self, id: &LayerId) -> PathBuf {
        self.disk.path(id).join("diff")
    }

    fn erase(&self, layer: &Layer<Link>) -> Result<()> {
        // Deleting the link takes longer than the rename, and a link to nowhere is no layer.
        let link = Some(self.disk.short(&layer.own));
        self.disk.trash.take_with(self.disk.root.as_fd(), layer.id.as_str(), link)
    }
}

/// A layer and the view of everything below it.
type Native = (Arc<Layer<Link>>, Option<OwnedFd>);

enum LowerView {
    Nothing,
    Is(OwnedFd),
    /// The kernel has no detached mounts of many layers.
    Unsupported,
}

/// The content of a `lower` file of a layer on `parent`.
fn lower_text(parent: &Layer<Link>) -> String {
    let mut text = format!("l/{}", parent.own);
    for layer in parent.parents() {
        text.push_str(":l/");
        text.push_str(&layer.own);
    }
    text
}

impl StorageDriver for Overlay2 {
    fn name(&self) -> &'static str {
        "overlay2"
    }

    fn layers_are_independent(&self) -> bool {
        true
    }

    fn create(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        self.make(id, parent, Parts::ReadOnly)
    }

    fn create_read_write(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        options: &ReadWriteOptions,
    ) -> Result<()> {
        if options.size.is_some() {
            return Err(StorageError::NoQuota);
        }
        self.make(id, parent, Parts::ReadWrite)
    }

    fn create_filled(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        fill: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let _turn = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.layers.contains(id) {
            return Ok(());
        }
        let (making, link) = self.begin(id, parent, Parts::ReadWrite)?;
        let path = self.disk.path(id);
        let filled = match making.parent.as_deref() {
            None => fill(&path.join("diff")),
            Some(parent) => {
                let mut lowers = vec![self.disk.short(&parent.own)];
                lowers.extend(parent.parents().map(|layer| self.disk.short(&layer.own)));
                let upper = Some((path.join("diff"), path.join("work")));
                let stack = Stack { lowers, upper, ..Stack::default() };
                self.mounter.with_mounted(&stack, &path.join("merged"), fill)
            }
        };
        fault::point();
        if let Err(error) = filled.and_then(|()| self.disk.show(id, &link)) {
            self.disk.trash.take(self.disk.root.as_fd(), id.as_str()).ok();
            return Err(error);
        }
        making.done(link);
        Ok(())
    }

    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        let layer = self.layers.get(id)?;
        let path = self.disk.path(id);
        let mut state = layer.lock()?;
        if layer.parent.is_none() {
            state.mounts += 1;
            return Ok(path.join("diff"));
        }
        let merged = path.join("merged");
        if state.mounts == 0 && !disk::is_mounted(&merged)? {
            self.disk.prepare_mount(id)?;
            self.mounter.mount(&self.stack(&layer, options), &merged)?;
        }
        state.mounts += 1;
        Ok(merged)
    }

    fn unmount(&self, id: &LayerId) -> Result<()> {
        let layer = self.layers.get(id)?;
        let mut state = layer.lock()?;
        if state.mounts > 1 {
            state.mounts -= 1;
            return Ok(());
        }
        if layer.parent.is_some() {
            disk::unmount(&self.disk.path(id).join("merged"))?;
        }
        state.mounts = 0;
        Ok(())
    }

    fn remove(&self, id: &LayerId) -> Result<()> {
        let layer = self.layers.get(id)?;
        self.layers.remove_unused_init(id, |layer| self.erase(layer))?;
        // A mount that a former daemon left counts too.
        if disk::is_mounted(&self.disk.path(id).join("merged"))? {
            return Err(StorageError::Mounted(id.clone()));
        }
        self.layers.remove(&layer, |layer| self.erase(layer))
    }

    fn exists(&self, id: &LayerId) -> bool {
        self.layers.contains(id)
    }

    fn parent(&self, id: &LayerId) -> Result<Option<LayerId>> {
        Ok(self.layers.get(id)?.parent.as_ref().map(|parent| parent.id.clone()))
    }

    fn metadata(&self, id: &LayerId) -> Result<BTreeMap<String, String>> {
        let layer = self.layers.get(id)?;
        let path = self.disk.path(id);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut data = BTreeMap::from([
            ("MergedDir".to_owned(), text(path.join("merged"))),
            ("UpperDir".to_owned(), text(path.join("diff"))),
            ("WorkDir".to_owned(), text(path.join("work"))),
        ]);
        let lowers: Vec<String> =
            layer.parents().map(|parent| text(self.diff_path(&parent.id))).collect();
        if !lowers.is_empty() {
            data.insert("LowerDir".to_owned(), lowers.join(":"));
        }
        Ok(data)
    }

    fn apply_diff(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        tar: &mut dyn Read,
    ) -> Result<u64> {
        let layer = self.layers.get(id)?;
        let _turn = layer.lock()?;
        let mut lowers = Vec::new();
        if let Some(parent) = parent {
            let parent = self.layers.get(parent)?;
            lowers.push(self.diff_path(&parent.id));
            lowers.extend(parent.parents().map(|layer| self.diff_path(&layer.id)));
        }
        let options =
            ApplyOptions { whiteouts: Whiteouts::Overlay(Marks::Trusted), lowers: &lowers };
        let applied = apply(&self.diff_path(id), tar, &options)
            .map_err(StorageError::archive("extract", id))?;
        rustix::fs::syncfs(&self.disk.root).map_err(StorageError::io("sync", &self.disk.path))?;
        Ok(applied.bytes)
    }

    fn diff(&self, id: &LayerId, parent: Option<&LayerId>, out: &mut dyn Write) -> Result<()> {
        match self.native(id, parent)? {
            Some((layer, lower)) => pack::upper(
                (&self.diff_path(&layer.id), Marks::Trusted),
                lower.as_ref().map(|fd| fd.as_fd()),
                out,
            )
            .map_err(StorageError::archive("pack", id)),
            None => naive_diff::diff(self, id, parent, out),
        }
    }

    fn changes(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<Vec<Change>> {
        match self.native(id, parent)? {
            Some((layer, lower)) => changes::of_upper(
                (&self.diff_path(&layer.id), Marks::Trusted),
                lower.as_ref().map(|fd| fd.as_fd()),
            )
            .map_err(StorageError::archive("compare", id)),
            None => naive_diff::changes(self, id, parent),
        }
    }

    fn diff_size(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<u64> {
        let layer = self.layers.get(id)?;
        if layer.parent.as_ref().map(|parent| &parent.id) != parent {
            return naive_diff::diff_size(self, id, parent);
        }
        changes::content_size(&self.diff_path(id)).map_err(StorageError::archive("measure", id))
    }

    fn list(&self) -> Result<Vec<LayerId>> {
        Ok(self.layers.ids())
    }

    fn sweep(&self, in_use: &HashSet<LayerId>) -> Result<()> {
        for layer in self.layers.unused(in_use) {
            disk::unmount(&self.disk.path(&layer.id).join("merged"))?;
            self.layers.remove_if_unused(&layer, |layer| self.erase(layer))?;
        }
        let is_known = |id: &LayerId| self.layers.is_taken(id) || in_use.contains(id);
        self.disk.sweep(&is_known)
    }

    fn flush(&self) {
        self.disk.trash.flush();
    }
}
