//! Who asks: what `X-Registry-Auth` carries. Nothing here is ever printed.

use std::fmt;

/// Credentials for one registry. Empty fields are those that were not given.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Name of the account.
    pub username: String,
    /// Its password.
    pub password: String,
    /// A refresh token that the registry's token service gave at login, in the place of a password.
    pub identity_token: String,
    /// A ready bearer token for the registry itself.
    pub registry_token: String,
}

impl Credentials {
    /// Whether nothing at all was given.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.username.is_empty()
            && self.password.is_empty()
            && self.identity_token.is_empty()
            && self.registry_token.is_empty()
    }

    /// Name and password, when there are any.
    pub(crate) fn basic(&self) -> Option<(&str, &str)> {
        (!self.username.is_empty() && !self.password.is_empty())
            .then_some((self.username.as_str(), self.password.as_str()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let credentials = Credentials {
            username: "me".into(),
            password: "hunter2".into(),
            identity_token: "idtok".into(),
            registry_token: "regtok".into(),
        };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("me"));
        assert!(!["hunter2", "idtok", "regtok"].iter().any(|secret| shown.contains(secret)));
    }
}
