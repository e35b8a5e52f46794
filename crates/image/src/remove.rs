//! Removing images by Docker's rules: a name first, the image with its last name, nothing that a
//! container needs.

use std::collections::HashSet;

use barge_storage::LayerId;
use barge_types::{ContainerId, Digest, ImageId, Reference};

use crate::error::{ImageError, Result};
use crate::image::Image;
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

/// What becomes of the images without a name that a removed one was committed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parents {
    /// They go with their last child, unless somebody uses them.
    Remove,
    /// They stay.
    Keep,
}

impl ImageStore {
    /// [`Self::remove_with`] the parents that nobody needs any more.
    ///
    /// # Errors
    /// As there.
    pub fn remove(
        &self,
        name: &str,
        removal: Removal,
        usage: &dyn ImageUsage,
    ) -> Result<Vec<Removed>> {
        self.remove_with(name, (removal, Parents::Remove), usage)
    }

    /// Removes a name, or an image with its names, and the layers that only it had.
    ///
    /// # Errors
    /// [`ImageError::ReferenceInUse`] and [`ImageError::Conflict`] in Docker's words.
    pub fn remove_with(
        &self,
        name: &str,
        (removal, parents): (Removal, Parents),
        usage: &dyn ImageUsage,
    ) -> Result<Vec<Removed>> {
        let _changing = self.changing();
        let found = self.resolve(name)?;
        let id = found.id();
        let names = self.read().index.names(&id);
        let (untagged, is_free) = match &found {
            Found::ByName(reference, _) => {
                if removal == Removal::WhenUnused && is_single_reference(&names) {
                    refuse_if_used(name, &id, usage)?;
                }
                let (untagged, left) = without(reference, names);
                // The user's name goes, which was asked for; that the image stays for its container
                // or its children is no failure.
                let is_free =
                    left.is_empty() && self.check_removal(&id, &[], removal, usage).is_ok();
                (untagged, is_free)
            }
            Found::ById(_) => {
                // All names of one repository go together.
                let counted = if is_single_reference(&names) { &[][..] } else { &names[..] };
                self.check_removal(&id, counted, removal, usage)?;
                // A name that means the image of another platform stays that one's.
                let state = self.read();
                let means_it = |name: &Reference| state.index.target(name) == Some(id);
                (names.into_iter().filter(means_it).collect(), true)
            }
        };
        let mut leaving = Vec::new();
        if is_free {
            leaving.push(self.image(&id)?);
            if parents == Parents::Remove {
                self.add_parents(&mut leaving, usage);
            }
        }
        self.add_platforms(&mut leaving, (&id, &untagged), usage);
        let manifests: Vec<KeptManifest> =
            leaving.iter().flat_map(|image| self.manifests(&image.id)).collect();
        // One change: a crash leaves no image without the name that it was to be deleted by.
        self.shrink_index(|index| {
            for reference in &untagged {
                index.untag(reference);
            }
            for image in &leaving {
                index.remove(&image.id);
            }
        })?;
        let mut removed: Vec<Removed> = untagged.into_iter().map(Removed::Untagged).collect();
        let in_use = usage.layers_in_use();
        for image in leaving {
            self.write().known.remove(&image.id);
            removed.push(Removed::Image(image.id));
            let top_first: Vec<Digest> = image.chain_ids.into_iter().rev().collect();
            let layers = self.remove_unneeded(&top_first, &in_use)?;
            removed.extend(layers.into_iter().map(Removed::Layer));
            self.remove_blob_if_unneeded(&image.id.digest())?;
        }
        for blob in manifests.iter().flat_map(KeptManifest::blobs) {
            self.remove_blob_if_unneeded(&blob)?;
        }
        self.reserve.fill();
        Ok(removed)
    }

    /// Adds the images of other platforms whose last name goes, and that nobody uses.
    fn add_platforms(
        &self,
        leaving: &mut Vec<Image>,
        (id, untagged): (&ImageId, &[Reference]),
        usage: &dyn ImageUsage,
    ) {
        let is_going = |name: &Reference| untagged.contains(name);
        let means_it = |name: &&Reference| self.read().index.target(name) == Some(*id);
        for reference in untagged.iter().filter(means_it) {
            for other in self.platforms(reference).into_iter().filter(|other| other != id) {
                if let Ok(image) = self.image(&other)
                    && image.references.iter().all(is_going)
                    && self.check_removal(&other, &[], Removal::WhenUnused, usage).is_ok()
                    && leaving.iter().all(|known| known.id != other)
                {
                    leaving.push(image);
                }
            }
        }
    }

    /// Adds to an image that goes those below it that have no name, no user and no other child.
    fn add_parents(&self, leaving: &mut Vec<Image>, usage: &dyn ImageUsage) {
        while let Some(child) = leaving.last().map(|image| image.id)
            && let Some(parent) = self.parent(&child)
            && let Ok(image) = self.image(&parent)
        {
            let has_other = self.children(&parent).iter().any(|id| *id != child);
            if has_other || !image.references.is_empty() || !usage.users(&parent).is_empty() {
                return;
            }
            leaving.push(image);
        }
    }

    /// Docker's order: a child or a running container cannot be overridden, the other reasons can.
    fn check_removal(
        &self,
        id: &ImageId,
        names: &[Reference],
        removal: Removal,
        usage: &dyn ImageUsage,
    ) -> Result<()> {
        let conflict =
            |force, reason: String| Err(ImageError::Conflict { image: id.short(), force, reason });
        if !self.children(id).is_empty() {
            let reason = "image has dependent child images".to_owned();
            return conflict("cannot be forced", reason);
        }
        let users = usage.users(id);
        let short = |state| {
            let user = users.iter().find(|user| user.state == state);
            user.map(|user| user.container.short().to_owned())
        };
        if let Some(container) = short(UserState::Running) {
            let reason = format!("image is being used by running container {container}");
            return conflict("cannot be forced", reason);
        }
        if removal == Removal::Force {
            return Ok(());
        }
        if !names.is_empty() {
            let reason = "image is referenced in multiple repositories".to_owned();
            return conflict("must be forced", reason);
        }
        if let Some(container) = short(UserState::Stopped) {
            let reason = format!("image is being used by stopped container {container}");
            return conflict("must be forced", reason);
        }
        Ok(())
    }
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
