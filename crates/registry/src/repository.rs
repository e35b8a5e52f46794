//! One repository of a registry, as one account sees it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use barge_types::{Digest, Reference};

use crate::credentials::Credentials;
use crate::retry::Notices;
use crate::session::{Live, Session};

/// What one wants to do with a repository: the scope that tokens are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Write, which always reads too.
    Push,
    /// The same as [`Access::Push`].
    PullAndPush,
}

/// Which manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The one that a tag names now.
    Tag(String),
    /// The one with this digest.
    Digest(Digest),
}

impl Selector {
    /// What a reference means: its digest where it has one, else its tag.
    #[must_use]
    pub fn of(reference: &Reference) -> Self {
        match reference.digest() {
            Some(digest) => Self::Digest(digest),
            None => Self::Tag(reference.tag().unwrap_or("latest").to_owned()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

/// One repository of a registry. Clones share connections and tokens.
#[derive(Clone)]
pub struct Repository {
    pub(crate) session: Arc<Session>,
    pub(crate) notices: Notices,
    /// `library/debian`.
    pub(crate) path: Arc<str>,
    /// `debian`.
    pub(crate) familiar: Arc<str>,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repository").field(&self.familiar).finish()
    }
}

impl Repository {
    pub(crate) fn new(
        live: Arc<Live>,
        reference: &Reference,
        credentials: Option<Credentials>,
        access: Access,
    ) -> Self {
        let actions = match access {
            Access::Pull => "pull",
            Access::Push | Access::PullAndPush => "pull,push",
        };
        let scopes = BTreeSet::from([format!("repository:{}:{actions}", reference.path())]);
        let credentials = credentials.unwrap_or_default();
        Self {
            session: Arc::new(Session::new(live, reference.domain(), credentials, scopes)),
            notices: Notices::none(),
            path: reference.path().into(),
            familiar: reference.familiar_name().into(),
        }
    }

    /// The same repository for something that tells about its retries (one layer, say).
    #[must_use]
    pub fn notifying(&self, notices: Notices) -> Self {
        Self { notices, ..self.clone() }
    }

    /// Path below the endpoint's base.
    pub(crate) fn below(&self, rest: impl fmt::Display) -> String {
        format!("{}/{rest}", self.path)
    }
}
