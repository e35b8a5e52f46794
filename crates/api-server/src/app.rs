//! One request in, one answer out: version, route, headers, errors.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, header};
use hyper::body::Incoming;

use barge_api_types::API_VERSION;
use barge_types::ErrorKind;

use crate::call::Call;
use crate::query::percent_decode;
use crate::reply::{self, ErrorForm, Reply};
use crate::request_body::RequestBody;
use crate::router::Router;
use crate::status::ApiError;
use crate::version::{self, ApiVersion};

/// What answers requests: the routes and what they work on.
pub(crate) struct App<S> {
    router: Router<S>,
    state: S,
    server: HeaderValue,
}

impl<S: Clone + Send + Sync + 'static> App<S> {
    pub(crate) fn new(state: S, router: Router<S>) -> Self {
        let server = format!("Barge/{} (linux)", env!("CARGO_PKG_VERSION"));
        let server = HeaderValue::try_from(server).unwrap_or(HeaderValue::from_static("Barge"));
        Self { router, state, server }
    }

    /// Answers one request; an error becomes its answer and is logged here.
    pub(crate) async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        let request = request.map(RequestBody::new);
        let Some(path) = percent_decode(request.uri().path()) else {
            let error = ApiError::invalid("invalid escape in the path of the URL");
            return reply::error(&error, ErrorForm::Json);
        };
        let (version, path) = version::split(&path);
        if request.method() == Method::OPTIONS {
            return self.with_headers(reply::ok());
        }
        let Some((handler, name)) = self.router.find(request.method(), path) else {
            return reply::page_not_found();
        };
        let form =
            if ApiVersion::has_json_errors(version) { ErrorForm::Json } else { ErrorForm::Text };
        let line = format!("{} {}", request.method(), request.uri().path());
        let result = match ApiVersion::negotiate(version) {
            Ok(version) => {
                tracing::debug!("Calling {line}");
                match Call::new(self.state.clone(), name.to_owned(), version, request) {
                    Ok(call) => handler(call).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(ApiError::invalid(error.to_string())),
        };
        let reply = result.unwrap_or_else(|error| {
            log(&line, &error);
            reply::error(&error, form)
        });
        self.with_headers(reply)
    }

    fn with_headers(&self, mut reply: Reply) -> Reply {
        let headers = reply.headers_mut();
        headers.insert("api-version", HeaderValue::from_static(API_VERSION));
        headers.insert("ostype", HeaderValue::from_static("linux"));
        headers.insert(header::SERVER, self.server.clone());
        reply
    }
}

/// What the client did wrong is the client's to read; what went wrong here belongs into the log.
fn log(line: &str, error: &ApiError) {
    match error.kind() {
        ErrorKind::System | ErrorKind::Deadline => {
            tracing::error!("Handler for {line} returned error: {error}");
        }
        ErrorKind::NotFound
        | ErrorKind::InvalidParameter
        | ErrorKind::Conflict
        | ErrorKind::NotModified
        | ErrorKind::Unauthorized
        | ErrorKind::Forbidden
        | ErrorKind::Unavailable
        | ErrorKind::NotImplemented
        | ErrorKind::Cancelled => tracing::debug!("Handler for {line} returned error: {error}"),
    }
}
