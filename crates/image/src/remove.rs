//! Removing images by Docker's rules: a name first, the image with its last name, nothing that a
//! container needs.

use std::collections::HashSet;

use barge_storage::LayerId;
use barge_types::{ContainerId, Digest, ImageId, Reference};

use crate::error::{ImageError, Result};
use crate::manifests::KeptManifest;
use crate::resolve::Found;
use crate::store::ImageStore;

/// Whether what stands in the way is respected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Refuse while containers use the image or other names point to it.
    WhenUnused,
    /// Remove all names, and the image even of stopped containers; running ones still keep it.
    Force,
}

/// Whether a container that uses an image runs (paused counts as running).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserState {
    /// It runs.
    Running,
    /// It does not.
    Stopped,
}

/// A container of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Which.
    pub container: ContainerId,
    /// Whether it runs.
    pub state: UserState,
}

/// Who uses images. The engine knows, this crate asks.
pub trait ImageUsage {
    /// The containers made of an image.
    fn users(&self, image: &ImageId) -> Vec<User>;

    /// Layers that containers stand on.
    fn layers_in_use(&self) -> HashSet<LayerId>;
}

/// Nobody uses any image.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnusedImages;

impl ImageUsage for UnusedImages {
    fn users(&self, _image: &ImageId) -> Vec<User> {
        Vec::new()
    }

    fn layers_in_use(&self) -> HashSet<LayerId> {
        HashSet::new()
    }
}

/// What a removal did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(Reference),
    /// The image is gone.
    Image(ImageId),
    /// A layer is gone.
    Layer(Digest),
}

impl ImageStore {
    /// Removes a name, or an image with its names, and the layers that only it had.
    ///
    /// # Errors
    /// [`ImageError::ReferenceInUse`] and [`ImageError::Conflict`] in Docker's words.
    pub fn remove(
        &self,
        name: &str,
        removal: Removal,
        usage: &dyn ImageUsage,
    ) -> Result<Vec<Removed>> {
        let _changing = self.changing();
        let found = self.resolve(name)?;
        let id = found.id();
        let names = self.read().index.names(&id);
        let (untagged, fate) = match &found {
            Found::ByName(reference, _) => {
                if removal == Removal::WhenUnused && is_single_reference(&names) {
                    refuse_if_used(name, &id, usage)?;
                }
                let (untagged, left) = without(reference, names);
                // The user's name goes, which was asked for; that the image stays for its container
                // is no failure.
                let is_free = left.is_empty() && check(&id, &[], removal, usage).is_ok();
                (untagged, if is_free { Fate::Deleted } else { Fate::Kept })
            }
            Found::ById(_) => {
                // All names of one repository go together.
                let counted =
                    if is_single_reference(&names) { names.len().min(1) } else { names.len() };
                check(&id, names.get(..counted).unwrap_or_default(), removal, usage)?;
                (names, Fate::Deleted)
            }
        };
        let image = self.image(&id)?;
        let manifests = self.manifests(&id);
        // One change: a crash leaves no image without the name that it was to be deleted by.
        self.change_index(|index| match fate {
            Fate::Deleted => index.remove(&id),
            Fate::Kept => {
                for reference in &untagged {
                    index.untag(reference);
                }
            }
        })?;
        let mut removed: Vec<Removed> = untagged.into_iter().map(Removed::Untagged).collect();
        if fate == Fate::Deleted {
            self.write().known.remove(&id);
            removed.push(Removed::Image(id));
            let top_first: Vec<Digest> = image.chain_ids.into_iter().rev().collect();
            let layers = self.remove_unneeded(&top_first, &usage.layers_in_use())?;
            removed.extend(layers.into_iter().map(Removed::Layer));
            let blobs = manifests.iter().flat_map(KeptManifest::blobs);
            for blob in blobs.chain([id.digest()]) {
                self.remove_blob_if_unneeded(&blob)?;
            }
        }
        Ok(removed)
    }
}

/// What becomes of an image whose names are taken away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Deleted,
}

/// Takes one name away, and with the last tag of a repository also its digests. Returns what goes
/// and what is left.
fn without(reference: &Reference, names: Vec<Reference>) -> (Vec<Reference>, Vec<Reference>) {
    let is_other = |name: &&Reference| *name != reference;
    let same = |name: &&Reference| name.repository() == reference.repository();
    let has_tag = names.iter().filter(is_other).filter(same).any(|name| name.digest().is_none());
    let takes_digests = reference.digest().is_none() && !has_tag;
    names.into_iter().partition(|name| name == reference || (takes_digests && same(&name)))
}

/// At most one tag, and all names in one repository: then the image goes with its name.
fn is_single_reference(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    let mut repositories = names.iter().map(Reference::repository);
    let first = repositories.next();
    tags <= 1 && repositories.all(|repository| Some(repository) == first)
}

fn refuse_if_used(name: &str, id: &ImageId, usage: &dyn ImageUsage) -> Result<()> {
    match usage.users(id).first() {
        None => Ok(()),
        Some(user) => Err(ImageError::ReferenceInUse {
            name: name.to_owned(),
            container: user.container.short().to_owned(),
            image: id.short(),
        }),
    }
}

/// Docker's order: a running container cannot be overridden, the other reasons can.
fn check(
    id: &ImageId,
    names: &[Reference],
    removal: Removal,
    usage: &dyn ImageUsage,
) -> Result<()> {
    let users = usage.users(id);
    let conflict =
        |force, reason: String| Err(ImageError::Conflict { image: id.short(), force, reason });
    let short = |state| {
        users.iter().find(|user| user.state == state).map(|user| user.container.short().to_owned())
    };
    if let Some(container) = short(UserState::Running) {
        let reason = format!("image is being used by running container {container}");
        return conflict("cannot be forced", reason);
    }
    if removal == Removal::Force {
        return Ok(());
    }
    if names.len() > 1 {
        let reason = "image is referenced in multiple repositories".to_owned();
        return conflict("must be forced", reason);
    }
    if let Some(container) = short(UserState::Stopped) {
        let reason = format!("image is being used by stopped container {container}");
        return conflict("must be forced", reason);
    }
    Ok(())
}
