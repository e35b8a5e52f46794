//! Layers that are stacked when they are mounted, laid out on disk as Docker does: what the drivers overlay2 and
//! fuse-overlayfs share.
//!
//! `ID/{diff,link,lower,work,merged}` and `l/LINK → ../ID/diff` with 26 letters, so that many layers fit into one mount
//! call; `ID/view` is where a layer is shown that is only read. The link in `l/` is made last: a layer that it does not lead to is not there. A layer's
//! `diff` holds all of the difference. A layer with a size is a project of its file system's quotas.

mod disk;
mod driver;
mod home;
mod mounter;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use barge_archive::Marks;

use crate::driver::{MountOptions, Owners};
use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;
use crate::mapped::{Mapped, MappedOptions};
use crate::quota::Projects;
use crate::syncing::Syncing;
use crate::table::{Layer, Making, Table};
use disk::{Disk, Parts};
pub(super) use disk::{open_folder, unmount};
use home::Home;
pub(crate) use mounter::{Mounter, Stack, Trial};

/// What the kernel stacks (`OVL_MAX_STACK`).
const MOST_LAYERS: usize = 500;

/// What is known of a layer.
#[derive(Debug)]
struct Own {
    /// Its 26 letters.
    link: String,
    /// Folders that its archive did not have, for `settle`.
    implied: Mutex<Vec<PathBuf>>,
}

impl Own {
    fn new(link: String) -> Self {
        Self { link, implied: Mutex::default() }
    }
}

/// A driver of stacked layers.
#[derive(Debug)]
#[expect(private_bounds, reason = "the members of the family are the type's aliases")]
pub struct Overlay<M: Mounter> {
    disk: Disk,
    layers: Table<Own>,
    syncing: Syncing,
    mounter: M,
    projects: Option<Projects>,
    /// Size of a container's layer that asks for none.
    size: Option<u64>,
    /// One layer at a time is filled: there is one such per image.
    filling: Mutex<()>,
    mapped: Mapped,
    /// The last to go: files in there are closed then.
    home: Option<Home>,
}

#[expect(private_bounds, reason = "the members of the family are the type's aliases")]
impl<M: Mounter> Overlay<M> {
    /// Opens the driver's folder below the data root; makes it if needed. `mounter` finds out what works there; where
    /// nothing can be tried, it says what has to be so after all that was done before.
    pub(crate) fn open_with(
        data_root: &Path,
        size: Option<u64>,
        mounter: impl Fn(Option<&Trial<'_>>) -> Result<M>,
    ) -> Result<Self> {
        let home = Home::enter(&data_root.join(M::NAME))?;
        let disk = Disk::open(&data_root.join(M::NAME))?;
        let probe = LayerId::random()?;
        let path = disk.path(&probe);
        let mut result =
            disk.make_probe(&probe).and_then(|()| mounter(Some(&Trial { path: &path })));
        unmount(&path.join("merged"))?;
        disk.trash.take(disk.root.as_fd(), probe.as_str())?;
        // Who comes to make room on a full disk has to find a daemon.
        if result.as_ref().is_err_and(StorageError::is_full) && !disk.links()?.is_empty() {
            result = mounter(None);
        }
        let mounter =
            result.map_err(|error| crate::detect::not_supported(M::NAME, &disk.path, error))?;
        let projects = Projects::open(&disk.root, &disk.path, &["."])?;
        if size.is_some() && projects.is_none() {
            return Err(mounter.no_sizes());
        }
        let driver = Self {
            disk,
            layers: Table::default(),
            syncing: Syncing::default(),
            mounter,
            projects,
            size,
            filling: Mutex::new(()),
            mapped: Mapped::default(),
            home,
        };
        driver.load()?;
        Ok(driver)
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
                making.done(Own::new(link.clone()));
            }
        }
        Ok(())
    }

    fn make(&self, id: &LayerId, parent: Option<&LayerId>, new: New) -> Result<()> {
        let (making, link) = self.begin(id, parent, new)?;
        self.finish(id, making, link)
    }

    /// Shows a layer that is complete.
    fn finish(&self, id: &LayerId, making: Making<'_, Own>, link: String) -> Result<()> {
        if let Err(error) = self.disk.show(id, &link) {
            self.throw_away(id);
            return Err(error);
        }
        making.done(Own::new(link));
        Ok(())
    }

    /// Makes everything but the link in `l/`.
    fn begin(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        new: New,
    ) -> Result<(Making<'_, Own>, String)> {
        let making = self.layers.make(id, parent)?;
        if making.depth() > MOST_LAYERS {
            return Err(StorageError::TooDeep { depth: making.depth(), limit: MOST_LAYERS });
        }
        let link = disk::new_link()?;
        let lower = making.parent.as_deref().map(lower_text);
        let limit = |folder: &OwnedFd| match (new.size, &self.projects) {
            (Some(size), Some(projects)) => projects.limit(folder, size),
            (None, _) | (_, None) => Ok(()),
        };
        let layer = disk::NewLayer {
            id,
            link: &link,
            lower: lower.as_deref(),
            parts: new.parts,
            limit: new.size.is_some().then_some(&limit),
        };
        if let Err(error) = self.disk.make(&layer) {
            self.throw_away(id);
            return Err(error);
        }
        Ok((making, link))
    }

    /// Throws a layer away that could not be made. The error that there is already tells; what is left is swept.
    fn throw_away(&self, id: &LayerId) {
        self.forget_size(id);
        self.disk.trash.take(self.disk.root.as_fd(), id.as_str()).ok();
    }

    fn forget_size(&self, id: &LayerId) {
        if let Some(projects) = &self.projects
            && let Ok(folder) = open_folder(&self.disk.path(id))
        {
            projects.forget(folder);
        }
    }

    fn stack(&self, layer: &Layer<Own>, options: &MountOptions) -> Stack {
        let path = self.disk.path(&layer.id);
        Stack {
            lowers: self.lowers(layer),
            upper: Some((path.join("diff"), path.join("work"))),
            durability: options.durability,
        }
    }

    /// Mounts a layer on those below it.
    fn mount_stack(&self, layer: &Layer<Own>, options: &MountOptions, target: &Path) -> Result<()> {
        let stack = self.stack(layer, options);
        match options.owners {
            Owners::Stored => self.mounter.mount(&stack, target),
            Owners::Mapped => self.mount_mapped(&stack, target),
        }
    }

    /// The same through folders whose owners are mapped. The kernel makes files of its own in there, at once and when it
    /// copies something up, as whoever mounts.
    fn mount_mapped(&self, stack: &Stack, target: &Path) -> Result<()> {
        let moved = |path: &PathBuf| self.mapped.path(path);
        let upper = match &stack.upper {
            Some((upper, work)) => Some((moved(upper)?, moved(work)?)),
            None => None,
        };
        let lowers = stack.lowers.iter().map(moved).collect::<Result<_>>()?;
        let stack = Stack { lowers, upper, durability: stack.durability };
        self.mapped.as_root(|| self.mounter.mount(&stack, target))
    }

    /// Shows the folder with the owners mapped, and tries a mount of what is seen there.
    fn try_mapped(&self, options: &MappedOptions<'_>) -> Result<()> {
        if let Some(reason) = self.mounter.cannot_map() {
            return Err(StorageError::NotSupported {
                driver: M::NAME,
                path: self.disk.path.clone(),
                fs: crate::detect::file_system(&self.disk.path),
                reason: reason.to_owned(),
            });
        }
        self.mapped.show(&self.disk.path, options)?;
        let probe = LayerId::random()?;
        let path = self.disk.path(&probe);
        let target = path.join("merged");
        let tried = self
            .disk
            .make_probe(&probe)
            .and_then(|()| self.mount_mapped(&Trial { path: &path }.stack(), &target));
        unmount(&target)?;
        self.disk.trash.take(self.disk.root.as_fd(), probe.as_str())?;
        tried
    }

    /// The short names of the layers below, nearest first.
    fn lowers(&self, layer: &Layer<Own>) -> Vec<PathBuf> {
        layer.parents().map(|parent| self.disk.short(&parent.own.link)).collect()
    }

    /// The contents of the layers below, nearest first.
    fn lower_folders(&self, layer: &Layer<Own>) -> Vec<PathBuf> {
        layer.parents().map(|parent| self.diff_path(&parent.id)).collect()
    }

    /// Calls `fill` with a mounted stack, which is gone afterwards. `target` serves where it needs a place.
    fn with_mounted(
        &self,
        stack: &Stack,
        target: &Path,
        fill: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        if let Some(fd) = self.mounter.detached(stack)? {
            return fill(&PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
        }
        self.mounter.mount(stack, target)?;
        let filled = fill(target);
        unmount(target)?;
        filled
    }

    /// The view of everything below a layer, without a place in the file system.
    fn lower_view(&self, layer: &Layer<Own>) -> Result<LowerView> {
        let lowers = self.lowers(layer);
        match lowers.as_slice() {
            [] => Ok(LowerView::Nothing),
            [only] => Ok(LowerView::Is(open_folder(only)?)),
            _ => match self.mounter.detached(&Stack { lowers, ..Stack::default() })? {
                Some(fd) => Ok(LowerView::Is(fd)),
                None => Ok(LowerView::Unsupported),
            },
        }
    }

    /// The layer's own folder and the view below it, if `parent` is what it stands on and they tell all.
    fn native(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<Option<Native>> {
        let layer = self.layers.get(id)?;
        let Some(marks) = self.mounter.native() else {
            return Ok(None);
        };
        if layer.parent.as_ref().map(|parent| &parent.id) != parent {
            return Ok(None);
        }
        let upper = self.diff_path(id);
        Ok(match self.lower_view(&layer)? {
            LowerView::Nothing => Some(Native { upper, marks, lower: None }),
            LowerView::Is(fd) => Some(Native { upper, marks, lower: Some(fd) }),
            LowerView::Unsupported => None,
        })
    }

    fn diff_path(&self, id: &LayerId) -> PathBuf {
        self.disk.path(id).join("diff")
    }

    fn erase(&self, layer: &Layer<Own>) -> Result<()> {
        self.forget_size(&layer.id);
        // One that a former daemon left.
        unmount(&self.disk.path(&layer.id).join(disk::VIEW))?;
        // Deleting the link takes longer than the rename, and a link to nowhere is no layer.
        let link = Some(self.disk.short(&layer.own.link));
        self.disk.trash.take_with(self.disk.root.as_fd(), layer.id.as_str(), link)
    }
}

/// What a new layer is to be.
#[derive(Clone, Copy)]
struct New {
    parts: Parts,
    size: Option<u64>,
}

/// A layer's own folder and the view of everything below it.
struct Native {
    upper: PathBuf,
    marks: Marks,
    lower: Option<OwnedFd>,
}

enum LowerView {
    Nothing,
    Is(OwnedFd),
    /// The kernel has no detached mounts of many layers.
    Unsupported,
}

/// The content of a `lower` file of a layer on `parent`.
fn lower_text(parent: &Layer<Own>) -> String {
    let mut text = format!("l/{}", parent.own.link);
    for layer in parent.parents() {
        text.push_str(":l/");
        text.push_str(&layer.own.link);
    }
    text
}
