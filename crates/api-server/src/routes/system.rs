//! `/_ping`, `/version`, `/info`, `/events`, `/system/df`.

use barge_engine::{DiskKind, Engine, EventStream, EventsOptions};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;

type Result = std::result::Result<Reply, ApiError>;

pub(super) fn add(router: &mut Router<Engine>) {
    router.get("/_ping", ping);
    router.add(Method::HEAD, "/_ping", ping);
    router.get("/version", version);
    router.get("/info", info);
    router.get("/events", events);
    router.get("/system/df", disk_usage);
}

/// What clients learn before anything else. Builder 1 is the classic one: without it docker's client would look for
/// BuildKit behind `/grpc`.
async fn ping(_: Call<Engine>) -> Result {
    let mut reply = reply::text("OK");
    let headers = reply.headers_mut();
    for (name, value) in [
        ("builder-version", "1"),
        ("docker-experimental", "false"),
        ("swarm", "inactive"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("pragma", "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(reply)
}

async fn version(call: Call<Engine>) -> Result {
    reply::json(StatusCode::OK, &call.state.system.version())
}

async fn info(call: Call<Engine>) -> Result {
    reply::json(StatusCode::OK, &call.state.system.info().await?)
}

async fn disk_usage(call: Call<Engine>) -> Result {
    let words = call.query.all("type");
    let kinds = words.iter().map(|word| {
        DiskKind::parse(word)
            .ok_or_else(|| ApiError::invalid(format!("unknown object type: {word}")))
    });
    let mut kinds = kinds.collect::<std::result::Result<Vec<DiskKind>, ApiError>>()?;
    if kinds.is_empty() {
        kinds.extend(DiskKind::ALL);
    }
    let mut usage = call.state.system.disk_usage(&kinds).await?;
    for image in usage.images.iter_mut().flatten() {
        super::images::suit(image, call.version);
    }
    reply::json(StatusCode::OK, &usage)
}

async fn events(call: Call<Engine>) -> Result {
    let options = EventsOptions {
        since: call.query.filled("since"),
        until: call.query.filled("until"),
        filters: call.query.filters()?,
    };
    let form = EventForm::choose(call.headers());
    let events = call.state.events.subscribe(options)?;
    Ok(reply::follow(form.content_type(), lines(events, form)))
}

/// How events are set apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventForm {
    /// A line each, under the name that clients of before 1.52 expect.
    Json,
    /// A line each, `application/x-ndjson`.
    NdJson,
    /// A line each, `application/jsonl`.
    JsonLines,
    /// RFC 7464: each behind a record separator.
    JsonSequence,
}

impl EventForm {
    fn choose(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let kinds = accept.unwrap_or_default().split(',');
        let mut kinds = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let found = kinds.find_map(|kind| match kind {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" => Some(Self::NdJson),
            "application/jsonl" => Some(Self::JsonLines),
            "application/json-seq" => Some(Self::JsonSequence),
            _ => None,
        });
        found.unwrap_or(Self::Json)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::JsonLines => "application/jsonl",
            Self::JsonSequence => "application/json-seq",
        }
    }
}

fn lines(
    events: EventStream,
    form: EventForm,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::unfold(events, move |mut events| async move {
        let event = events.next().await?;
        let mut line = if form == EventForm::JsonSequence { vec![0x1e] } else { Vec::new() };
        let written = serde_json::to_writer(&mut line, &event);
        line.push(b'\n');
        Some((written.map(|()| Bytes::from(line)).map_err(Into::into), events))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_events_is_what_the_client_accepts() {
        let choose = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            EventForm::choose(&headers)
        };
        assert_eq!(EventForm::choose(&HeaderMap::new()), EventForm::Json);
        assert_eq!(choose("*/*"), EventForm::Json);
        assert_eq!(choose("application/jsonl, application/json-seq;q=0.5"), EventForm::JsonLines);
        assert_eq!(choose("text/html, application/json-seq"), EventForm::JsonSequence);
    }
}
