//! What every storage driver does, for stacked layers.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use barge_archive::changes::{self, Change};
use barge_archive::extract::{ApplyOptions, Whiteouts, apply, inherit};
use barge_archive::pack::{self, PackOptions, Packed};

use super::disk::{self, Parts};
use super::home::Home;
use super::{Mounter, Native, New, Overlay, Stack};
use crate::driver::{MountOptions, Owners, ReadWriteOptions, StorageDriver};
use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;
use crate::mapped::MappedOptions;
use crate::{fault, naive_diff};

impl<M: Mounter> StorageDriver for Overlay<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn status(&self) -> Vec<(&'static str, String)> {
        self.mounter.status(&self.disk.path)
    }

    fn layers_are_independent(&self) -> bool {
        true
    }

    fn create(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        self.make(id, parent, New { parts: Parts::ReadOnly, size: None })
    }

    fn create_read_write(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        options: &ReadWriteOptions,
    ) -> Result<()> {
        let size = options.size.or(self.size);
        if size.is_some() && self.projects.is_none() {
            return Err(self.mounter.no_sizes());
        }
        self.make(id, parent, New { parts: Parts::ReadWrite, size })
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
        let new = New { parts: Parts::ReadWrite, size: None };
        let (making, link) = self.begin(id, parent, new)?;
        let path = self.disk.path(id);
        let filled = match making.parent.as_deref() {
            None => fill(&path.join("diff")),
            Some(parent) => {
                let mut lowers = vec![self.disk.short(&parent.own.link)];
                lowers.extend(self.lowers(parent));
                let upper = Some((path.join("diff"), path.join("work")));
                let stack = Stack { lowers, upper, ..Stack::default() };
                self.with_mounted(&stack, &path.join("merged"), fill)
            }
        };
        fault::point();
        if let Err(error) = filled {
            self.throw_away(id);
            return Err(error);
        }
        self.finish(id, making, link)
    }

    fn map_owners(&self, options: &MappedOptions<'_>) -> Result<()> {
        self.try_mapped(options)
            .map_err(|error| crate::detect::not_supported(M::NAME, &self.disk.path, error))
    }

    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        let layer = self.layers.get(id)?;
        let path = self.disk.path(id);
        let mut state = layer.lock()?;
        if layer.parent.is_none() {
            let files = path.join("diff");
            let files = match options.owners {
                Owners::Stored => files,
                Owners::Mapped => self.mapped.path(&files)?,
            };
            state.mounts += 1;
            return Ok(files);
        }
        let merged = path.join("merged");
        let mut is_mounted = state.mounts > 0 || disk::is_mounted(&merged)?;
        if is_mounted && state.mounts == 0 && !self.mounter.is_alive(&merged) {
            disk::unmount(&merged)?;
            is_mounted = false;
        }
        if !is_mounted {
            self.disk.prepare_mount(id)?;
            let mount = || self.mount_stack(&layer, options, &merged);
            match &self.projects {
                Some(projects) => projects.with_room(disk::open_folder(&path)?, mount)?,
                None => mount()?,
            }
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

    fn mount_read_only(&self, id: &LayerId) -> Result<PathBuf> {
        let layer = self.layers.get(id)?;
        let mut state = layer.lock()?;
        if layer.parent.is_none() {
            state.views += 1;
            return Ok(self.diff_path(id));
        }
        let view = self.disk.path(id).join(disk::VIEW);
        if state.views == 0 {
            // One of a former daemon may be of another kernel's or a program's that is no more.
            disk::unmount(&view)?;
            self.disk.make_view(id)?;
            let mut lowers = vec![self.disk.short(&layer.own.link)];
            lowers.extend(self.lowers(&layer));
            self.mounter.mount(&Stack { lowers, ..Stack::default() }, &view)?;
        }
        state.views += 1;
        Ok(view)
    }

    fn unmount_read_only(&self, id: &LayerId) -> Result<()> {
        let layer = self.layers.get(id)?;
        let mut state = layer.lock()?;
        if state.views == 1 && layer.parent.is_some() {
            disk::unmount(&self.disk.path(id).join(disk::VIEW))?;
        }
        state.views = state.views.saturating_sub(1);
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.home.as_ref().map_or(Ok(()), Home::close)
    }

    fn sync(&self) -> Result<()> {
        self.syncing.sync(&self.disk.root).map_err(StorageError::io("sync", &self.disk.path))
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
        let lowers: Vec<String> = self.lower_folders(&layer).into_iter().map(text).collect();
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
            lowers.extend(self.lower_folders(&parent));
        }
        // Without layers below there is nothing to hide, and no mount that would read the marks.
        let whiteouts = match layer.parent {
            Some(_) => self.mounter.whiteouts(),
            None => Whiteouts::Plain,
        };
        let options = ApplyOptions { whiteouts, lowers: &lowers, ..ApplyOptions::default() };
        let applied = apply(&self.diff_path(id), tar, &options)
            .map_err(StorageError::archive("extract", id))?;
        self.sync()?;
        *layer.own.implied.lock().unwrap_or_else(PoisonError::into_inner) = applied.implied;
        Ok(applied.bytes)
    }

    fn settle(&self, id: &LayerId) -> Result<()> {
        let layer = self.layers.get(id)?;
        let _turn = layer.lock()?;
        let mut implied = layer.own.implied.lock().unwrap_or_else(PoisonError::into_inner);
        let folders = std::mem::take(&mut *implied);
        if folders.is_empty() {
            return Ok(());
        }
        inherit(&self.diff_path(id), &folders, &self.lower_folders(&layer))
            .map_err(StorageError::archive("settle", id))
    }

    fn pack(
        &self,
        id: &LayerId,
        parent: Option<&LayerId>,
        options: &PackOptions,
        out: &mut dyn Write,
    ) -> Result<Packed> {
        match self.native(id, parent)? {
            Some(Native { upper, marks, lower }) => {
                let lower = lower.as_ref().map(|fd| fd.as_fd());
                pack::upper((&upper, marks), lower, options, out)
                    .map_err(StorageError::archive("pack", id))
            }
            None => naive_diff::pack(self, (id, parent), options, out),
        }
    }

    fn changes(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<Vec<Change>> {
        match self.native(id, parent)? {
            Some(Native { upper, marks, lower }) => {
                changes::of_upper((&upper, marks), lower.as_ref().map(|fd| fd.as_fd()))
                    .map_err(StorageError::archive("compare", id))
            }
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
        for id in self.layers.ids() {
            let Ok(layer) = self.layers.get(&id) else { continue };
            let Ok(state) = layer.lock() else { continue };
            if state.views == 0 {
                disk::unmount(&self.disk.path(&id).join(disk::VIEW))?;
            }
        }
        let is_known = |id: &LayerId| self.layers.is_taken(id) || in_use.contains(id);
        self.disk.sweep(&is_known)
    }

    fn flush(&self) {
        self.disk.trash.flush();
    }
}
