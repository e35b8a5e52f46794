//! One request: its path, its body, and the shape of the answer.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{RequestBody, Upload};
use crate::connection::{Client, Lent, Transport};
use crate::error::{ClientError, Result};
use crate::hijack::Hijacked;
use crate::query::Path;
use crate::stream::ByteStream;
use crate::version::ApiVersion;

/// As Docker's client names itself, with our name.
const AGENT: &str = concat!("Barge-Client/", env!("CARGO_PKG_VERSION"), " (linux)");

/// The body of an error.
#[derive(serde::Deserialize)]
struct ErrorBody {
    message: String,
}

/// A request being put together; sent by the method that names the wanted answer.
#[must_use = "a request does nothing until an answer is asked for"]
pub(crate) struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: Path,
    body: RequestBody,
    content_type: Option<&'static str>,
    headers: Vec<(&'static str, HeaderValue)>,
}

impl Client {
    pub(crate) fn get(&self, path: Path) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: Path) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn delete(&self, path: Path) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    pub(crate) fn head(&self, path: Path) -> Call<'_> {
        self.call(Method::HEAD, path)
    }

    pub(crate) fn put(&self, path: Path) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    fn call(&self, method: Method, path: Path) -> Call<'_> {
        Call {
            client: self,
            method,
            path,
            body: RequestBody::Empty,
            content_type: None,
            headers: Vec::new(),
        }
    }
}

impl Call<'_> {
    /// Sends a document along.
    pub(crate) fn json(mut self, value: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_vec(value).map_err(ClientError::decode("request"))?;
        self.body = RequestBody::Whole(Bytes::from(text));
        self.content_type = Some("application/json");
        Ok(self)
    }

    /// Sends an archive along.
    pub(crate) fn upload(mut self, upload: Upload) -> Self {
        self.body = RequestBody::Stream(upload);
        self.content_type = Some("application/x-tar");
        self
    }

    /// Sends a header along: a name in lower case, and a value.
    pub(crate) fn header(mut self, (name, value): (&'static str, &str)) -> Result<Self> {
        let mut value = HeaderValue::from_str(value).map_err(|source| ClientError::Request {
            path: self.path.as_str().to_owned(),
            source: source.into(),
        })?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(self)
    }

    /// The answer as the daemon wrote it.
    pub(crate) async fn bytes(self) -> Result<Bytes> {
        let client = self.client;
        let lent = self.send(None).await?;
        client.read(lent).await
    }

    /// The answer, understood.
    pub(crate) async fn decode<T: DeserializeOwned>(self, what: &'static str) -> Result<T> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(ClientError::decode(what))
    }

    /// No more than that it was done.
    pub(crate) async fn done(self) -> Result<()> {
        self.bytes().await.map(drop)
    }

    /// The answer as it comes.
    pub(crate) async fn stream(self) -> Result<ByteStream> {
        let lent = self.send(None).await?;
        Ok(ByteStream::new(lent))
    }

    /// The answer's head; its body is read when it is there.
    pub(crate) async fn begin(self) -> Result<Lent> {
        self.send(None).await
    }

    /// The connection itself, once the daemon has switched it to a stream.
    pub(crate) async fn hijack(self) -> Result<Hijacked> {
        let lent = self.send(Some("tcp")).await?;
        let status = lent.response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ClientError::NotHijacked { status });
        }
        let content_type = lent
            .response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let upgraded = hyper::upgrade::on(lent.response)
            .await
            .map_err(ClientError::transport("switch to a stream with"))?;
        let parts = upgraded
            .downcast::<TokioIo<Transport>>()
            .map_err(|_| ClientError::NotHijacked { status })?;
        Ok(Hijacked::new(parts.io.into_inner(), parts.read_buf, content_type))
    }

    async fn send(mut self, upgrade: Option<&'static str>) -> Result<Lent> {
        if matches!(self.body, RequestBody::Stream(_)) {
            // It goes out once only.
            self.client.agree().await?;
        }
        let repeated = self.body.again();
        let body = std::mem::replace(&mut self.body, RequestBody::Empty);
        let lent = self.attempt(body, upgrade).await?;
        let status = lent.response.status();
        if !status.is_client_error() && !status.is_server_error() {
            self.client.agreed.settle(self.client.agreed.get());
            return Ok(lent);
        }
        let refused = refusal(status, &self.client.read(lent).await?);
        let older = match (&refused, self.client.agreed.is_settled()) {
            (ClientError::Daemon { message, .. }, false) => ApiVersion::of_refusal(message),
            (_, _) => None,
        };
        let (Some(older), Some(body)) = (older, repeated) else {
            return Err(refused);
        };
        self.client.agreed.settle(older);
        let lent = self.attempt(body, upgrade).await?;
        let status = lent.response.status();
        if status.is_client_error() || status.is_server_error() {
            let body = self.client.read(lent).await?;
            return Err(refusal(status, &body));
        }
        Ok(lent)
    }

    /// Sends it, and waits for the answer's head.
    async fn attempt(&self, body: RequestBody, upgrade: Option<&'static str>) -> Result<Lent> {
        let uri = format!("/v{}{}", self.client.agreed.get(), self.path.as_str());
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&uri)
            .header(HOST, HeaderValue::from_static("api.barge.localhost"))
            .header(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(protocol) = upgrade {
            request = request
                .header(CONNECTION, HeaderValue::from_static("Upgrade"))
                .header(UPGRADE, HeaderValue::from_static(protocol));
        }
        if let Some(content_type) = self.content_type {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in &self.headers {
            request = request.header(HeaderName::from_static(name), value);
        }
        let request =
            request.body(body).map_err(|source| ClientError::Request { path: uri, source })?;
        self.client.send(request).await
    }
}

impl Client {
    /// The version that both sides speak; asks the daemon if that is not known yet.
    pub async fn agree(&self) -> Result<ApiVersion> {
        if !self.agreed.is_settled() {
            let theirs = self.ping().await?;
            // A daemon that does not tell has always been asked for ours.
            self.agreed.settle(ApiVersion::NEWEST.min(theirs.unwrap_or(ApiVersion::NEWEST)));
        }
        Ok(self.agreed.get())
    }

    /// Asks whether there is a daemon that answers, and for the newest version that it speaks.
    pub async fn ping(&self) -> Result<Option<ApiVersion>> {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/_ping")
            .header(HOST, HeaderValue::from_static("api.barge.localhost"))
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .body(RequestBody::Empty)
            .map_err(|source| ClientError::Request { path: "/_ping".to_owned(), source })?;
        let lent = self.send(request).await?;
        let theirs = lent.response.headers().get("api-version");
        let theirs = theirs.and_then(|value| value.to_str().ok()).and_then(ApiVersion::parse);
        self.read(lent).await?;
        Ok(theirs)
    }

    /// Reads an answer to its end and keeps the connection.
    pub(crate) async fn read(&self, lent: Lent) -> Result<Bytes> {
        let body = lent
            .response
            .into_body()
            .collect()
            .await
            .map_err(ClientError::unfinished(self.host()))?
            .to_bytes();
        self.give_back(lent.sender);
        Ok(body)
    }
}

/// The daemon's own words when it has any.
fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    let message = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.message,
        Err(_) if body.is_empty() => status.to_string(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    ClientError::Daemon { status, message }
}
