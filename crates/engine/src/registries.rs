//! Registries as the daemon is told to use them: which mirrors, which without TLS, how much at once.
//!
//! All of it but the proxies may change while the daemon runs; transfers under way end as they began.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use barge_api_types::{
    AuthResponse, FilterError, Filters, ImageSearchResult, IndexInfo, RegistryServiceConfig,
};
use barge_registry::{
    ConfigError, Credentials, Insecure, Mirror, Proxies, Registry, RegistryConfig, RetryPolicy,
    SearchRequest, SearchResult,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{EngineError, Result};

/// Where Docker's clients log in when they are not told where.
pub(crate) const INDEX_SERVER: &str = "https://index.docker.io/v1/";

/// These may always be spoken to without TLS, as in dockerd.
const LOOPBACK: [&str; 2] = ["::1/128", "127.0.0.0/8"];

/// Flags and configuration file, as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryOptions {
    /// `registry-mirrors`.
    pub mirrors: Vec<String>,
    /// `insecure-registries`.
    pub insecure: Vec<String>,
    /// `max-concurrent-downloads`: layers at once, of all pulls; 0 is no limit.
    pub downloads: u32,
    /// `max-concurrent-uploads`: layers at once, of all pushes; 0 is no limit.
    pub uploads: u32,
    /// `max-download-attempts`: how often a download is tried, at least once.
    pub attempts: u32,
    /// `http-proxy`; empty for none, as are the next two.
    pub http_proxy: String,
    /// `https-proxy`.
    pub https_proxy: String,
    /// `no-proxy`.
    pub no_proxy: String,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: Vec::new(),
            downloads: 3,
            uploads: 5,
            attempts: 5,
            http_proxy: String::new(),
            https_proxy: String::new(),
            no_proxy: String::new(),
        }
    }
}

impl RegistryOptions {
    /// The defaults with the proxies of the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let value = |name: &str| {
            let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            of(name).or_else(|| of(&name.to_ascii_lowercase())).unwrap_or_default()
        };
        Self {
            http_proxy: value("HTTP_PROXY"),
            https_proxy: value("HTTPS_PROXY"),
            no_proxy: value("NO_PROXY"),
            ..Self::default()
        }
    }

    /// Says what is wrong with them, naming the entry.
    pub fn check(&self) -> Result<()> {
        self.parse().map(|_| ())
    }

    fn parse(&self) -> Result<RegistryConfig> {
        let wrong = |error: ConfigError| EngineError::Invalid(error.to_string());
        let config = RegistryConfig {
            proxies: Proxies::parse(&self.http_proxy, &self.https_proxy, &self.no_proxy)
                .map_err(wrong)?,
            retry: RetryPolicy {
                retries: self.attempts.saturating_sub(1),
                ..RetryPolicy::default()
            },
            ..RegistryConfig::default()
        };
        let config = config.insecure(&self.insecure).map_err(wrong)?;
        config.mirrors(&self.mirrors).map_err(wrong)
    }

    /// As `info` shows it.
    pub(crate) fn view(&self) -> RegistryServiceConfig {
        let mut cidrs: Vec<String> = LOOPBACK.map(str::to_owned).to_vec();
        let mut indexes = BTreeMap::new();
        let mirrors: Vec<String> = self
            .mirrors
            .iter()
            .filter_map(|entry| Some(Mirror::parse(entry).ok()?.url().to_string()))
            .collect();
        for entry in &self.insecure {
            match Insecure::parse(entry) {
                Ok(Insecure::Network(network)) => cidrs.push(network.to_string()),
                Ok(Insecure::Name(name)) => {
                    indexes.insert(name.clone(), IndexInfo { name, ..IndexInfo::default() });
                }
                // Checked long ago.
                Err(_) => {}
            }
        }
        let hub = IndexInfo {
            name: "docker.io".to_owned(),
            mirrors: mirrors.clone(),
            secure: true,
            official: true,
        };
        indexes.insert(hub.name.clone(), hub);
        RegistryServiceConfig { insecure_registry_cidrs: cidrs, index_configs: indexes, mirrors }
    }

    /// Proxies for http, https and the exceptions, with nobody's password.
    pub(crate) fn proxies(&self) -> (String, String, String) {
        (masked(&self.http_proxy), masked(&self.https_proxy), self.no_proxy.clone())
    }
}

/// A URL with `xxxxx:xxxxx` for user and password, as dockerd writes it.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) if !scheme.is_empty() => format!("{scheme}://xxxxx:xxxxx@{host}{path}"),
        Some((_, host)) => format!("xxxxx:xxxxx@{host}{path}"),
        None => url.to_owned(),
    }
}

/// How many layers move at once. A new limit holds for those that begin after it was set.
#[derive(Debug)]
pub(crate) struct Slots(RwLock<Arc<Semaphore>>);

impl Slots {
    fn new(limit: u32) -> Self {
        Self(RwLock::new(semaphore(limit)))
    }

    fn set(&self, limit: u32) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = semaphore(limit);
    }

    /// A slot if there is a free one and nobody waits.
    pub(crate) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        self.current().try_acquire_owned().ok()
    }

    /// A slot, in the order of asking.
    pub(crate) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed, so there always is one.
        self.current().acquire_owned().await.ok()
    }

    fn current(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn semaphore(limit: u32) -> Arc<Semaphore> {
    let all = Semaphore::MAX_PERMITS;
    let limit = if limit == 0 { all } else { usize::try_from(limit).unwrap_or(all).min(all) };
    Arc::new(Semaphore::new(limit))
}

/// The service that speaks to registries.
#[derive(Debug)]
pub struct Registries {
    pub(crate) client: Registry,
    pub(crate) downloads: Slots,
    pub(crate) uploads: Slots,
    options: RwLock<RegistryOptions>,
}

impl Registries {
    pub(crate) fn new(options: &RegistryOptions) -> Result<Self> {
        Ok(Self {
            client: Registry::new(options.parse()?),
            downloads: Slots::new(options.downloads),
            uploads: Slots::new(options.uploads),
            options: RwLock::new(options.clone()),
        })
    }

    /// Uses other settings from now on; wrong ones change nothing.
    pub fn reconfigure(&self, options: &RegistryOptions) -> Result<()> {
        let config = options.parse()?;
        let mut current = self.options.write().unwrap_or_else(PoisonError::into_inner);
        self.client.reconfigure(config);
        if current.downloads != options.downloads {
            self.downloads.set(options.downloads);
        }
        if current.uploads != options.uploads {
            self.uploads.set(options.uploads);
        }
        current.clone_from(options);
        Ok(())
    }

    /// `POST /auth`: whether the registry takes these credentials. An empty address is Docker Hub's.
    pub async fn login(&self, address: &str, credentials: Credentials) -> Result<AuthResponse> {
        let answer = self.client.login(address, &credentials).await?;
        Ok(AuthResponse { identity_token: answer.identity_token, status: answer.status })
    }

    /// `GET /images/search`.
    pub async fn search(&self, options: SearchOptions) -> Result<Vec<ImageSearchResult>> {
        let SearchOptions { term, limit, filters, credentials } = options;
        let wanted = SearchFilters::parse(&filters)?;
        let limit = match limit {
            None => 0,
            Some(limit) => u32::try_from(limit)
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| {
                    EngineError::Invalid(format!("Limit {limit} is outside the range of [1, 100]"))
                })?,
        };
        let found = self.client.search(&SearchRequest { term, limit, credentials }).await?;
        Ok(found.into_iter().filter(|result| wanted.matches(result)).map(view).collect())
    }

    pub(crate) fn options(&self) -> RegistryOptions {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What to search.
#[derive(Clone, Debug, Default)]
pub struct SearchOptions {
    /// Words, perhaps with a registry in front.
    pub term: String,
    /// At most so many results, 1 to 100.
    pub limit: Option<i64>,
    /// `is-official`, `is-automated`, `stars`.
    pub filters: Filters,
    /// For the registry.
    pub credentials: Option<Credentials>,
}

/// The filters of a search, checked.
#[derive(Debug)]
struct SearchFilters {
    official: Option<bool>,
    automated: Option<bool>,
    stars: i64,
}

impl SearchFilters {
    fn parse(filters: &Filters) -> Result<Self> {
        let invalid = |error: FilterError| EngineError::Invalid(error.to_string());
        filters.check_keys(&["is-automated", "is-official", "stars"]).map_err(invalid)?;
        let mut stars = 0;
        for text in filters.values("stars") {
            let number: i64 = text
                .parse()
                .map_err(|_| EngineError::Invalid(format!("invalid filter 'stars=[{text}]'")))?;
            stars = stars.max(number);
        }
        Ok(Self {
            official: filters.flag("is-official").map_err(invalid)?,
            automated: filters.flag("is-automated").map_err(invalid)?,
            stars,
        })
    }

    fn matches(&self, result: &SearchResult) -> bool {
        self.official.is_none_or(|official| official == result.is_official)
            && self.automated.is_none_or(|automated| automated == result.is_automated)
            && result.star_count >= self.stars
    }
}

fn view(result: SearchResult) -> ImageSearchResult {
    ImageSearchResult {
        star_count: result.star_count,
        is_official: result.is_official,
        name: result.name,
        is_automated: result.is_automated,
        description: result.description,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let options = RegistryOptions {
            http_proxy: "http://me:secret@proxy:3128/x".into(),
            https_proxy: "me:secret@proxy".into(),
            no_proxy: "a,b".into(),
            ..RegistryOptions::default()
        };
        let (http, https, exceptions) = options.proxies();
        assert_eq!(http, "http://xxxxx:xxxxx@proxy:3128/x");
        assert_eq!((https.as_str(), exceptions.as_str()), ("xxxxx:xxxxx@proxy", "a,b"));
        assert_eq!(masked("http://proxy"), "http://proxy");
    }

    #[test]
    fn wrong_entries_are_named_and_change_nothing() {
        let wrong = RegistryOptions { insecure: vec!["a/b".into()], ..RegistryOptions::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("a/b"));
        let registries = Registries::new(&RegistryOptions::default()).unwrap();
        assert!(registries.reconfigure(&wrong).is_err());
        assert_eq!(registries.options(), RegistryOptions::default());
    }

    #[test]
    fn info_has_the_hub_the_loopback_and_what_was_said() {
        let options = RegistryOptions {
            mirrors: vec!["https://mirror.example/".into()],
            insecure: vec!["reg.example:5000".into(), "10.0.0.0/8".into()],
            ..RegistryOptions::default()
        };
        let view = options.view();
        assert_eq!(view.insecure_registry_cidrs, ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]);
        assert_eq!(view.mirrors, ["https://mirror.example/"]);
        assert!(view.index_configs["docker.io"].official);
        assert!(!view.index_configs["reg.example:5000"].secure);
    }

    #[tokio::test]
    async fn a_new_limit_holds_for_those_that_come() {
        let slots = Slots::new(1);
        let first = slots.take().await.unwrap();
        assert!(slots.try_take().is_none());
        slots.set(0);
        let more: Vec<_> = (0..100).map(|_| slots.try_take().unwrap()).collect();
        drop((first, more));
    }
}
