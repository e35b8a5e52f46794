//! One request: its path, its body, and the shape of the answer.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
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

    fn call(&self, method: Method, path: Path) -> Call<'_> {
        Call { client: self, method, path, body: RequestBody::Empty, content_type: None }
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

    async fn send(self, upgrade: Option<&'static str>) -> Result<Lent> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path.as_str())
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
        let request = request.body(self.body).map_err(|source| ClientError::Request {
            path: self.path.as_str().to_owned(),
            source,
        })?;
        let lent = self.client.send(request).await?;
        let status = lent.response.status();
        if status.is_client_error() || status.is_server_error() {
            let body = self.client.read(lent).await?;
            return Err(refusal(status, &body));
        }
        Ok(lent)
    }
}

impl Client {
    /// Reads an answer to its end and keeps the connection.
    pub(crate) async fn read(&self, lent: Lent) -> Result<Bytes> {
        let body = lent
            .response
            .into_body()
            .collect()
            .await
            .map_err(ClientError::transport("read from"))?
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
