//! `import`: a root file system as one archive becomes an image of one layer.

use barge_oci::image::{ContainerConfig, History, ImageConfig};
use barge_types::{Digest, ImageId, Platform, Reference};

use crate::changes;
use crate::error::{ImageError, Result};
use crate::layers::LayerSource;
use crate::store::{ImageStore, Prepared, now};
use crate::unpack::{Expected, LayerStream, Unpacked};

/// How to import.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Free text for the history.
    pub message: String,
    /// Dockerfile instructions, see [`crate::apply_changes`].
    pub changes: Vec<String>,
    /// What the files run on; absent means this machine.
    pub platform: Option<Platform>,
}

impl ImageStore {
    /// Makes an image of an archive, plain or compressed with gzip or zstd.
    ///
    /// # Errors
    /// Nothing is left of an archive that is cut short, damaged or wants out of its folder.
    pub fn import(
        &self,
        archive: LayerStream,
        reference: Option<&Reference>,
        options: &ImportOptions,
    ) -> Result<ImageId> {
        let mut container = ContainerConfig::default();
        changes::apply(&mut container, &options.changes)?;
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let created = now();
        let config = ImageConfig {
            created: Some(created.clone()),
            architecture: platform.architecture().to_owned(),
            variant: platform.variant().unwrap_or_default().to_owned(),
            os: platform.os().to_owned(),
            comment: options.message.clone(),
            config: Some(container),
            history: vec![History {
                created: Some(created),
                comment: options.message.clone(),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        self.create(archive, reference, config)
    }

    /// Makes the image that barge carries with it: the same archive and configuration give the same
    /// id each time.
    pub fn create_builtin(
        &self,
        rootfs: LayerStream,
        reference: &Reference,
        config: ImageConfig,
    ) -> Result<ImageId> {
        self.create(rootfs, Some(reference), config)
    }

    fn create(
        &self,
        archive: LayerStream,
        reference: Option<&Reference>,
        mut config: ImageConfig,
    ) -> Result<ImageId> {
        if reference.is_some_and(|reference| reference.digest().is_some()) {
            return Err(ImageError::TagWithDigest);
        }
        let Unpacked { chain_id, diff_id, pin } =
            self.unpack(archive, &Expected::default(), &mut |_| {})?;
        config.rootfs.diff_ids = vec![diff_id.to_string()];
        let bytes = serde_json::to_vec(&config).map_err(ImageError::json("the configuration"));
        let published = bytes
            .and_then(|bytes| Prepared::new(bytes, reference.cloned().into_iter().collect()))
            .and_then(|image| {
                let id = image.id;
                self.publish(vec![image]).map(|_| id)
            });
        drop(pin);
        if published.is_err() {
            self.give_up(&[chain_id]);
        }
        published
    }

    /// Removes layers that a failed operation made and nothing needs.
    pub(crate) fn give_up(&self, top_first: &[Digest]) {
        if crate::faults::is_dead() {
            return;
        }
        let _changing = self.changing();
        // What a build made may be in its cache, which is not known here.
        let is_ours = |chain_id: &&Digest| {
            self.layer(chain_id).is_some_and(|layer| layer.source == LayerSource::Archive)
        };
        let top_first: Vec<Digest> = top_first.iter().filter(is_ours).copied().collect();
        // The error that led here is the one to tell; what stays is swept at the next start.
        self.remove_unneeded(&top_first, &std::collections::HashSet::new()).ok();
    }
}
