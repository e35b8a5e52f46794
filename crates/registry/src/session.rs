//! All that is asked of one repository (or of a registry as such): which server, in whose name, how often.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::OnceCell;

use crate::auth::{Asker, Tokens};
use crate::config::RegistryConfig;
use crate::credentials::Credentials;
use crate::error::{Failure, RegistryError, Result};
use crate::hosts::{self, Capability, Endpoint, Role};
use crate::payload::Payload;
use crate::retry::{Notices, Retrying};
use crate::transport::{Answer, Downgrade, Request, Transport};
use crate::url::{Scheme, Url};

/// A configuration and everything that hangs on it; a reload makes a new one.
pub(crate) struct Live {
    pub(crate) config: RegistryConfig,
    pub(crate) transport: Arc<Transport>,
    pub(crate) tokens: Arc<Tokens>,
}

impl Live {
    pub(crate) fn new(config: RegistryConfig) -> Self {
        let transport = Arc::new(Transport::new(&config));
        Self { config, transport, tokens: Arc::default() }
    }
}

/// A request that may go to any of the servers, and may be tried again.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Below the endpoint's base, with the repository.
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
    pub(crate) capability: Capability,
    /// Other statuses are refusals.
    pub(crate) accepts: &'static [u16],
    /// Scopes that only this needs.
    pub(crate) scopes: Vec<String>,
}

impl Ask {
    pub(crate) fn new(
        method: Method,
        path: String,
        capability: Capability,
        accepts: &'static [u16],
    ) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            headers: HeaderMap::new(),
            payload: Bytes::new(),
            capability,
            accepts,
            scopes: Vec::new(),
        }
    }

    fn request(&self, endpoint: &Endpoint) -> Request {
        let mut url = endpoint.base.below(&self.path);
        for (key, value) in &self.query {
            url = url.with_query(key, value);
        }
        if let Some(namespace) = &endpoint.namespace {
            url = url.with_query("ns", namespace);
        }
        let mut request = Request::new(self.method.clone(), url);
        request.headers = self.headers.clone();
        request.payload = Payload::Bytes(self.payload.clone());
        request
    }
}

/// An answer with its whole body.
pub(crate) struct Fetched {
    pub(crate) answer: Answer,
    pub(crate) body: Bytes,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// A server and whether it was there the last time.
struct Way {
    endpoint: Arc<Endpoint>,
    is_down: AtomicBool,
}

/// See the module.
pub(crate) struct Session {
    pub(crate) live: Arc<Live>,
    pub(crate) asker: Asker,
    /// The registry as references name it.
    host: String,
    ways: OnceCell<Vec<Way>>,
    has_answered: AtomicBool,
}

impl Session {
    pub(crate) fn new(
        live: Arc<Live>,
        host: &str,
        credentials: Credentials,
        scopes: BTreeSet<String>,
    ) -> Self {
        let (transport, tokens) = (Arc::clone(&live.transport), Arc::clone(&live.tokens));
        Self {
            asker: Asker::new(transport, tokens, credentials, scopes),
            live,
            host: host.to_owned(),
            ways: OnceCell::new(),
            has_answered: AtomicBool::new(false),
        }
    }

    pub(crate) fn retrying(&self, notices: &Notices) -> Retrying {
        Retrying::new(self.live.config.retry.clone(), notices.clone())
    }

    async fn ways(&self) -> Result<&Vec<Way>> {
        self.ways
            .get_or_try_init(|| async {
                let endpoints = hosts::endpoints(&self.live.config, &self.host).await?;
                let way = |endpoint| Way { endpoint: Arc::new(endpoint), is_down: false.into() };
                Ok(endpoints.into_iter().map(way).collect())
            })
            .await
    }

    /// The servers for something, those that did not answer last.
    async fn ways_to(&self, capability: Capability) -> Result<Vec<&Way>> {
        let mut ways: Vec<&Way> =
            self.ways().await?.iter().filter(|way| way.endpoint.can(capability)).collect();
        if ways.is_empty() {
            let host = self.host.clone();
            return Err(RegistryError::NoHost { host, capability: capability.name() });
        }
        ways.sort_by_key(|way| way.is_down.load(Ordering::Relaxed));
        Ok(ways)
    }

    /// The registry's own servers: mirrors are not logged in to and not searched.
    pub(crate) async fn own_endpoints(&self) -> Result<Vec<Arc<Endpoint>>> {
        let ways = self.ways().await?.iter().filter(|way| way.endpoint.role == Role::Server);
        Ok(ways.map(|way| Arc::clone(&way.endpoint)).collect())
    }

    /// One try with each server until one has what is wanted.
    pub(crate) async fn ask_once(&self, ask: &Ask) -> Result<(Answer, Arc<Endpoint>)> {
        let mut last = None;
        for way in self.ways_to(ask.capability).await? {
            match self.ask_endpoint(&way.endpoint, ask).await {
                Ok(answer) => {
                    way.is_down.store(false, Ordering::Relaxed);
                    return Ok((answer, Arc::clone(&way.endpoint)));
                }
                Err(error) => {
                    let is_down = error.is_before_connection();
                    way.is_down.store(is_down, Ordering::Relaxed);
                    if !is_down && way.endpoint.role == Role::Server {
                        return Err(error);
                    }
                    tracing::debug!(error = error.chain(), base = %way.endpoint.base, "next server");
                    last = Some(error);
                }
            }
        }
        let host = self.host.clone();
        Err(last.unwrap_or(RegistryError::NoHost { host, capability: ask.capability.name() }))
    }

    async fn ask_endpoint(&self, endpoint: &Endpoint, ask: &Ask) -> Result<Answer> {
        let answer = self.asker.ask(endpoint, ask.request(endpoint), &ask.scopes).await?;
        self.has_answered.store(true, Ordering::Relaxed);
        accepted(answer, ask.accepts).await
    }

    /// Asks a server that is none of the registry's, in nobody's name. Its words are not shown: who made the image may
    /// have named a server that talks to this machine alone.
    pub(crate) async fn ask_elsewhere(&self, url: &Url, ask: &Ask) -> Result<Answer> {
        let way = hosts::elsewhere(&self.live.config, url).await?;
        let mut request = Request::new(ask.method.clone(), url.clone());
        request.headers = ask.headers.clone();
        request.tls = way.tls;
        request.downgrade = way.downgrade;
        if url.scheme() == Scheme::Http && way.downgrade == Downgrade::Refused {
            return Err(Failure::Plain.on(&request.method, url));
        }
        let answer = self.live.transport.send(request).await?;
        if ask.accepts.contains(&answer.status.as_u16()) {
            return Ok(answer);
        }
        Err(RegistryError::Elsewhere { url: url.to_string(), status: answer.status })
    }

    /// As [`Session::ask_once`], again and again while there is hope.
    pub(crate) async fn ask(
        &self,
        ask: &Ask,
        notices: &Notices,
    ) -> Result<(Answer, Arc<Endpoint>)> {
        let mut retrying = self.retrying(notices);
        loop {
            match self.ask_once(ask).await {
                Ok(found) => return Ok(found),
                Err(error) => self.after(error, &mut retrying).await?,
            }
        }
    }

    /// As [`Session::ask`], with the whole body.
    pub(crate) async fn fetch(
        &self,
        ask: &Ask,
        limit: usize,
        notices: &Notices,
    ) -> Result<Fetched> {
        let mut retrying = self.retrying(notices);
        loop {
            let tried = async {
                let (mut answer, endpoint) = self.ask_once(ask).await?;
                match answer.bytes(limit).await {
                    Ok(body) => Ok(Fetched { answer, body, endpoint }),
                    Err(error) => {
                        self.put_mirror_last(&endpoint).await?;
                        Err(error)
                    }
                }
            };
            match tried.await {
                Ok(found) => return Ok(found),
                Err(error) => self.after(error, &mut retrying).await?,
            }
        }
    }

    /// A mirror that did not keep what its answer's head promised is asked after the others the next time.
    pub(crate) async fn put_mirror_last(&self, endpoint: &Arc<Endpoint>) -> Result<()> {
        let mirrors = self.ways().await?.iter().filter(|way| way.endpoint.role == Role::Mirror);
        for way in mirrors.filter(|way| Arc::ptr_eq(&way.endpoint, endpoint)) {
            way.is_down.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A server that never answered is not waited for: its name may be wrong.
    pub(crate) async fn after(&self, error: RegistryError, retrying: &mut Retrying) -> Result<()> {
        if error.is_before_connection() && !self.has_answered.load(Ordering::Relaxed) {
            return Err(error);
        }
        retrying.after(error).await
    }
}

/// The answer, or the refusal that it is.
pub(crate) async fn accepted(answer: Answer, accepts: &[u16]) -> Result<Answer> {
    if accepts.contains(&answer.status.as_u16()) {
        return Ok(answer);
    }
    if answer.status == StatusCode::NOT_MODIFIED || answer.status.is_success() {
        let text = format!("unexpected status {}", answer.status);
        return Err(answer.useless(text));
    }
    Err(RegistryError::Refused(answer.into_refusal().await))
}
