//! Where our images are not docker.io's, each with the reason. What is not here fails the test, and so does an entry
//! that no case needs.

use crate::builders::Builder;

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Known {
    /// The case, or `*`.
    pub(crate) case: &'static str,
    /// Who is different from us.
    pub(crate) peer: Builder,
    /// The fact, or the start of its name and `*`.
    pub(crate) fact: &'static str,
    /// Why.
    pub(crate) why: &'static str,
}

impl Known {
    pub(crate) fn covers(&self, case: &str, peer: Builder, fact: &str) -> bool {
        self.peer == peer
            && (self.case == "*" || self.case == case)
            && match self.fact.strip_suffix('*') {
                Some(prefix) => fact.starts_with(prefix),
                None => self.fact == fact,
            }
    }
}

/// All of them.
pub(crate) const KNOWN: &[Known] = &[];
