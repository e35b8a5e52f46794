//! `barge network …`: which there are, and what they are.

use super::{Noun, verb, verb_also};

mod inspect;
mod ls;

/// `barge network`.
pub(crate) const NOUN: Noun = Noun {
    about: "Manage networks",
    verbs: &[verb("inspect", &inspect::VERB), verb_also("ls", &["list"], &ls::VERB)],
};
