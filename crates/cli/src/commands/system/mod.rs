//! `barge system …`, `info`, `version`, `events`.

use super::{Entry, Noun, verb};

mod df;
pub(super) mod events;
pub(super) mod info;
pub(super) mod prune;
pub(super) mod version;

/// `barge system`.
pub(crate) const NOUN: Noun = Noun { about: "Manage the daemon", verbs: VERBS };

const VERBS: &[Entry] = &[
    verb("df", &df::VERB),
    verb("events", &events::VERB),
    verb("info", &info::VERB),
    verb("prune", &prune::VERB),
];
