//! `barge manifest …`

use super::{Noun, verb};

mod inspect;

/// `barge manifest`.
pub(crate) const NOUN: Noun = Noun {
    about: "Manage image manifests and manifest lists",
    verbs: &[verb("inspect", &inspect::VERB)],
};
