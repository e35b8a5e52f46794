//! Registries, which the daemon asks for us: credentials, search, what a name stands for.

use std::fmt;

use barge_api_types::{AuthConfig, AuthResponse, DistributionInspect, Filters, ImageSearchResult};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::connection::Client;
use crate::error::{ClientError, Result};
use crate::query::Path;

/// The header that carries credentials.
pub(crate) const AUTH_HEADER: &str = "x-registry-auth";

/// Calls that the daemon passes on to registries.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a> {
    pub(crate) client: &'a Client,
}

/// Credentials for one registry, as the header `X-Registry-Auth` carries them.
#[derive(Clone, Default)]
pub struct RegistryAuth(String);

/// What is searched for.
#[derive(Clone, Debug, Default)]
pub struct SearchOptions {
    /// A word, or `registry/word`.
    pub term: String,
    /// No more results than so many.
    pub limit: Option<u32>,
    /// Which: `is-official`, `stars`.
    pub filters: Filters,
    /// Credentials for the registry.
    pub auth: RegistryAuth,
}

impl RegistryAuth {
    /// The header for `credentials`; for a user nobody, an empty one, which some daemons insist on.
    #[must_use]
    pub fn new(credentials: &AuthConfig) -> Self {
        // A struct of strings can always be written.
        let text = serde_json::to_vec(credentials).unwrap_or_else(|_| b"{}".to_vec());
        Self(URL_SAFE.encode(text))
    }

    pub(crate) fn header(&self) -> (&'static str, &str) {
        (AUTH_HEADER, if self.0.is_empty() { "e30=" } else { &self.0 })
    }
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryAuth(…)")
    }
}

impl Registry<'_> {
    /// Has the daemon try credentials; it may give a token to be kept in place of the password.
    pub async fn login(self, credentials: &AuthConfig) -> Result<AuthResponse> {
        let bytes = self.client.post(Path::new(&["auth"])).json(credentials)?.bytes().await?;
        if bytes.is_empty() {
            // 204: fine, nothing to say.
            return Ok(AuthResponse::default());
        }
        serde_json::from_slice(&bytes).map_err(ClientError::decode("answer to the login"))
    }

    /// Which images there are for a word.
    pub async fn search(self, options: &SearchOptions) -> Result<Vec<ImageSearchResult>> {
        let path = Path::new(&["images", "search"])
            .with("term", &options.term)
            .with_some("limit", options.limit)
            .with_filters(&options.filters);
        let call = self.client.get(path).header(options.auth.header())?;
        call.decode("list of found images").await
    }

    /// What a name stands for in its registry: the descriptor and the platforms.
    pub async fn inspect(self, name: &str, auth: &RegistryAuth) -> Result<DistributionInspect> {
        let path = Path::new(&["distribution", name, "json"]);
        self.client.get(path).header(auth.header())?.decode("description of the manifest").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_as_base64_for_urls() {
        let credentials = AuthConfig {
            username: "a".to_owned(),
            password: "??>>".to_owned(),
            ..AuthConfig::default()
        };
        let auth = RegistryAuth::new(&credentials);
        let (name, value) = auth.header();
        assert_eq!(name, "x-registry-auth");
        assert_eq!(URL_SAFE.decode(value).unwrap(), br#"{"username":"a","password":"??>>"}"#);
        assert_eq!(RegistryAuth::default().header().1, "e30=");
        assert!(!format!("{auth:?}").contains(value), "secrets are not shown");
    }
}
