//! `barge volume …`

use super::{Noun, verb, verb_also};

mod create;
mod inspect;
pub(super) mod ls;
mod prune;
mod rm;

/// `barge volume`.
pub(crate) const NOUN: Noun = Noun {
    about: "Manage volumes",
    verbs: &[
        verb("create", &create::VERB),
        verb("inspect", &inspect::VERB),
        verb_also("ls", &["list"], &ls::VERB),
        verb("prune", &prune::VERB),
        verb_also("rm", &["remove"], &rm::VERB),
    ],
};
