//! Proves who asks: name and password, or tokens from the service that the registry names (distribution specification,
//! "token authentication"), kept until they expire.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::challenge::{self, Bearer, Challenge};
use crate::credentials::Credentials;
use crate::error::{Failure, RegistryError, Result};
use crate::hosts::{Endpoint, Role};
use crate::payload::Payload;
use crate::transport::{Answer, Downgrade, Request, Transport};
use crate::url::{Scheme, Url, encode};

/// What Docker calls itself to token services.
const CLIENT: &str = "docker";
/// "if omitted, this defaults to 60 seconds".
const DEFAULT_LIFE: u64 = 60;
const TOKEN_ANSWER: usize = 1 << 20;
const KEPT_TOKENS: usize = 1024;
const ROUNDS: u32 = 3;

/// Whether a challenge says something that was not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Novelty {
    New,
    Known,
}

/// Whether the token service shall give a refresh token for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offline {
    No,
    Wanted,
}

/// Whose token for what.
#[derive(Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    realm: String,
    service: String,
    scopes: Vec<String>,
    credentials: Credentials,
}

#[derive(Clone)]
struct Token {
    value: String,
    /// A tenth of its life before the service's own end.
    good_until: Instant,
}

/// What was learnt about who wants what; shared by all that is asked of a configuration.
#[derive(Default)]
pub(crate) struct Tokens {
    tokens: Mutex<HashMap<TokenKey, Token>>,
    /// By server: `scheme://host:port`.
    challenges: Mutex<HashMap<String, Vec<Challenge>>>,
}

impl Tokens {
    fn challenges(&self, server: &str) -> Vec<Challenge> {
        let known = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(server).cloned().unwrap_or_default()
    }

    fn good(&self, key: &TokenKey) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(key).filter(|token| token.good_until > Instant::now())?;
        Some(token.value.clone())
    }

    fn keep(&self, key: TokenKey, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        tokens.retain(|_, token| token.good_until > now);
        if tokens.len() >= KEPT_TOKENS {
            tokens.clear();
        }
        tokens.insert(key, token);
    }

    fn forget(&self, value: &str) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.value != value);
    }
}

/// The token service's answer; either name is used for the token.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    pub(crate) refresh_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl TokenAnswer {
    pub(crate) fn value(&self) -> &str {
        if self.token.is_empty() { &self.access_token } else { &self.token }
    }
}

/// Asks in somebody's name.
pub(crate) struct Asker {
    pub(crate) transport: Arc<Transport>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) credentials: Credentials,
    pub(crate) scopes: BTreeSet<String>,
    /// One token is fetched at a time: those who wait find it.
    gate: Semaphore,
}

impl Asker {
    pub(crate) fn new(
        transport: Arc<Transport>,
        tokens: Arc<Tokens>,
        credentials: Credentials,
        scopes: BTreeSet<String>,
    ) -> Self {
        Self { transport, tokens, credentials, scopes, gate: Semaphore::new(1) }
    }

    /// Sends a request to a server (or where its `Location` led), with what proves who asks. Any status is an answer,
    /// also 401 when there is nothing more to show.
    pub(crate) async fn ask(
        &self,
        endpoint: &Endpoint,
        request: Request,
        extra: &[String],
    ) -> Result<Answer> {
        let mut request = request;
        request.tls = endpoint.tls.clone();
        request.downgrade = endpoint.downgrade;
        let is_own = request.url.is_same_origin(&endpoint.base);
        if !is_own {
            return self.transport.send(request).await;
        }
        request.own_headers.extend(endpoint.headers.clone());
        let server = server_of(endpoint);
        // A challenge that is out of date, and a token that is: each costs one more try.
        for round in 0..ROUNDS {
            let authorization = self.authorization(endpoint, extra).await?;
            let spare = request.again();
            authorize(&mut request, authorization.as_deref());
            let (method, asked) = (request.method.clone(), request.url.clone());
            let answer = self.transport.send(request).await?;
            let is_theirs = answer.status == 401 && answer.url.is_same_origin(&endpoint.base);
            let challenges = challenge::parse(&answer.headers);
            let (Some(spare), true, false) = (spare, is_theirs, challenges.is_empty()) else {
                return Ok(answer);
            };
            let wants_basic = challenges.iter().all(|one| *one == Challenge::Basic);
            let novelty = self.learn(&server, challenges);
            let token = authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
            if let Some(token) = token {
                self.tokens.forget(token);
            }
            if wants_basic && self.credentials_for(endpoint).basic().is_none() {
                return Err(Failure::NoCredentials.on(&method, &asked));
            }
            let was_fresh = round > 0 || token.is_none();
            if authorization.is_some() && was_fresh && novelty == Novelty::Known
                || round + 1 == ROUNDS
            {
                return Ok(answer);
            }
            answer.discard().await;
            request = spare;
        }
        self.transport.send(request).await
    }

    /// The token that was refused is not shown again.
    pub(crate) fn forget_tokens(&self, endpoint: &Endpoint, extra: &[String]) {
        for challenge in self.tokens.challenges(&server_of(endpoint)) {
            if let Challenge::Bearer(bearer) = challenge {
                let key = self.key(endpoint, &bearer, extra);
                if let Some(value) = self.tokens.good(&key) {
                    self.tokens.forget(&value);
                }
            }
        }
    }

    /// Keeps a server's challenges.
    fn learn(&self, server: &str, challenges: Vec<Challenge>) -> Novelty {
        let mut known = self.tokens.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT_TOKENS {
            known.clear();
        }
        // What is wrong with this token, and the scope of this request, are not the server's nature.
        let lasting: Vec<Challenge> = challenges
            .into_iter()
            .map(|challenge| match challenge {
                Challenge::Basic => Challenge::Basic,
                Challenge::Bearer(bearer) => {
                    let scope = if self.scopes.is_empty() { bearer.scope } else { None };
                    Challenge::Bearer(Bearer {
                        scope,
                        error: None,
                        error_description: None,
                        ..bearer
                    })
                }
            })
            .collect();
        let before = known.insert(server.to_owned(), lasting.clone());
        if before == Some(lasting) { Novelty::Known } else { Novelty::New }
    }

    fn credentials_for(&self, endpoint: &Endpoint) -> Credentials {
        match endpoint.role {
            Role::Server => self.credentials.clone(),
            Role::Mirror => Credentials::default(),
        }
    }

    /// The header for a server as far as its wishes are known.
    async fn authorization(&self, endpoint: &Endpoint, extra: &[String]) -> Result<Option<String>> {
        let credentials = self.credentials_for(endpoint);
        if !credentials.registry_token.is_empty() {
            return Ok(Some(format!("Bearer {}", credentials.registry_token)));
        }
        let challenges = self.tokens.challenges(&server_of(endpoint));
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer(bearer) => Some(bearer),
            Challenge::Basic => None,
        });
        if let Some(bearer) = bearer {
            return self
                .token(endpoint, bearer, extra)
                .await
                .map(|token| Some(format!("Bearer {token}")));
        }
        let wants_basic = challenges.contains(&Challenge::Basic);
        Ok(credentials.basic().filter(|_| wants_basic).map(basic))
    }

    fn key(&self, endpoint: &Endpoint, bearer: &Bearer, extra: &[String]) -> TokenKey {
        let mut scopes = self.scopes.clone();
        scopes.extend(extra.iter().cloned());
        if scopes.is_empty() {
            scopes.extend(bearer.scope.clone());
        }
        TokenKey {
            realm: bearer.realm.clone(),
            service: bearer.service.clone(),
            scopes: scopes.into_iter().collect(),
            credentials: self.credentials_for(endpoint),
        }
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        bearer: &Bearer,
        extra: &[String],
    ) -> Result<String> {
        let key = self.key(endpoint, bearer, extra);
        if let Some(token) = self.tokens.good(&key) {
            return Ok(token);
        }
        // Never closed; a permit that is missing would only mean one fetch too many.
        let _permit = self.gate.acquire().await.ok();
        if let Some(token) = self.tokens.good(&key) {
            return Ok(token);
        }
        let wish = Wish {
            service: &key.service,
            scopes: &key.scopes,
            credentials: &key.credentials,
            offline: Offline::No,
        };
        let answer = fetch(&self.transport, endpoint, &bearer.realm, &wish).await?;
        let value = answer.value().to_owned();
        let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE).max(DEFAULT_LIFE));
        let good_until = Instant::now() + life.mul_f64(0.9);
        self.tokens.keep(key, Token { value: value.clone(), good_until });
        Ok(value)
    }
}

fn server_of(endpoint: &Endpoint) -> String {
    endpoint.base.join("/").map_or_else(|_| endpoint.base.to_string(), |url| url.to_string())
}

pub(crate) fn authorize(request: &mut Request, value: Option<&str>) {
    if let Some(mut value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        value.set_sensitive(true);
        request.own_headers.insert(header::AUTHORIZATION, value);
    }
}

pub(crate) fn basic((name, password): (&str, &str)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// What a token service is asked for.
pub(crate) struct Wish<'a> {
    pub(crate) service: &'a str,
    pub(crate) scopes: &'a [String],
    pub(crate) credentials: &'a Credentials,
    pub(crate) offline: Offline,
}

/// One token: by `POST` with a refresh token (OAuth 2.0), else by `GET`, as Docker does.
pub(crate) async fn fetch(
    transport: &Transport,
    endpoint: &Endpoint,
    realm: &str,
    wish: &Wish<'_>,
) -> Result<TokenAnswer> {
    let url: Url = endpoint.base.join(realm).map_err(|error| RegistryError::Answer {
        url: endpoint.base.to_string(),
        reason: format!("token service {realm:?}: {error}"),
    })?;
    let request = if wish.credentials.identity_token.is_empty() {
        by_get(url, wish)
    } else {
        by_post(url, wish)
    };
    let request = Request { tls: endpoint.tls.clone(), downgrade: endpoint.downgrade, ..request };
    let has_secrets = !wish.credentials.is_empty();
    let leaves_tls =
        endpoint.base.scheme() == Scheme::Https && request.url.scheme() == Scheme::Http;
    if has_secrets && leaves_tls && endpoint.downgrade == Downgrade::Refused {
        let shown = request.url.join("?").unwrap_or_else(|_| request.url.clone());
        return Err(Failure::TokenDowngrade(shown).on(&request.method, &request.url));
    }
    let method = request.method.clone();
    let mut answer = transport.send(request).await?;
    // Docker names what the token was for, not the token service.
    let wanted = endpoint.base.below("/");
    if !answer.status.is_success() {
        let refusal = answer.into_refusal().await;
        return Err(Failure::TokenRefused(refusal).on(&Method::GET, &wanted));
    }
    let useless = |text: &str| Failure::Token(text.to_owned()).on(&method, &wanted);
    let body = answer.bytes(TOKEN_ANSWER).await?;
    let token: TokenAnswer = serde_json::from_slice(&body)
        .map_err(|error| useless(&format!("unable to decode token response: {error}")))?;
    if token.value().is_empty() {
        return Err(useless("authorization server did not include a token in the response"));
    }
    if HeaderValue::from_str(token.value()).is_err() {
        return Err(useless("authorization server gave a token that fits in no header"));
    }
    Ok(token)
}

fn by_get(url: Url, wish: &Wish<'_>) -> Request {
    let mut url = url;
    if !wish.service.is_empty() {
        url = url.with_query("service", wish.service);
    }
    for scope in wish.scopes {
        url = url.with_query("scope", scope);
    }
    if wish.offline == Offline::Wanted {
        url = url.with_query("offline_token", "true").with_query("client_id", CLIENT);
    }
    let account = wish.credentials.basic();
    if let Some((name, _)) = account {
        url = url.with_query("account", name);
    }
    let mut request = Request::new(Method::GET, url);
    authorize(&mut request, account.map(basic).as_deref());
    request
}

fn by_post(url: Url, wish: &Wish<'_>) -> Request {
    let scope = wish.scopes.join(" ");
    let fields = [
        ("grant_type", "refresh_token"),
        ("service", wish.service),
        ("client_id", CLIENT),
        ("scope", &scope),
        ("refresh_token", &wish.credentials.identity_token),
    ];
    let form: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect();
    let mut request = Request::new(Method::POST, url);
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers.insert(header::CONTENT_TYPE, form_type);
    request.payload = Payload::Bytes(Bytes::from(form.join("&")));
    request
}
