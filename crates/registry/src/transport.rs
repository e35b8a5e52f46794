//! One request, one answer: connections that are kept, redirects, deadlines. Knows nothing of registries.
//!
//! Connections are not limited in number: how many are asked for at once is the caller's choice
//! (`max-concurrent-downloads`), and a limit here could make a stream that waits for another one wait for ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::config::{Deadlines, RegistryConfig};
use crate::connect::{self, Route};
use crate::error::{Failure, RegistryError, Result};
use crate::payload::{Payload, Sent};
use crate::pool::{Kind, Lent, Pool};
use crate::proxy::Proxies;
use crate::refusal::Refusal;
use crate::tls::{TlsClient, TlsClients, TlsSettings};
use crate::url::{Scheme, Url};

const REDIRECTS: usize = 10;
/// No more of an error's body is read.
const REFUSAL: usize = 64 << 10;

/// Whether a redirect may leave TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Downgrade {
    Refused,
    Allowed,
}

/// What is asked.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Only for this server: `Authorization`, and what `hosts.toml` adds. Redirects to others go without.
    pub(crate) own_headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) tls: TlsSettings,
    pub(crate) downgrade: Downgrade,
    /// How long the answer's head may take after the request's end.
    pub(crate) answer_within: Option<Duration>,
}

impl Request {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            own_headers: HeaderMap::new(),
            payload: Payload::empty(),
            tls: TlsSettings::default(),
            downgrade: Downgrade::Refused,
            answer_within: None,
        }
    }

    /// The same once more, where the payload can be had again.
    pub(crate) fn again(&self) -> Option<Self> {
        Some(Self {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            own_headers: self.own_headers.clone(),
            payload: self.payload.again()?,
            tls: self.tls.clone(),
            downgrade: self.downgrade,
            answer_within: self.answer_within,
        })
    }
}

/// The answer's head, and its body as it comes.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Who answered in the end.
    pub(crate) url: Url,
    pub(crate) method: Method,
    body: Incoming,
    silence: Duration,
    connection: Option<Lent>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// A header's text.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The next bytes of the body; none at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes>> {
        loop {
            let frame = match timeout(self.silence, self.body.frame()).await {
                Ok(None) => {
                    if let Some(connection) = self.connection.take() {
                        connection.give_back();
                    }
                    return None;
                }
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    return Some(Err(self.failed(Failure::of_connection(error))));
                }
                Err(_) => {
                    let what = "no byte came";
                    return Some(Err(self.failed(Failure::Stalled { what, after: self.silence })));
                }
            };
            if let Ok(bytes) = frame.into_data() {
                return Some(Ok(bytes));
            }
        }
    }

    fn failed(&mut self, failure: Failure) -> RegistryError {
        self.connection = None;
        failure.on(&self.method, &self.url)
    }

    /// The whole body, which may not be longer than `limit`.
    pub(crate) async fn bytes(&mut self, limit: usize) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > limit {
                return Err(RegistryError::Answer {
                    url: self.url.to_string(),
                    reason: format!("its body is longer than {limit} bytes"),
                });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// Reads what is left when it is little, so that the connection can be used again.
    pub(crate) async fn discard(mut self) {
        let mut left = REFUSAL;
        while let Some(Ok(chunk)) = self.chunk().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    }

    /// An answer that says no.
    pub(crate) async fn into_refusal(mut self) -> Refusal {
        let mut body = Vec::new();
        while let Some(Ok(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL - body.len())]);
            if body.len() >= REFUSAL {
                break;
            }
        }
        Refusal::new(self.status, &self.headers, &body)
    }

    /// An answer that this crate cannot use.
    pub(crate) fn useless(&self, reason: impl Into<String>) -> RegistryError {
        RegistryError::Answer { url: self.url.to_string(), reason: reason.into() }
    }
}

/// Sends requests.
pub(crate) struct Transport {
    pool: Arc<Pool>,
    tls: TlsClients,
    proxies: Proxies,
    deadlines: Deadlines,
    user_agent: String,
}

impl Transport {
    pub(crate) fn new(config: &RegistryConfig) -> Self {
        Self {
            pool: Arc::default(),
            tls: TlsClients::default(),
            proxies: config.proxies.clone(),
            deadlines: config.deadlines.clone(),
            user_agent: config.user_agent.clone(),
        }
    }

    /// Sends a request and follows where the answer leads. Any status is an answer.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer> {
        let mut request = request;
        for _ in 0..=REDIRECTS {
            let next = request.again();
            let (method, url) = (request.method.clone(), request.url.clone());
            let answer =
                self.send_once(request).await.map_err(|failure| failure.on(&method, &url))?;
            let target = match (redirect_target(&answer), next) {
                (Some(target), Some(next)) => {
                    let target = target.map_err(|failure| failure.on(&method, &url))?;
                    redirected(next, &answer, target)
                        .map_err(|failure| failure.on(&method, &url))?
                }
                (None, _) | (_, None) => return Ok(answer),
            };
            answer.discard().await;
            request = target;
        }
        Err(Failure::Redirects(REDIRECTS).on(&request.method, &request.url))
    }

    async fn send_once(&self, request: Request) -> std::result::Result<Answer, Failure> {
        let tls = match self.tls.client(&request.tls) {
            Ok(tls) => tls,
            Err(error) => return Err(Failure::Settings(Box::new(error))),
        };
        let proxy = self.proxies.for_url(&request.url);
        let kind = Kind {
            scheme: request.url.scheme(),
            host_and_port: request.url.host_and_port(),
            tls: tls.number,
            proxy: proxy.map(|proxy| proxy.url.to_string()),
        };
        let mut request = request;
        while let Some(mut sender) = self.pool.take(&kind) {
            // One that was closed while nobody used it costs nothing, whatever is to be sent.
            if !matches!(timeout(self.deadlines.connect, sender.ready()).await, Ok(Ok(()))) {
                continue;
            }
            let spare = request.again();
            match self.exchange(request, sender, kind.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Broken { failure: Failure::Closed(_), request: Some(unsent) }) => {
                    request = *unsent;
                }
                // The server may have closed a connection that nobody used; asking again changes nothing.
                Err(Broken { failure: Failure::Closed(error), request: None }) => match spare {
                    Some(spare) if spare.method.is_safe() => request = spare,
                    _ => return Err(Failure::Closed(error)),
                },
                Err(Broken { failure, .. }) => return Err(failure),
            }
        }
        let sender = self.connect(&request.url, &tls).await?;
        self.exchange(request, sender, kind).await.map_err(|broken| broken.failure)
    }

    async fn connect(
        &self,
        url: &Url,
        tls: &TlsClient,
    ) -> std::result::Result<SendRequest<Payload>, Failure> {
        let proxy = self.proxies.for_url(url);
        let proxy_tls = match proxy.filter(|proxy| proxy.url.scheme() == Scheme::Https) {
            Some(_) => {
                let usual = self.tls.client(&TlsSettings::default());
                usual.map_err(|error| Failure::Settings(Box::new(error)))?
            }
            None => tls.clone(),
        };
        let route = Route { url, proxy, tls, proxy_tls: &proxy_tls };
        let stream = connect::connect(route, self.deadlines.connect).await?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Failure::of_connection)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a registry");
            }
        });
        Ok(sender)
    }

    async fn exchange(
        &self,
        request: Request,
        mut sender: SendRequest<Payload>,
        kind: Kind,
    ) -> std::result::Result<Answer, Broken> {
        let sent = match &request.payload {
            Payload::Bytes(_) => None,
            Payload::Upload(upload) => Some((Arc::clone(&upload.sent), upload.size)),
        };
        let answer_within = request.answer_within.unwrap_or(self.deadlines.answer);
        let wire = self.wire(&request).map_err(Failure::Invalid)?;
        let Request { method, url, headers, own_headers, payload, tls, downgrade, .. } = request;
        let wire = wire.map(|()| payload);
        let exchange = async {
            sender.ready().await.map_err(|error| Broken {
                failure: Failure::of_connection(error),
                request: None,
            })?;
            sender.try_send_request(wire).await.map_err(|mut error| {
                let unsent = error.take_message().map(|message| {
                    let payload = message.into_body();
                    let (method, url) = (method.clone(), url.clone());
                    let (headers, own_headers) = (headers.clone(), own_headers.clone());
                    let (tls, answer_within) = (tls.clone(), Some(answer_within));
                    Box::new(Request {
                        method,
                        url,
                        headers,
                        own_headers,
                        payload,
                        tls,
                        downgrade,
                        answer_within,
                    })
                });
                Broken { failure: Failure::of_connection(error.into_error()), request: unsent }
            })
        };
        let response = self.watched(exchange, sent, answer_within).await?;
        let (parts, body) = response.into_parts();
        let connection = Some(Lent { sender, kind, pool: Arc::clone(&self.pool) });
        let silence = self.deadlines.silence;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            url,
            method,
            body,
            silence,
            connection,
        })
    }

    /// Waits for the head of the answer as long as the body goes out.
    async fn watched<T>(
        &self,
        exchange: impl Future<Output = std::result::Result<T, Broken>>,
        sent: Option<(Arc<Sent>, u64)>,
        answer_within: Duration,
    ) -> std::result::Result<T, Broken> {
        let mut exchange = std::pin::pin!(exchange);
        loop {
            let before = sent.as_ref().map(|(sent, _)| sent.bytes());
            let is_sending = sent.as_ref().is_some_and(|(sent, size)| sent.bytes() < *size);
            let limit = if is_sending { self.deadlines.silence } else { answer_within };
            if let Ok(result) = timeout(limit, &mut exchange).await {
                return result;
            }
            if sent.as_ref().map(|(sent, _)| sent.bytes()) == before {
                let what = if is_sending { "no byte was taken" } else { "no answer" };
                return Err(Failure::Stalled { what, after: limit }.into());
            }
        }
    }

    fn wire(&self, request: &Request) -> std::result::Result<http::Request<()>, http::Error> {
        let proxy =
            self.proxies.for_url(&request.url).filter(|_| request.url.scheme() == Scheme::Http);
        let target = match proxy {
            Some(_) => request.url.to_string(),
            None => request.url.target().to_owned(),
        };
        let mut wire = http::Request::builder().method(&request.method).uri(target).body(())?;
        let headers = wire.headers_mut();
        headers.extend(request.headers.clone());
        headers.extend(request.own_headers.clone());
        headers.insert(header::HOST, HeaderValue::from_str(&request.url.authority())?);
        headers.insert(header::USER_AGENT, HeaderValue::from_str(&self.user_agent)?);
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.as_deref()) {
            headers.insert(header::PROXY_AUTHORIZATION, HeaderValue::from_str(authorization)?);
        }
        if request.payload.size() == 0 && !request.method.is_safe() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(wire)
    }
}

/// An exchange that brought no answer, and the request if nothing of it went out.
struct Broken {
    failure: Failure,
    request: Option<Box<Request>>,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { failure, request: None }
    }
}

fn redirect_target(answer: &Answer) -> Option<std::result::Result<Url, Failure>> {
    let follows = match answer.status.as_u16() {
        301..=303 => answer.method.is_safe(),
        307 | 308 => true,
        _ => false,
    };
    follows.then(|| {
        let location = answer.header(header::LOCATION).ok_or(Failure::NoLocation)?;
        answer.url.join(location).map_err(Failure::Location)
    })
}

/// The request that follows a redirect: what is meant for one server alone does not go to another.
fn redirected(
    mut request: Request,
    answer: &Answer,
    target: Url,
) -> std::result::Result<Request, Failure> {
    let leaves_tls = answer.url.scheme() == Scheme::Https && target.scheme() == Scheme::Http;
    if leaves_tls && request.downgrade == Downgrade::Refused {
        return Err(Failure::Downgrade(target));
    }
    if !answer.url.is_same_origin(&target) {
        request.own_headers.clear();
        request.tls.client = None;
    }
    request.url = target;
    Ok(request)
}
