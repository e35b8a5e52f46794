//! One request on its way through a handler.

use http::{HeaderMap, Request};
use hyper::upgrade::OnUpgrade;
use serde::de::DeserializeOwned;

use crate::body::{self, Json};
use crate::query::Query;
use crate::request_body::RequestBody;
use crate::status::ApiError;
use crate::version::ApiVersion;

/// The process that a connection comes from, as the kernel noted it when it was made (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) i32);

/// A request: the state it works on, what the path's wildcard stands for, and the rest.
pub(crate) struct Call<S> {
    /// What the handlers work on: the engine.
    pub(crate) state: S,
    /// What the wildcard stands for; empty without one.
    pub(crate) name: String,
    /// The query.
    pub(crate) query: Query,
    /// The API that the client speaks.
    pub(crate) version: ApiVersion,
    request: Request<RequestBody>,
}

impl<S> Call<S> {
    pub(crate) fn new(
        state: S,
        name: String,
        version: ApiVersion,
        request: Request<RequestBody>,
    ) -> Result<Self, ApiError> {
        let query = Query::parse(request.uri().query().unwrap_or_default())?;
        Ok(Self { state, name, query, version, request })
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The client's process, over a unix socket; 0 when it is in a namespace that this one does not see.
    pub(crate) fn peer(&self) -> Option<i32> {
        self.request.extensions().get::<Peer>().map(|peer| peer.0)
    }

    /// The JSON body.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<Json<T>, ApiError> {
        let headers = std::mem::take(self.request.headers_mut());
        let value = body::json(&headers, self.request.body_mut()).await;
        *self.request.headers_mut() = headers;
        value
    }

    /// The body as it comes.
    pub(crate) fn into_body(self) -> RequestBody {
        self.request.into_body()
    }

    /// The connection itself, once the answer `101` is sent.
    pub(crate) fn upgrade(&mut self) -> OnUpgrade {
        hyper::upgrade::on(&mut self.request)
    }
}
