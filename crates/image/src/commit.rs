//! `commit`: what a container changed becomes a layer on its image.

use barge_archive::Digester;
use barge_oci::image::{ContainerConfig, History, ImageConfig};
use barge_types::{ImageId, Reference};

use crate::changes;
use crate::error::{ImageError, Result};
use crate::store::{Held, ImageStore, Prepared, now};
use crate::unpack::{Expected, LayerStream, Unpacked};

/// The archive of no change: two blocks of zeros.
const NO_CHANGE: [u8; 1024] = [0; 1024];

/// What is committed beside the files.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// How containers of the new image run, before [`Self::changes`].
    pub config: ContainerConfig,
    /// Dockerfile instructions, see [`crate::apply_changes`].
    pub changes: Vec<String>,
    /// Who made it.
    pub author: String,
    /// Free text.
    pub comment: String,
    /// The command that made the changes, for the history.
    pub created_by: String,
    /// The name that it gets.
    pub reference: Option<Reference>,
}

impl ImageStore {
    /// Makes an image of `parent` with the layer that `diff` is. Changes of nothing add no layer, only history.
    ///
    /// # Errors
    /// Nothing is left of an archive that is cut short.
    pub fn commit(&self, parent: &Held, commit: Commit, diff: LayerStream) -> Result<ImageId> {
        if commit.reference.as_ref().is_some_and(|reference| reference.digest().is_some()) {
            return Err(ImageError::TagWithDigest);
        }
        let mut container = commit.config;
        changes::apply(&mut container, &commit.changes)?;
        let below = parent.chain_ids.last().copied();
        let expected =
            Expected { number: parent.chain_ids.len(), parent: below, ..Expected::default() };
        let Unpacked { chain_id, diff_id, pin } = self.unpack(diff, &expected, &mut |_| {})?;
        let is_empty = diff_id == Digester::of(&NO_CHANGE);
        let created = now();
        let mut config = ImageConfig {
            created: Some(created.clone()),
            author: commit.author.clone(),
            comment: commit.comment.clone(),
            config: Some(container),
            docker_version: String::new(),
            ..(*parent.config).clone()
        };
        // Of the parent's build, not of this image.
        for key in ["container", "container_config", "id", "parent", "throwaway"] {
            config.extra.remove(key);
        }
        config.history.push(History {
            created: Some(created),
            created_by: commit.created_by,
            author: commit.author,
            comment: commit.comment,
            empty_layer: is_empty,
            ..History::default()
        });
        if !is_empty {
            config.rootfs.diff_ids.push(diff_id.to_string());
        }
        let references = commit.reference.into_iter().collect();
        let published = self.publish_child(&config, references, parent.id);
        drop(pin);
        if published.is_err() || is_empty {
            self.give_up(&[chain_id]);
        }
        published
    }

    fn publish_child(
        &self,
        config: &ImageConfig,
        references: Vec<Reference>,
        parent: ImageId,
    ) -> Result<ImageId> {
        let bytes = serde_json::to_vec(config).map_err(ImageError::json("the configuration"))?;
        let image = Prepared::new(bytes, references)?.with_parent(Some(parent));
        let id = image.id;
        self.publish(vec![image])?;
        Ok(id)
    }

    /// The image that one was committed on, when it is here.
    #[must_use]
    pub fn parent(&self, id: &ImageId) -> Option<ImageId> {
        let state = self.read();
        let parent = state.index.image(id)?.parent?;
        state.known.contains_key(&parent).then_some(parent)
    }

    /// The images that were committed on one.
    #[must_use]
    pub fn children(&self, id: &ImageId) -> Vec<ImageId> {
        self.read().index.children(id)
    }
}
