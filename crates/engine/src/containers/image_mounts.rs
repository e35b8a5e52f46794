//! Mounts of images (`--mount type=image`): a layer of the container's own on top of the image's, mounted while the
//! container runs and bound into it read-only.
//!
//! As Docker does: nothing is pulled, nothing can be written, whatever `readonly` says, and what the name meant when the
//! container was made is what it keeps. The layer is never written to; that it stands on the image's keeps those from
//! going, and it is mounted with the owners that the container's root has.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_storage::{LayerId, ReadWriteOptions, StorageError, remove_container_layers};
use barge_sys::openat2;
use barge_types::{ErrorKind, ImageId};
use rustix::fs::OFlags;

use super::Containers;
use super::container::{Container, Presence};
use super::record::{MountRecord, MountSource, MountedImage};
use super::settings::{WantedMount, invalid};
use crate::error::{EngineError, Result};
use crate::rollback::Rollback;

/// A layer that is mounted as long as this is there.
pub(super) struct MountedLayer {
    containers: Arc<Containers>,
    container: Arc<Container>,
    layer: LayerId,
    pub(super) path: PathBuf,
}

impl Drop for MountedLayer {
    fn drop(&mut self) {
        let layer = &self.layer;
        if let Err(error) = self.containers.storage.unmount(layer) {
            tracing::warn!(%layer, %error, "cannot unmount");
        }
        self.containers.remove_layer_left_behind(&self.container, layer);
    }
}

impl Containers {
    /// Refuses a mount of an image that is not here.
    pub(super) fn check_image(&self, mount: &WantedMount) -> Result<()> {
        match &mount.source {
            MountSource::Image { name, .. } => self.find_mounted(name).map(drop),
            MountSource::Bind { .. } | MountSource::Volume { .. } | MountSource::Tmpfs { .. } => {
                Ok(())
            }
        }
    }

    /// A client would take "not found" for the image that the container is made of, and pull that.
    fn find_mounted(&self, name: &str) -> Result<barge_image::Held> {
        self.find_image(name, None).map_err(|error| {
            let is_missing = error.kind() == ErrorKind::NotFound;
            if is_missing { invalid(error.message()) } else { error }
        })
    }

    /// Makes a layer on the image's.
    pub(super) fn make_image_mount(&self, name: &str, undo: &mut Rollback) -> Result<MountedImage> {
        let image = self.find_mounted(name)?;
        self.make_mount_layer(image.id, image.top_layer.as_ref(), undo)
    }

    /// The same for another container's mount, whose image may have been forced away.
    pub(super) fn copy_image_mount(
        &self,
        made: &MountedImage,
        undo: &mut Rollback,
    ) -> Result<MountedImage> {
        let below = self.storage.parent(&made.layer.parse()?)?;
        self.make_mount_layer(made.image, below.as_ref(), undo)
    }

    fn make_mount_layer(
        &self,
        image: ImageId,
        below: Option<&LayerId>,
        undo: &mut Rollback,
    ) -> Result<MountedImage> {
        let layer = LayerId::random()?;
        self.storage.create_read_write(&layer, below, &ReadWriteOptions::default())?;
        let made = MountedImage { image, layer: layer.to_string() };
        let storage = Arc::clone(&self.storage);
        undo.push(move || {
            if let Err(error) = storage.remove(&layer) {
                tracing::warn!(%layer, %error, "cannot remove the layer of a mount that was not made");
            }
        });
        Ok(made)
    }

    /// Mounts a layer of a container, until it is unmounted.
    pub(super) fn mount_layer(
        &self,
        (container, layer): (&Container, &LayerId),
        undo: &mut Rollback,
    ) -> Result<PathBuf> {
        let path = self.storage.mount(layer, &self.mount_options(container))?;
        let (storage, layer) = (Arc::clone(&self.storage), layer.clone());
        undo.push(move || {
            if let Err(error) = storage.unmount(&layer) {
                tracing::warn!(%layer, %error, "cannot unmount");
            }
        });
        Ok(path)
    }

    /// Mounts a layer of a container beside what its run has mounted.
    pub(super) fn hold_layer(
        self: &Arc<Self>,
        container: &Arc<Container>,
        layer: LayerId,
    ) -> Result<MountedLayer> {
        let path = self.storage.mount(&layer, &self.mount_options(container))?;
        let (containers, container) = (Arc::clone(self), Arc::clone(container));
        Ok(MountedLayer { containers, container, layer, path })
    }

    /// Removes layers of a container that is gone, or of mounts that it no longer has. One that is read just now goes
    /// with the end of that.
    pub(super) fn remove_layers<'a>(&self, layers: impl Iterator<Item = &'a LayerId>) {
        for layer in layers {
            match remove_container_layers(&*self.storage, layer) {
                Ok(()) | Err(StorageError::Mounted(_)) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%layer, %error, "cannot remove a layer: it is swept at the next start");
                }
            }
        }
    }

    /// A container that was removed meanwhile, or lost a mount, could not take its layer along: it was mounted.
    pub(super) fn remove_layer_left_behind(&self, container: &Container, layer: &LayerId) {
        let is_there = container.watch().borrow().presence != Presence::Removed;
        if !(is_there && container.layers().contains(layer)) {
            self.remove_layers(std::iter::once(layer));
        }
    }
}

impl Container {
    /// Its own layer, and those of the images that it has mounted.
    pub(super) fn layers(&self) -> Vec<LayerId> {
        let record = self.record();
        let mounted = record.mounts.iter().filter_map(MountRecord::image_layer);
        std::iter::once(self.layer.clone()).chain(mounted).collect()
    }
}

/// Where a path of a mounted image is on the host. Nobody writes to the image: it stays what it is.
pub(super) fn inside(image: &Path, subpath: &str) -> Result<PathBuf> {
    if subpath.is_empty() {
        return Ok(image.to_owned());
    }
    let found = openat2::open_root(image)
        .and_then(|root| openat2::open(&root, Path::new(subpath), OFlags::PATH));
    let missing = |_| {
        invalid(format!(
            "invalid mount config for type \"image\": subpath {subpath:?} does not exist in the image"
        ))
    };
    let found = found.map_err(missing)?;
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found));
    std::fs::read_link(&link).map_err(EngineError::io("read", &link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_image_never_lead_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("/real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("../../etc", root.join("out")).unwrap();
        assert_eq!(inside(&root, "").unwrap(), root);
        assert_eq!(inside(&root, "real").unwrap(), root.join("real"));
        assert_eq!(inside(&root, "link").unwrap(), root.join("real"));
        for missing in ["out", "none"] {
            let text = inside(&root, missing).unwrap_err().message();
            assert!(text.contains(&format!("subpath {missing:?} does not exist")), "{text}");
        }
    }
}
