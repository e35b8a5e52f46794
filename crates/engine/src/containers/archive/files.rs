//! The files of a container as one tree behind a descriptor.
//!
//! Of one that runs it is the tree that its processes see, tmpfs and all. Of any other it is put together from its
//! layer, its volumes and its binds as a start would, in a mount namespace that only the descriptor keeps: the host
//! never sees the mounts, and they are gone when the daemon is. No lock is held while the tree is used: the container
//! may be started, stopped and removed meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_archive::resource::Resource;
use barge_sys::assembly::{Assembly, Part};
use barge_sys::mount::{Change, Reach};
use barge_sys::spawn::UserMaps;
use barge_sys::{namespace, openat2, user_namespace};
use barge_volume::VolumeName;
use rustix::fs::{AtFlags, FsWord, OFlags, StatxFlags};

use crate::blocking;
use crate::containers::container::Container;
use crate::containers::image_mounts::{MountedLayer, inside};
use crate::containers::record::{Access, MountSource, Recursion};
use crate::containers::settings::NetworkMode;
use crate::containers::state::{Running, State};
use crate::containers::volumes::not_made;
use crate::containers::{Containers, exits, first_process};
use crate::error::{EngineError, Result};
use crate::remap::Remap;

/// The files of a container; to be dropped on a thread that may block.
pub(super) struct Files {
    root: Root,
    /// The mount of the default /dev, which is nothing of the container's own.
    devices: Option<u64>,
    /// How the ids in the tree are mapped.
    maps: Option<UserMaps>,
    /// Go after the root.
    _layers: Vec<MountedLayer>,
}

enum Root {
    Running(OwnedFd),
    Stopped(Assembly),
}

/// Why there is no tree of a container that runs.
enum NoRoot {
    /// It has ended, which was not told yet.
    Ended,
    Failed(EngineError),
}

impl Containers {
    /// The files of a container.
    pub(super) async fn files(self: &Arc<Self>, container: &Arc<Container>) -> Result<Files> {
        loop {
            let exits = container.watch().borrow().exits;
            if let Some(running) = container.state().running() {
                let (this, target) = (Arc::clone(self), Arc::clone(container));
                let opened = blocking::run(move || Ok(this.files_of_running(&target, running)));
                match opened.await? {
                    Ok(files) => return Ok(files),
                    Err(NoRoot::Failed(error)) => return Err(error),
                    Err(NoRoot::Ended) => ended(container, exits).await?,
                }
                continue;
            }
            let _verb = container.verb.lock().await;
            match container.state() {
                State::Running(_) => {}
                State::Removing(_) => {
                    return Err(EngineError::Conflict(format!(
                        "You cannot copy files of container {} which is being removed",
                        container.id
                    )));
                }
                State::Created(_) | State::Exited(_) | State::Restarting(_) => {
                    container.settled().await?;
                    let (this, target) = (Arc::clone(self), Arc::clone(container));
                    return blocking::run(move || this.files_of_stopped(&target)).await;
                }
            }
        }
    }

    fn files_of_running(
        self: &Arc<Self>,
        container: &Arc<Container>,
        running: Running,
    ) -> std::result::Result<Files, NoRoot> {
        let layer = self.hold_layer(container, container.layer.clone()).map_err(NoRoot::Failed)?;
        let found = first_process::look(running.pid, container.id.as_str(), |process| {
            let root = namespace::root_of(process)?;
            let record = container.record();
            let is_default = !record.mounts.iter().any(|mount| mount.destination == "/dev");
            let devices = if is_default { default_devices(&root)? } else { None };
            // Not what the daemon maps today: it may have been another one that started the container.
            let is_hosts = record.host_config.userns_mode == "host";
            let maps =
                if is_hosts { None } else { user_namespace::maps_of(running.pid.cast_signed())? };
            Ok((root, devices, maps))
        });
        match found {
            Ok(Some((root, devices, maps))) => {
                Ok(Files { root: Root::Running(root), devices, maps, _layers: vec![layer] })
            }
            Ok(None) => Err(NoRoot::Ended),
            Err(error) => {
                let failed = EngineError::io("open the files of container", container.id.as_str());
                Err(NoRoot::Failed(failed(error)))
            }
        }
    }

    /// Its verb lock is held: nobody mounts or unmounts its volumes meanwhile.
    fn files_of_stopped(self: &Arc<Self>, container: &Arc<Container>) -> Result<Files> {
        // A start and a view of its files share one mount of each layer.
        let layer = self.hold_layer(container, container.layer.clone())?;
        let (mut used, mut images) = (Vec::new(), Vec::new());
        let parts = self.parts(container, (&mut used, &mut images));
        let made = parts.and_then(|parts| {
            let is_read_only = container.record().host_config.readonly_rootfs;
            let change = if is_read_only { Change::READ_ONLY } else { Change::NONE };
            let made = Assembly::make(&layer.path, &parts, change);
            made.map_err(|(path, error)| EngineError::io("mount", path)(error))
        });
        // The assembly has its own mounts of them.
        for name in used {
            if let Err(error) = self.volumes.unmount(&name, &container.id) {
                tracing::warn!(volume = %name, %error, "cannot unmount a volume");
            }
        }
        let maps = self.remap_of(&container.record().host_config).map(|remap| remap.maps().clone());
        images.push(layer);
        Ok(Files { root: Root::Stopped(made?), devices: None, maps, _layers: images })
    }

    /// What is mounted into a container that starts, those above before those in them; not a tmpfs, which is empty then
    /// and would hide what the layer has.
    fn parts(
        self: &Arc<Self>,
        container: &Arc<Container>,
        (used, images): (&mut Vec<VolumeName>, &mut Vec<MountedLayer>),
    ) -> Result<Vec<Part>> {
        let record = container.record();
        let remap = self.remap_of(&record.host_config);
        let owners = remap.map(Remap::user_namespace);
        let mut parts = Vec::new();
        for mount in &record.mounts {
            let (source, inside, reach) = match &mount.source {
                MountSource::Tmpfs { .. } => continue,
                MountSource::Image { subpath, .. } => {
                    let layer = mount.image_layer().ok_or_else(|| not_made(mount))?;
                    let image = self.hold_layer(container, layer)?;
                    let path = inside(&image.path, subpath)?;
                    images.push(image);
                    (path, "", Reach::Tree)
                }
                MountSource::Bind { path, recursion } => {
                    let is_shallow = *recursion == Recursion::Shallow;
                    (path.clone(), "", if is_shallow { Reach::One } else { Reach::Tree })
                }
                MountSource::Volume { name, subpath, .. } => {
                    let name: VolumeName = name.parse()?;
                    let path = self.volumes.mount(&name, &container.id)?;
                    used.push(name);
                    (path, subpath.trim_start_matches('/'), Reach::Tree)
                }
            };
            let inside = inside.into();
            // Of a volume only itself is read-only, as at a start.
            let is_bind = matches!(mount.source, MountSource::Bind { .. });
            let change_reach = if is_bind { reach } else { Reach::One };
            let whole = part(source, (&mount.destination, reach), mount.access);
            let owners = owners.clone().filter(|_| self.has_own_files(&mount.source));
            parts.push(Part { inside, change_reach, owners, ..whole });
        }
        let folder = match &container.settings().network {
            NetworkMode::Container(name) => self.registry.find(name).map(|it| it.folder.clone()),
            NetworkMode::Host | NetworkMode::Named(_) => Ok(container.folder.clone()),
        };
        let is_read_only = record.host_config.readonly_rootfs;
        let access = if is_read_only { Access::ReadOnly } else { Access::ReadWrite };
        for name in ["resolv.conf", "hostname", "hosts"] {
            let destination = format!("/etc/{name}");
            let is_covered = record.mounts.iter().any(|mount| mount.destination == destination);
            // There from the first start on.
            let source = folder.as_ref().ok().map(|folder| folder.join(name));
            let source = source.filter(|path| !is_covered && path.exists());
            parts.extend(source.map(|source| Part {
                owners: owners.clone(),
                ..part(source, (&destination, Reach::One), access)
            }));
        }
        parts.sort_by_key(|part| part.target.components().count());
        Ok(parts)
    }
}

fn part(source: PathBuf, (target, reach): (&str, Reach), access: Access) -> Part {
    let change = if access == Access::ReadWrite { Change::NONE } else { Change::READ_ONLY };
    Part {
        source,
        inside: PathBuf::new(),
        target: target.into(),
        reach,
        change,
        change_reach: reach,
        owners: None,
    }
}

/// Waits until an exit that has happened is known.
async fn ended(container: &Container, exits: u64) -> Result<()> {
    let mut progress = container.watch();
    let told = progress.wait_for(|progress| progress.exits != exits);
    match tokio::time::timeout(exits::TEAR_DOWN_DEADLINE, told).await {
        Ok(_) => Ok(()),
        Err(_) => Err(EngineError::Deadline(format!(
            "container {}: its process is gone, and its shim has not said so for {} s",
            container.id,
            exits::TEAR_DOWN_DEADLINE.as_secs()
        ))),
    }
}

fn default_devices(root: &OwnedFd) -> io::Result<Option<u64>> {
    match openat2::open_without_links(root, Path::new("/dev"), OFlags::PATH) {
        Ok(devices) => {
            let (own, of_root) = (mount_id(&devices)?, mount_id(root)?);
            Ok(Some(own).filter(|own| *own != of_root))
        }
        // Then it is nothing of ours either.
        Err(_) => Ok(None),
    }
}

/// Which mount something is in.
pub(super) fn mount_id(fd: impl AsFd) -> rustix::io::Result<u64> {
    let found = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(found.stx_mnt_id)
}

impl Files {
    /// The root, for lookups inside it.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        match &self.root {
            Root::Running(fd) => fd.as_fd(),
            Root::Stopped(assembly) => assembly.as_fd(),
        }
    }

    /// How the ids in the tree are mapped.
    pub(super) fn maps(&self) -> Option<&UserMaps> {
        self.maps.as_ref()
    }

    /// Where an archive of this ends.
    pub(super) fn limits(&self, resource: &Resource) -> io::Result<Limits> {
        let Resource::Folder(start) = resource else {
            return Ok(Limits { start: resource.stat()?.st_dev, devices: None });
        };
        let devices = match self.devices {
            Some(devices) if mount_id(start)? != devices => Some(devices),
            _ => None,
        };
        Ok(Limits { start: resource.stat()?.st_dev, devices })
    }
}

/// The kinds of file systems in which the kernel tells of itself (linux/magic.h, and of mqueue its source): binfmt_misc,
/// BPF, cgroup, cgroup2, configfs, debugfs, devpts, efivarfs, fusectl, mqueue, nsfs, proc, pstore, securityfs, selinux,
/// sysfs, tracefs.
const KERNEL_KINDS: [FsWord; 17] = [
    0x4249_4e4d,
    0xcafe_4a11,
    0x0027_e0eb,
    0x6367_7270,
    0x6265_6570,
    0x6462_6720,
    0x1cd1,
    0xde5e_81e4,
    0x6573_5543,
    0x1980_0202,
    0x6e73_6673,
    0x9fa0,
    0x6165_676c,
    0x7363_6673,
    0xf97c_ff8c,
    0x6265_6572,
    0x7472_6163,
];

/// What an archive of a folder does not go into: file systems in which the kernel tells of itself, and the devices that
/// every container gets. Their folders are there, and empty. Asked for by name, they are packed.
pub(super) struct Limits {
    start: u64,
    devices: Option<u64>,
}

impl Limits {
    pub(super) fn lets_into(&self, folder: BorrowedFd<'_>) -> io::Result<bool> {
        if rustix::fs::fstat(folder)?.st_dev == self.start {
            return Ok(true);
        }
        let kind = rustix::fs::fstatfs(folder)?.f_type;
        if KERNEL_KINDS.contains(&kind) {
            return Ok(false);
        }
        match self.devices {
            Some(devices) => Ok(mount_id(folder)? != devices),
            None => Ok(true),
        }
    }
}
