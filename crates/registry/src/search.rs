//! Search, by the one endpoint of the old registry protocol that lives on: `GET /v1/search`.

use barge_types::Reference;
use http::{HeaderValue, Method};
use serde::Deserialize;

use crate::Registry;
use crate::auth;
use crate::credentials::Credentials;
use crate::error::{RegistryError, Result};
use crate::hosts::{Endpoint, Role};
use crate::session::Session;
use crate::transport::Request;
use crate::url::Url;

/// Docker's limit where none is said.
const DEFAULT_LIMIT: u32 = 25;
const ANSWER: usize = 4 << 20;
/// Who answers searches for docker.io.
const INDEX: &str = "https://index.docker.io/";

/// What is searched.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// Words, or `host/words` for another registry than docker.io.
    pub term: String,
    /// At most so many results, 1 to 100; 0 means 25.
    pub limit: u32,
    /// In whose name.
    pub credentials: Option<Credentials>,
}

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SearchResult {
    /// As people write it, without the registry.
    #[serde(default)]
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// How many like it.
    #[serde(default)]
    pub star_count: i64,
    /// Curated by Docker.
    #[serde(default)]
    pub is_official: bool,
    /// Built by the registry.
    #[serde(default)]
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    results: Vec<SearchResult>,
}

impl Registry {
    /// Searches a registry for repositories.
    pub async fn search(&self, request: &SearchRequest) -> Result<Vec<SearchResult>> {
        if request.limit > 100 {
            return Err(RegistryError::SearchLimit(request.limit));
        }
        if request.term.contains("://") {
            return Err(RegistryError::SearchTerm(request.term.clone()));
        }
        let (host, words) = split(&request.term);
        let credentials = request.credentials.clone().unwrap_or_default();
        let session =
            Session::new(self.live(), &host, credentials.clone(), std::iter::empty().collect());
        let limit = if request.limit == 0 { DEFAULT_LIMIT } else { request.limit };
        let mut last = None;
        for endpoint in session.own_endpoints().await? {
            match self.search_at(&endpoint, (&words, limit), &credentials).await {
                Ok(results) => return Ok(results),
                Err(error) if error.is_before_connection() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(RegistryError::NoHost { host, capability: "resolve" }))
    }

    async fn search_at(
        &self,
        endpoint: &Endpoint,
        (words, limit): (&str, u32),
        credentials: &Credentials,
    ) -> Result<Vec<SearchResult>> {
        let is_hub =
            endpoint.role == Role::Server && endpoint.root.host() == "registry-1.docker.io";
        let index: Option<Url> = is_hub.then(|| INDEX.parse().ok()).flatten();
        let root = index.unwrap_or_else(|| endpoint.root.clone());
        let url =
            root.below("v1/search").with_query("q", words).with_query("n", &limit.to_string());
        let mut request = Request::new(Method::GET, url);
        request.tls = endpoint.tls.clone();
        request.downgrade = endpoint.downgrade;
        request.own_headers = endpoint.headers.clone();
        request.own_headers.insert("x-docker-token", HeaderValue::from_static("true"));
        let basic = credentials.basic().map(auth::basic);
        auth::authorize(&mut request, basic.as_deref());
        let mut answer = self.live().transport.send(request).await?;
        if answer.status != 200 {
            return Err(RegistryError::SearchStatus(answer.status));
        }
        let body = answer.bytes(ANSWER).await?;
        let found: Results = serde_json::from_slice(&body)
            .map_err(|error| answer.useless(format!("search results were expected: {error}")))?;
        Ok(found.results)
    }
}

/// `host/words` → both. What begins with `library/` or has no host is docker.io's.
fn split(term: &str) -> (String, String) {
    let named = term.split_once('/').and_then(|(first, rest)| {
        let reference: Reference = format!("{first}/x").parse().ok()?;
        (reference.domain() == first).then(|| (first.to_owned(), rest.to_owned()))
    });
    named.unwrap_or_else(|| {
        let words =
            term.strip_prefix("docker.io/").or_else(|| term.strip_prefix("index.docker.io/"));
        let words = words.unwrap_or(term);
        ("docker.io".to_owned(), words.strip_prefix("library/").unwrap_or(words).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        for (term, host, words) in [
            ("debian", "docker.io", "debian"),
            ("library/debian", "docker.io", "debian"),
            ("docker.io/a/b", "docker.io", "a/b"),
            ("user/app", "docker.io", "user/app"),
            ("reg:5000/app", "reg:5000", "app"),
            ("two words", "docker.io", "two words"),
        ] {
            assert_eq!(split(term), (host.to_owned(), words.to_owned()), "{term}");
        }
    }
}
