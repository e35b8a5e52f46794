//! What a user calls an image → the image: a name, an id, the beginning of an id.

use barge_types::{Digest, ImageId, Reference, ReferenceError};

use crate::error::{ImageError, Result};
use crate::store::{Held, ImageStore, State};

/// How many digits of an id lists show: fewer of them are a name to a build.
const LISTED: usize = 12;

/// An image and by what it was found; removing one by a name removes the name first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// By its id or the beginning of it.
    ById(ImageId),
    /// By this name.
    ByName(Reference, ImageId),
}

impl Found {
    /// The image.
    #[must_use]
    pub fn id(&self) -> ImageId {
        match self {
            Self::ById(id) | Self::ByName(_, id) => *id,
        }
    }
}

impl ImageStore {
    /// Finds an image: a whole id first, then a name, then the beginning of an id, as Docker does.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`] in Docker's words, [`ImageError::Ambiguous`] for the beginning
    /// of several ids, [`ImageError::Reference`] for what cannot be a name.
    pub fn resolve(&self, name: &str) -> Result<Found> {
        let state = self.read();
        let whole = name.parse::<Digest>().or_else(|_| Digest::from_hex(name));
        if let Ok(digest) = whole {
            let id = ImageId::new(digest);
            return if state.known.contains_key(&id) {
                Ok(Found::ById(id))
            } else {
                Err(ImageError::NoSuchImage(digest.to_string()))
            };
        }
        let reference = name.parse::<Reference>();
        if let Ok(reference) = &reference
            && let Some(found) = by_name(&state, reference)
        {
            return Ok(found);
        }
        if let Some(id) = by_short_id(&state, name)? {
            return Ok(Found::ById(id));
        }
        match reference {
            Ok(_) | Err(ReferenceError::LooksLikeId(_)) => Err(ImageError::no_such(name)),
            Err(error) => Err(ImageError::Reference(error)),
        }
    }
}

impl ImageStore {
    /// [`Self::hold`] for what a Dockerfile names: a name, a whole id, or as much of one as lists show.
    ///
    /// `FROM ada` means the image `ada`, whatever ids happen to begin with these letters: Docker's classic builder takes any
    /// beginning of an id, BuildKit none, and no whole id of an image that is here either.
    ///
    /// # Errors
    /// As [`Self::hold`] has them.
    pub fn hold_base(&self, name: &str) -> Result<Held> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if hex.len() < LISTED && matches!(self.resolve(name)?, Found::ById(_)) {
            return Err(ImageError::no_such(name));
        }
        self.hold(name)
    }
}

fn by_name(state: &State, reference: &Reference) -> Option<Found> {
    let known = |reference: &Reference| {
        let id = state.index.target(reference)?;
        state.known.contains_key(&id).then_some(id)
    };
    if let Some(id) = known(reference) {
        return Some(Found::ByName(reference.clone(), id));
    }
    // `name:tag@digest` names by the digest; the tag is for people.
    let digest = reference.digest().filter(|_| reference.tag().is_some())?;
    let by_digest: Reference = format!("{}@{digest}", reference.repository()).parse().ok()?;
    let id = known(&by_digest)?;
    Some(Found::ByName(by_digest, id))
}

fn by_short_id(state: &State, name: &str) -> Result<Option<ImageId>> {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hex.is_empty() || !hex.bytes().all(is_hex) {
        return Ok(None);
    }
    let mut fitting = state.known.keys().filter(|id| id.digest().hex().starts_with(hex));
    match (fitting.next(), fitting.next()) {
        (Some(_), Some(_)) => Err(ImageError::Ambiguous(name.to_owned())),
        (first, _) => Ok(first.copied()),
    }
}
