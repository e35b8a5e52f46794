//! Mounts of one step that are ready for the runner, and their end.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_storage::{Durability, LayerId, MountOptions, Owners, ReadWriteOptions, StorageDriver};
use barge_sys::openat2;
use rustix::fs::OFlags;

use super::super::Running;
use super::super::mount_points::{MountPoints, Shape};
use super::super::users::Users;
use super::agent::AgentProxy;
use super::{CacheWish, Mounts, Owner, Wanted, What};
use crate::cache::mounts::HeldMount;
use crate::error::{BuildError, Result};
use crate::memory::Memory;
use crate::runner::{StepMount, StepSource};

/// What a step's mounts need while it runs.
#[derive(Debug)]
pub(crate) struct Prepared {
    mounts: Vec<StepMount>,
    env: Vec<String>,
    points: Option<MountPoints>,
    views: Vec<View>,
    caches: Vec<HeldMount>,
    agents: Vec<AgentProxy>,
    memory: Option<Memory>,
    users: Users,
}

/// Mounted files of a layer.
struct View {
    storage: Arc<dyn StorageDriver>,
    layer: Layer,
    root: PathBuf,
}

/// What is mounted for a view.
#[derive(Debug)]
enum Layer {
    /// The layer itself, only to be read.
    Shared(LayerId),
    /// A layer on it, whose content nobody keeps.
    Own(LayerId),
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl View {
    /// To be read only.
    fn open(running: &Running<'_>, layer: &LayerId) -> Result<Self> {
        let storage = Arc::clone(&running.shop.parts.storage);
        let root = storage.mount_read_only(layer).map_err(BuildError::storage("show a layer"))?;
        Ok(Self { storage, layer: Layer::Shared(layer.clone()), root })
    }

    /// To be written to.
    fn create(running: &Running<'_>, parent: Option<&LayerId>, owners: Owners) -> Result<Self> {
        let storage = Arc::clone(&running.shop.parts.storage);
        let id = LayerId::random().map_err(BuildError::storage("name a layer"))?;
        storage
            .create_read_write(&id, parent, &ReadWriteOptions::default())
            .map_err(BuildError::storage("make a view of a layer"))?;
        let options = MountOptions { durability: Durability::Volatile, owners };
        let mounted = storage.mount(&id, &options).map_err(BuildError::storage("mount a layer"));
        let layer = Layer::Own(id);
        // Dropped with what was made so far.
        let mut view = Self { storage, layer, root: PathBuf::new() };
        view.root = mounted?;
        Ok(view)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // What cannot go now is swept at the next start.
        match &self.layer {
            Layer::Shared(id) => {
                self.storage.unmount_read_only(id).ok();
            }
            Layer::Own(id) => {
                if self.storage.unmount(id).is_ok() {
                    self.storage.remove(id).ok();
                }
            }
        }
    }
}

impl Mounts {
    /// Makes everything that the runner mounts, and the points where it does.
    pub(crate) fn prepare(
        &self,
        running: &Running<'_>,
        (root, users): (&Path, &Users),
        script: Option<&(String, String)>,
    ) -> Result<Prepared> {
        for wanted in &self.list {
            if let What::Missing { what, .. } = &wanted.what {
                return Err(BuildError::NotFound(what.clone()));
            }
        }
        let mut prepared = Prepared {
            mounts: Vec::new(),
            env: Vec::new(),
            points: Some(MountPoints::new(root, users)?),
            views: Vec::new(),
            caches: self.hold_caches(running)?,
            memory: None,
            agents: Vec::new(),
            users: users.clone(),
        };
        let made = self.prepare_all(running, &mut prepared, script);
        match made {
            Ok(()) => Ok(prepared),
            Err(error) => {
                prepared.clear().ok();
                Err(error)
            }
        }
    }

    /// In one order for all steps, so that no two wait for each other.
    fn hold_caches(&self, running: &Running<'_>) -> Result<Vec<HeldMount>> {
        let mut wishes: Vec<&CacheWish> = self.list.iter().filter_map(Wanted::cache).collect();
        wishes.sort_by_key(|wish| wish.key);
        wishes.dedup_by_key(|wish| wish.key);
        let hold = |wish: &CacheWish| {
            let mounts = &running.shop.mounts;
            let mut held = mounts.hold(&wish.key, wish.sharing, running.cancel)?;
            if held.is_new {
                fill(running, &held, wish)?;
                held.filled(&wish.id)?;
            }
            Ok(held)
        };
        wishes.into_iter().map(hold).collect()
    }

    fn prepare_all(
        &self,
        running: &Running<'_>,
        prepared: &mut Prepared,
        script: Option<&(String, String)>,
    ) -> Result<()> {
        for wanted in &self.list {
            match &wanted.what {
                What::Files { files, source } => {
                    let owners = prepared.users.owners();
                    let view = self.view(running, (wanted, files.layer()), owners)?;
                    let root = view.root.clone();
                    prepared.views.push(view);
                    prepared.add_below(wanted, &root, source)?;
                }
                What::Cache(wish) => {
                    let data = prepared.cache_of(running, wish)?;
                    prepared.add(wanted, StepSource::Own(data), Shape::Folder)?;
                }
                // Refused before.
                What::Missing { .. } => {}
                What::Tmpfs { size, mode } => {
                    let source = StepSource::Tmpfs(tmpfs_options(*size, *mode));
                    prepared.add(wanted, source, Shape::Folder)?;
                }
                What::Secret { bytes, env, owner } => {
                    if let Some(name) = env {
                        prepared.env.push(format!("{name}={}", String::from_utf8_lossy(bytes)));
                    }
                    if !wanted.target.is_empty() {
                        let outside = prepared.users.outside((owner.uid, owner.gid))?;
                        let path = prepared.memory(running)?.write(bytes, outside, owner.mode)?;
                        prepared.add(wanted, StepSource::Path(path), Shape::File)?;
                    }
                }
                What::Ssh { socket, owner } => {
                    let path = prepared.agent(running, (socket, *owner))?;
                    prepared.add(wanted, StepSource::Path(path), Shape::File)?;
                    let name = "SSH_AUTH_SOCK=";
                    if !prepared.env.iter().any(|pair| pair.starts_with(name)) {
                        prepared.env.push(format!("{name}{}", wanted.target));
                    }
                }
            }
        }
        script.map_or(Ok(()), |script| prepared.add_script(running, script))
    }

    /// A layer of its own only for what is written to, or has a mount point made in it.
    fn view(
        &self,
        running: &Running<'_>,
        (wanted, layer): (&Wanted, Option<&LayerId>),
        owners: Owners,
    ) -> Result<View> {
        let target = Path::new(&wanted.target);
        let is_below = |other: &&Wanted| {
            other.target != wanted.target && Path::new(&other.target).starts_with(target)
        };
        match layer {
            Some(layer)
                // What is only read is never mapped.
                if owners == Owners::Stored
                    && wanted.is_read_only
                    && !self.list.iter().any(|other| is_below(&other)) =>
            {
                View::open(running, layer)
            }
            layer => View::create(running, layer, owners),
        }
    }
}

impl Wanted {
    fn cache(&self) -> Option<&CacheWish> {
        if let What::Cache(wish) = &self.what { Some(wish) } else { None }
    }
}

impl Prepared {
    pub(crate) fn take_mounts(&mut self) -> Vec<StepMount> {
        std::mem::take(&mut self.mounts)
    }

    pub(crate) fn take_env(&mut self) -> Vec<String> {
        std::mem::take(&mut self.env)
    }

    /// Takes away what was made for the step only.
    pub(crate) fn clear(mut self) -> Result<()> {
        self.agents.clear();
        let points = self.points.take().map_or(Ok(()), MountPoints::remove);
        let memory = self.memory.take().map_or(Ok(()), Memory::remove);
        points.and(memory)
    }

    fn memory(&mut self, running: &Running<'_>) -> Result<&Memory> {
        let memory = match self.memory.take() {
            Some(memory) => memory,
            None => Memory::create(&running.place.memory)?,
        };
        Ok(self.memory.insert(memory))
    }

    /// A socket of the step's own that leads to an agent.
    fn agent(&mut self, running: &Running<'_>, (agent, owner): (&Path, Owner)) -> Result<PathBuf> {
        let outside = self.users.outside((owner.uid, owner.gid))?;
        let (listener, path) = self.memory(running)?.listen(outside, owner.mode)?;
        self.agents.push(AgentProxy::start(listener, agent)?);
        Ok(path)
    }

    /// A file or a folder of a mounted layer.
    fn add_below(&mut self, wanted: &Wanted, root: &Path, source: &str) -> Result<()> {
        let fd = openat2::open_root(root).map_err(BuildError::io("open", root))?;
        let found = openat2::open(&fd, Path::new(source), OFlags::PATH)
            .map_err(|_| BuildError::NotFound(format!("failed to mount: {source:?}: not found")))?;
        let path = path_of(&found)?;
        let shape = if path.is_dir() { Shape::Folder } else { Shape::File };
        self.add(wanted, StepSource::Path(path), shape)
    }

    fn add(&mut self, wanted: &Wanted, source: StepSource, shape: Shape) -> Result<()> {
        self.make_point(&wanted.target, shape)?;
        self.mounts.push(StepMount {
            target: wanted.target.clone(),
            source,
            is_read_only: wanted.is_read_only,
        });
        Ok(())
    }

    /// The point is in what was mounted above it, or in the layer.
    fn make_point(&mut self, target: &str, shape: Shape) -> Result<()> {
        let path = Path::new(target);
        let above = self.mounts.iter().rev().find(|mount| path.starts_with(&mount.target));
        let Some(above) = above else {
            return self.points.as_mut().map_or(Ok(()), |points| points.make(target, shape));
        };
        let (root, users) = match &above.source {
            StepSource::Path(root) => (root, self.users.clone()),
            // As it is on the disk.
            StepSource::Own(root) => (root, Users::default()),
            StepSource::Tmpfs(_) => return Ok(()),
        };
        let Ok(inside) = path.strip_prefix(&above.target) else { return Ok(()) };
        if inside.as_os_str().is_empty() || !root.is_dir() {
            return Ok(());
        }
        let fd = openat2::open_root(root).map_err(BuildError::io("open", root))?;
        users.make(|| shape.make(&fd, inside)).map_err(BuildError::io("make the mount point", path))
    }

    fn cache_of(&self, running: &Running<'_>, wish: &CacheWish) -> Result<PathBuf> {
        let name = wish.key.hex();
        let of_key = |held: &&HeldMount| held.is_of(&name);
        let held = self.caches.iter().find(of_key);
        held.map(|held| held.data.clone())
            .ok_or_else(|| BuildError::NotFound(format!("cache mount of {}", running.place.id)))
    }

    fn add_script(&mut self, running: &Running<'_>, script: &(String, String)) -> Result<()> {
        let (name, text) = script;
        let folder = running.place.folder()?;
        let path = folder.join(name);
        fs::write(&path, text).map_err(BuildError::io("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(BuildError::io("change", &path))?;
        self.mounts.push(StepMount {
            target: "/dev/pipes".to_owned(),
            source: StepSource::Own(folder),
            is_read_only: true,
        });
        Ok(())
    }
}

/// Takes away what is in a folder.
fn empty(folder: &Path) -> Result<()> {
    let failed = || BuildError::io("empty", folder);
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let is_folder = entry.file_type().map_err(failed())?.is_dir();
        let path = entry.path();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed())?;
    }
    Ok(())
}

/// A new cache mount gets its owner, and what it is to be filled with.
fn fill(running: &Running<'_>, held: &HeldMount, wish: &CacheWish) -> Result<()> {
    let open = |archive: &_| running.open_archive(archive);
    let filled = running.elsewhere().fill_mount(&wish.key.hex(), &held.data, &open);
    let is_filled = match filled {
        Ok(is_filled) => is_filled,
        // As with layers: what cannot be had is made here.
        Err(error) => {
            running.not_from_cache("a cache mount", &error)?;
            empty(&held.data)?;
            false
        }
    };
    if let Some((files, source)) = wish.seed.as_ref().filter(|_| !is_filled) {
        running.with_view(files.layer(), &mut |root| {
            super::super::transfer::copy_folder(root, source, &held.data)
        })?;
    }
    give(&held.data, wish.owner)
}

fn give(path: &Path, owner: Owner) -> Result<()> {
    std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))
        .map_err(BuildError::io("change the owner of", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))
        .map_err(BuildError::io("change the mode of", path))
}

fn tmpfs_options(size: Option<u64>, mode: Option<u32>) -> BTreeMap<String, String> {
    let size = size.map(|size| ("size".to_owned(), size.to_string()));
    let mode = mode.map(|mode| ("mode".to_owned(), format!("{mode:o}")));
    size.into_iter().chain(mode).collect()
}

/// Where an open file is, as this process sees it.
fn path_of(fd: &OwnedFd) -> Result<PathBuf> {
    let link = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    fs::read_link(&link).map_err(BuildError::io("read", &link))
}
