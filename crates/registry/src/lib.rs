//! The client of registries: the OCI distribution specification 1.1 as Docker's daemon speaks it.
//!
//! Async, and keeps nothing on disk: what comes is handed on as it comes, and who unpacks it verifies it
//! ([`Repository::blob`]); only manifests and configurations are verified here. It knows no images.
//!
//! One file per step: `hosts` (which servers), `connect`, `tls`, `transport` (one request), `auth` (in whose name),
//! `session` (all of these together), `retry`; then what is asked: `manifest`, `blob`, `upload`, `login`, `search`.

mod auth;
mod blob;
mod challenge;
mod config;
mod connect;
mod credentials;
mod download;
mod error;
mod hosts;
mod login;
mod manifest;
mod payload;
mod pool;
mod proxy;
mod refusal;
mod repository;
mod retry;
mod search;
mod session;
mod tls;
mod transport;
mod upload;
mod url;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use barge_types::Reference;

pub use blob::BlobStream;
pub use config::{ConfigError, Deadlines, Insecure, Mirror, RegistryConfig, RetryPolicy};
pub use credentials::Credentials;
pub use download::Download;
pub use error::{Failure, RegistryError, Result};
pub use login::LoginAnswer;
pub use manifest::{FetchedManifest, ManifestHead};
pub use proxy::{Proxies, Proxy};
pub use refusal::{Refusal, RefusalEntry};
pub use repository::{Access, Repository, Selector};
pub use retry::{Notice, Notices};
pub use search::{SearchRequest, SearchResult};
pub use upload::{BlobSource, BlobUpload, OnUploaded, Pushed};
pub use url::{Scheme, Url, UrlError};

use session::Live;

/// All registries, as one configuration sees them. Clones are the same.
#[derive(Clone)]
pub struct Registry {
    live: Arc<RwLock<Arc<Live>>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("config", &self.live().config).finish()
    }
}

impl Registry {
    /// The client with a configuration. Opens nothing.
    #[must_use]
    pub fn new(config: RegistryConfig) -> Self {
        Self { live: Arc::new(RwLock::new(Arc::new(Live::new(config)))) }
    }

    /// Takes another configuration. What is going on goes on with the one before; connections and tokens are forgotten.
    pub fn reconfigure(&self, config: RegistryConfig) {
        let live = Arc::new(Live::new(config));
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// The repository that a reference names, as somebody sees it. Asks nobody yet.
    #[must_use]
    pub fn repository(
        &self,
        reference: &Reference,
        credentials: Option<Credentials>,
        access: Access,
    ) -> Repository {
        Repository::new(self.live(), reference, credentials, access)
    }

    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }
}
