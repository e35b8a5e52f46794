//! A container's mounts: made when it is created, looked up when it starts, let go when it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_api_types::HostConfig;
use barge_storage::{LayerId, MountOptions};
use barge_sys::{fault, openat2};
use barge_types::ContainerId;
use barge_volume::{CreateOptions, VolumeName};
use rustix::fs::OFlags;

use super::container::{Container, Rest};
use super::image_mounts::inside;
use super::record::{Access, ContainerRecord, CopyUp, MountRecord, MountSource, Origin};
use super::settings::{IpcMode, WantedMount, invalid};
use super::{Containers, spec};
use crate::error::{EngineError, Result};
use crate::remap::Remap;
use crate::rollback::Rollback;

/// The folder of a shareable /dev/shm, in the container's folder below the exec root.
pub(super) const SHARED_MEMORY: &str = "shm";

impl Containers {
    /// Names and makes the volumes of a new container, makes the folders that `-v` may make, and takes over what
    /// `--volumes-from` names.
    pub(super) fn make_volumes(
        &self,
        id: &ContainerId,
        host: &HostConfig,
        wanted: Vec<WantedMount>,
        undo: &mut Rollback,
    ) -> Result<Vec<MountRecord>> {
        let mut mounts = self.make_wanted(id, wanted, undo)?;
        for from in &host.volumes_from {
            let (name, mode) = from.split_once(':').unwrap_or((from, ""));
            let access = match mode {
                "" | "rw" | "z" | "Z" => None,
                "ro" => Some(Access::ReadOnly),
                _ => {
                    return Err(invalid(format!("invalid mode: {mode} in --volumes-from {from}")));
                }
            };
            // A client would take "not found" for a missing image.
            let partner = self.registry.find(name).map_err(|error| invalid(error.message()))?;
            for mount in &partner.record().mounts {
                if mounts.iter().any(|other: &MountRecord| other.destination == mount.destination) {
                    continue;
                }
                let source = self.share(id, &mount.source, undo)?;
                let access = access.unwrap_or(mount.access);
                mounts.push(MountRecord { access, source, ..mount.clone() });
            }
        }
        Ok(mounts)
    }

    /// Another container's mount as this one's own.
    fn share(
        &self,
        id: &ContainerId,
        source: &MountSource,
        undo: &mut Rollback,
    ) -> Result<MountSource> {
        let mut own = source.clone();
        match &mut own {
            MountSource::Volume { name, .. } => self.use_volume(name, id, undo)?,
            MountSource::Image { made: Some(made), .. } => {
                *made = self.copy_image_mount(made, undo)?;
            }
            MountSource::Image { made: None, .. }
            | MountSource::Bind { .. }
            | MountSource::Tmpfs { .. } => {}
        }
        Ok(own)
    }

    /// Makes the volumes and folders of these mounts.
    pub(super) fn make_wanted(
        &self,
        id: &ContainerId,
        mut wanted: Vec<WantedMount>,
        undo: &mut Rollback,
    ) -> Result<Vec<MountRecord>> {
        self.name_volumes(id, &mut wanted)?;
        wanted.into_iter().map(|mount| self.make_volume(id, mount, undo)).collect()
    }

    fn make_volume(
        &self,
        id: &ContainerId,
        mount: WantedMount,
        undo: &mut Rollback,
    ) -> Result<MountRecord> {
        mount.check_source()?;
        let source = match mount.source {
            MountSource::Volume { name, subpath, copy, origin } => {
                let is_new = origin == Origin::Anonymous || self.volumes.get(&name).is_err();
                let options = CreateOptions {
                    name: Some(name),
                    driver: None,
                    options: mount.volume_options,
                    labels: mount.volume_labels,
                };
                let volume = self.volumes.create(&options)?;
                fault::point("create: volume made");
                let name = volume.name.to_string();
                if is_new {
                    self.tell_volume("create", (&name, &volume.driver));
                }
                if origin == Origin::Anonymous {
                    let (volumes, name) = (Arc::clone(&self.volumes), name.clone());
                    undo.push(move || {
                        if let Err(error) = volumes.remove(&name) {
                            tracing::warn!(volume = name, %error, "cannot remove the volume of a container that was not made");
                        }
                    });
                }
                self.use_volume(&name, id, undo)?;
                MountSource::Volume { name, subpath, copy, origin }
            }
            MountSource::Bind { path, recursion } => {
                if !path.exists() {
                    std::fs::create_dir_all(&path).map_err(|source| EngineError::Io {
                        action: "create the source of a bind mount",
                        what: path.display().to_string(),
                        source,
                    })?;
                }
                MountSource::Bind { path, recursion }
            }
            tmpfs @ MountSource::Tmpfs { .. } => tmpfs,
            MountSource::Image { name, subpath, .. } => {
                let made = Some(self.make_image_mount(&name, undo)?);
                MountSource::Image { name, subpath, made }
            }
        };
        Ok(MountRecord {
            destination: mount.destination,
            source,
            access: mount.access,
            mode: mount.mode,
            propagation: mount.propagation,
        })
    }

    fn use_volume(&self, name: &str, id: &ContainerId, undo: &mut Rollback) -> Result<()> {
        let name: VolumeName = name.parse()?;
        self.volumes.acquire(&name, id)?;
        let (volumes, id) = (Arc::clone(&self.volumes), id.clone());
        undo.push(move || volumes.release(&name, &id));
        Ok(())
    }

    /// After a restart of the daemon: the container still uses the volume.
    pub(super) fn acquire_volume(&self, name: &str, id: &ContainerId) -> Result<()> {
        Ok(self.volumes.acquire(&name.parse()?, id)?)
    }

    /// After a restart of the daemon: the container still has the volume mounted.
    pub(super) fn mount_volume(&self, name: &str, id: &ContainerId) -> Result<PathBuf> {
        Ok(self.volumes.mount(&name.parse()?, id)?)
    }

    /// Puts what the image has at a new volume's place into the volume. Before the mounts are recorded: a container
    /// whose volumes are not filled is not there.
    pub(super) fn copy_up(&self, id: &ContainerId, mounts: &[MountRecord]) -> Result<()> {
        let wanted: Vec<_> = mounts
            .iter()
            .filter_map(|mount| match &mount.source {
                MountSource::Volume { name, copy: CopyUp::Copy, .. } => {
                    Some((name, &mount.destination))
                }
                MountSource::Volume { .. }
                | MountSource::Bind { .. }
                | MountSource::Tmpfs { .. }
                | MountSource::Image { .. } => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let layer: LayerId = id.as_str().parse()?;
        // A volume gets the owners that the layer has on the disk, also while it is mounted with others.
        let is_mapped = self.remap.is_some();
        let root = if is_mapped {
            self.storage.mount_read_only(&layer)?
        } else {
            self.storage.mount(&layer, &MountOptions::default())?
        };
        let copied = wanted.into_iter().try_for_each(|(name, destination)| {
            let name: VolumeName = name.parse()?;
            // What is to be mounted there gets the content, not the folder below.
            self.volumes.mount(&name, id)?;
            let copied = self.volumes.copy_up(&name, &root, Path::new(destination));
            self.volumes.unmount(&name, id)?;
            Ok(copied?)
        });
        if is_mapped {
            self.storage.unmount_read_only(&layer)
        } else {
            self.storage.unmount(&layer)
        }?;
        copied
    }

    /// Where each mount of a starting container comes from on the host.
    pub(super) fn resolve_mounts(
        self: &Arc<Self>,
        container: &Arc<Container>,
        undo: &mut Rollback,
    ) -> Result<Vec<(MountRecord, PathBuf)>> {
        let mut resolved = Vec::new();
        for mount in &container.record().mounts {
            let path = match &mount.source {
                MountSource::Bind { path, .. } => path.clone(),
                MountSource::Tmpfs { .. } => PathBuf::new(),
                MountSource::Image { subpath, .. } => match mount.image_layer() {
                    Some(layer) => inside(&self.mount_layer((container, &layer), undo)?, subpath)?,
                    None => return Err(not_made(mount)),
                },
                MountSource::Volume { name, subpath, .. } => {
                    let name: VolumeName = name.parse()?;
                    let path = self.volumes.mount(&name, &container.id)?;
                    self.tell_mount(container, name.as_str(), mount);
                    let (this, target) = (Arc::clone(self), Arc::clone(container));
                    undo.push(move || {
                        if let Err(error) = this.volumes.unmount(&name, &target.id) {
                            tracing::warn!(volume = %name, %error, "cannot unmount a volume");
                        }
                        this.tell_unmount(&target, name.as_str());
                    });
                    check_subpath(&path, subpath)?;
                    path
                }
            };
            resolved.push((mount.clone(), path));
        }
        Ok(resolved)
    }

    /// Which volumes of a container whose ids are mapped have their files in the daemon's folder. Another file system,
    /// or a folder of the host, stays as it is.
    pub(super) fn own_volumes(&self, record: &ContainerRecord) -> Vec<String> {
        if self.remap_of(&record.host_config).is_none() {
            return Vec::new();
        }
        let own = record.mounts.iter().filter(|mount| self.has_own_files(&mount.source));
        let names = own.filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => Some(name.clone()),
            MountSource::Bind { .. } | MountSource::Tmpfs { .. } | MountSource::Image { .. } => {
                None
            }
        });
        names.collect()
    }

    pub(super) fn has_own_files(&self, source: &MountSource) -> bool {
        match source {
            MountSource::Volume { name, .. } => {
                self.volumes.get(name).is_ok_and(|volume| volume.options.is_empty())
            }
            MountSource::Bind { .. } | MountSource::Tmpfs { .. } | MountSource::Image { .. } => {
                false
            }
        }
    }

    /// A tmpfs on the host for a container whose /dev/shm others can join, or the partner's.
    pub(super) fn shared_memory(
        &self,
        container: &Container,
        undo: &mut Rollback,
    ) -> Result<Option<PathBuf>> {
        match &container.settings().ipc {
            IpcMode::Shareable => {
                let path = container.run_folder.join(SHARED_MEMORY);
                std::fs::create_dir_all(&path).map_err(EngineError::io("create", &path))?;
                let size = match container.record().host_config.shm_size {
                    0 => spec::SHM_SIZE,
                    size => size,
                };
                let record = container.record();
                let root = self.remap_of(&record.host_config).map_or((0, 0), Remap::root);
                mount_tmpfs(&path, size, root)?;
                let target = path.clone();
                undo.push(move || unmount(&target));
                Ok(Some(path))
            }
            IpcMode::Container(name) => {
                let donor = self.ipc_donor(name)?;
                let is_hosts = donor.settings().ipc == IpcMode::Host;
                let own = || donor.run_folder.join(SHARED_MEMORY);
                Ok(Some(if is_hosts { PathBuf::from("/dev/shm") } else { own() }))
            }
            IpcMode::Private | IpcMode::Without | IpcMode::Host => Ok(None),
        }
    }

    /// Lets go of what a run had mounted on the host.
    pub(super) fn release_mounts(&self, container: &Container) -> Result<()> {
        if container.settings().ipc == IpcMode::Shareable {
            unmount(&container.run_folder.join(SHARED_MEMORY));
        }
        // Of a container that ended while no daemon ran nothing is mounted any more.
        let was_mounted = container.watch().borrow().rest == Rest::InUse;
        for mount in &container.record().mounts {
            if let Some(layer) = mount.image_layer()
                && let Err(error) = self.storage.unmount(&layer)
            {
                tracing::warn!(container = %container.id, %layer, %error, "cannot unmount");
            }
            if let MountSource::Volume { name, .. } = &mount.source {
                self.volumes.unmount(&name.parse()?, &container.id)?;
                if was_mounted {
                    self.tell_unmount(container, name);
                }
            }
        }
        Ok(())
    }
}

/// A record that somebody changed by hand.
pub(super) fn not_made(mount: &MountRecord) -> EngineError {
    invalid(format!("the image that is to be mounted at {} was not made", mount.destination))
}

/// Says in Docker's words that a path is not in a volume. Which one is mounted the runtime finds out by itself, inside of
/// the volume: it may mean something else by then.
fn check_subpath(volume: &Path, subpath: &str) -> Result<()> {
    let relative = Path::new(subpath.trim_start_matches('/'));
    let found =
        openat2::open_root(volume).and_then(|root| openat2::open(root, relative, OFlags::PATH));
    found.map(drop).map_err(|_| {
        invalid(format!("invalid mount config for type \"volume\": subpath {subpath:?} does not exist in the volume"))
    })
}

fn mount_tmpfs(path: &Path, size: i64, (uid, gid): (u32, u32)) -> Result<()> {
    use rustix::mount::MountFlags;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = std::ffi::CString::new(format!("mode=1777,size={size},uid={uid},gid={gid}"))
        .map_err(|error| EngineError::io("mount a tmpfs at", path)(error.into()))?;
    rustix::mount::mount("shm", path, "tmpfs", flags, options.as_c_str())
        .map_err(|error| EngineError::io("mount a tmpfs at", path)(error.into()))
}

pub(super) fn unmount(path: &Path) {
    // Not mounted is as good.
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH).ok();
}
