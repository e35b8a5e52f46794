//! `/containers/…`.

use barge_api_types::{
    ContainerConfig, ContainerCreateRequest, ContainerUpdateRequest, ContainerUpdateResponse,
};
use barge_engine::{
    AttachOptions, Attached, Engine, ListOptions, LogStream, LogsOptions, RemoveOptions, Size,
    Started, StatsMode, StatsStream, StopOptions, Stopped, WaitCondition,
};
use barge_types::ErrorKind;
use bytes::Bytes;
use futures_util::future::FutureExt as _;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{StatusCode, header};

use crate::body::Json;
use crate::call::Call;
use crate::detach_keys::DetachKeys;
use crate::hijack::{Hijack, Output, Session};
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;
use crate::version::ApiVersion;
use crate::websocket::WebSocket;

type Result = std::result::Result<Reply, ApiError>;

/// Since then a signal may be named at stop and restart.
const SIGNAL_SINCE: ApiVersion = ApiVersion::new(1, 42);
/// Since then one sample may be had at once.
const ONE_SHOT_SINCE: ApiVersion = ApiVersion::new(1, 41);
/// Since then a websocket's client says which streams it wants; before, it had all of them.
const CHOICE_SINCE: ApiVersion = ApiVersion::new(1, 42);
/// Since then a wait may be for something else than the end.
const CONDITION_SINCE: ApiVersion = ApiVersion::new(1, 30);

pub(super) fn add(router: &mut Router<Engine>) {
    router.get("/containers/json", list);
    router.get("/containers/{name}/json", inspect);
    router.get("/containers/{name}/top", top);
    router.get("/containers/{name}/changes", changes);
    router.get("/containers/{name}/export", export);
    router.get("/containers/{name}/logs", logs);
    router.get("/containers/{name}/stats", stats);
    router.get("/containers/{name}/attach/ws", attach_websocket);
    router.post("/containers/create", create);
    router.post("/containers/prune", prune);
    router.post("/containers/{name}/start", start);
    router.post("/containers/{name}/stop", stop);
    router.post("/containers/{name}/restart", restart);
    router.post("/containers/{name}/kill", kill);
    router.post("/containers/{name}/pause", pause);
    router.post("/containers/{name}/unpause", unpause);
    router.post("/containers/{name}/rename", rename);
    router.post("/containers/{name}/update", update);
    router.get("/containers/{name}/request", origin);
    router.post("/containers/{name}/resize", resize);
    router.post("/containers/{name}/wait", wait);
    router.post("/containers/{name}/attach", attach);
    router.delete("/containers/{name}", remove);
}

async fn list(call: Call<Engine>) -> Result {
    let options = ListOptions {
        all: call.query.flag("all"),
        limit: call.query.number("limit")?,
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    reply::json(StatusCode::OK, &call.state.containers.list(options).await?)
}

async fn create(mut call: Call<Engine>) -> Result {
    let Json::Value(request) = call.json::<ContainerCreateRequest>().await? else {
        return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
    };
    if request.config == ContainerConfig::default() {
        return Err(ApiError::invalid("config cannot be empty in order to create a container"));
    }
    let name = call.query.filled("name");
    let platform = call.query.filled("platform");
    let response = call.state.containers.create(name, platform, request).await?;
    reply::json(StatusCode::CREATED, &response)
}

async fn inspect(call: Call<Engine>) -> Result {
    let size = if call.query.flag("size") { Size::Include } else { Size::Omit };
    reply::json(StatusCode::OK, &call.state.containers.inspect(&call.name, size).await?)
}

async fn changes(call: Call<Engine>) -> Result {
    let changes = call.state.containers.changes(&call.name).await?;
    // As Go writes a list that was never made.
    reply::json(StatusCode::OK, &Some(changes).filter(|changes| !changes.is_empty()))
}

async fn export(call: Call<Engine>) -> Result {
    let archive = call.state.containers.export(&call.name).await?;
    Ok(reply::stream("application/octet-stream", super::images::received(archive)))
}

async fn stats(call: Call<Engine>) -> Result {
    let is_stream = call.query.flag_or("stream", true);
    let is_one_shot = call.version >= ONE_SHOT_SINCE && call.query.flag("one-shot");
    let mode = match (is_stream, is_one_shot) {
        (true, true) => {
            return Err(ApiError::invalid("cannot have stream=true and one-shot=true"));
        }
        (true, false) => StatsMode::Stream,
        (false, false) => StatsMode::Once,
        (false, true) => StatsMode::OneShot,
    };
    let mut samples = call.state.containers.stats(&call.name, mode).await?;
    if is_stream {
        return Ok(reply::follow("application/json", sample_lines(samples)));
    }
    match samples.next().await {
        Some(sample) => reply::json(StatusCode::OK, &sample?),
        None => {
            Err(ApiError::new(ErrorKind::NotFound, format!("No such container: {}", call.name)))
        }
    }
}

/// A line for each sample; one that cannot be had ends them.
fn sample_lines(samples: StatsStream) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    stream::unfold(samples, |mut samples| async {
        let sample = samples.next().await?.ok()?;
        let mut line = serde_json::to_vec(&sample).ok()?;
        line.push(b'\n');
        Some((Ok(Bytes::from(line)), samples))
    })
}

async fn start(call: Call<Engine>) -> Result {
    // What Docker allows for is an empty JSON document.
    let length = call.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let is_long = length.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > 7);
    if is_long || call.headers().contains_key(header::TRANSFER_ENCODING) {
        return Err(ApiError::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    Ok(match call.state.containers.start(&call.name).await? {
        Started::Now => reply::no_content(),
        Started::AlreadyRunning => reply::empty(StatusCode::NOT_MODIFIED),
    })
}

fn stop_options(call: &Call<Engine>) -> std::result::Result<StopOptions, ApiError> {
    let signal = if call.version >= SIGNAL_SINCE { call.query.filled("signal") } else { None };
    Ok(StopOptions { signal, timeout: call.query.number("t")? })
}

async fn stop(call: Call<Engine>) -> Result {
    let options = stop_options(&call)?;
    Ok(match call.state.containers.stop(&call.name, options).await? {
        Stopped::Now => reply::no_content(),
        Stopped::AlreadyStopped => reply::empty(StatusCode::NOT_MODIFIED),
    })
}

async fn restart(call: Call<Engine>) -> Result {
    let options = stop_options(&call)?;
    call.state.containers.restart(&call.name, options).await?;
    Ok(reply::no_content())
}

async fn kill(call: Call<Engine>) -> Result {
    let signal = call.query.filled("signal");
    call.state.containers.kill(&call.name, signal.as_deref()).await?;
    Ok(reply::no_content())
}

async fn pause(call: Call<Engine>) -> Result {
    call.state.containers.pause(&call.name).await?;
    Ok(reply::no_content())
}

async fn unpause(call: Call<Engine>) -> Result {
    call.state.containers.unpause(&call.name).await?;
    Ok(reply::no_content())
}

async fn rename(call: Call<Engine>) -> Result {
    call.state.containers.rename(&call.name, call.query.text("name")).await?;
    Ok(reply::no_content())
}

async fn remove(call: Call<Engine>) -> Result {
    let options = RemoveOptions {
        force: call.query.flag("force"),
        volumes: call.query.flag("v"),
        link: call.query.flag("link"),
    };
    call.state.containers.remove(&call.name, options).await?;
    Ok(reply::no_content())
}

async fn prune(call: Call<Engine>) -> Result {
    let filters = call.query.filters()?;
    reply::json(StatusCode::OK, &call.state.containers.prune(filters).await?)
}

async fn top(call: Call<Engine>) -> Result {
    let arguments = call.query.text("ps_args");
    reply::json(StatusCode::OK, &call.state.containers.top(&call.name, arguments).await?)
}

/// Height and width of a terminal.
pub(super) fn console_size(call: &Call<Engine>) -> std::result::Result<(u16, u16), ApiError> {
    let side = |key: &str, what: &str| {
        call.query.text(key).parse().map_err(|_| {
            ApiError::invalid(format!("invalid resize {what} \"{}\"", call.query.text(key)))
        })
    };
    Ok((side("h", "height")?, side("w", "width")?))
}

async fn update(mut call: Call<Engine>) -> Result {
    let Json::Value(request) = call.json::<ContainerUpdateRequest>().await? else {
        return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
    };
    let warnings = call.state.containers.update(&call.name, request).await?;
    reply::json(StatusCode::OK, &ContainerUpdateResponse { warnings })
}

async fn origin(call: Call<Engine>) -> Result {
    reply::json(StatusCode::OK, &call.state.containers.origin(&call.name).await?)
}

async fn resize(call: Call<Engine>) -> Result {
    let (height, width) = console_size(&call)?;
    call.state.containers.resize(&call.name, height, width).await?;
    Ok(reply::ok())
}

async fn wait(call: Call<Engine>) -> Result {
    let condition = if call.version >= CONDITION_SINCE {
        call.query.text("condition").parse::<WaitCondition>()?
    } else {
        WaitCondition::NotRunning
    };
    let waiter = call.state.containers.wait(&call.name, condition).await?;
    // The head goes out at once: the client starts the container only when the wait stands.
    let result = stream::once(async move {
        let mut line = serde_json::to_vec(&waiter.result().await)?;
        line.push(b'\n');
        Ok(Bytes::from(line))
    });
    Ok(reply::follow("application/json", result))
}

async fn logs(call: Call<Engine>) -> Result {
    let query = &call.query;
    let options = LogsOptions {
        follow: query.flag("follow"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        since: query.filled("since"),
        until: query.filled("until"),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        tail: query.filled("tail"),
    };
    let logs = call.state.containers.logs(&call.name, options).await?;
    let output = if logs.tty { Output::Raw } else { Output::Multiplexed };
    Ok(reply::follow(output.content_type(call.version), chunks(logs)))
}

fn chunks(logs: LogStream) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::unfold(logs, |mut logs| async move { logs.next().await.map(|chunk| (chunk, logs)) })
}

fn attach_options(
    call: &Call<Engine>,
) -> std::result::Result<(AttachOptions, DetachKeys), ApiError> {
    let query = &call.query;
    let keys = query.text("detachKeys");
    let options = AttachOptions {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        detach_keys: keys.to_owned(),
    };
    let keys = DetachKeys::parse(keys)
        .map_err(|_| ApiError::invalid(format!("Invalid detach keys ({keys}) provided")))?;
    Ok((options, keys))
}

async fn attach_websocket(mut call: Call<Engine>) -> Result {
    let (mut options, keys) = attach_options(&call)?;
    if call.version < CHOICE_SINCE {
        (options.stdin, options.stdout, options.stderr) = (true, true, true);
    }
    let socket = WebSocket::prepare(&mut call)?;
    let attached = call.state.containers.attach(&call.name, options).await?;
    Ok(socket.start(session(attached, keys)))
}

async fn attach(mut call: Call<Engine>) -> Result {
    let (options, keys) = attach_options(&call)?;
    let hijack = Hijack::prepare(&mut call)?;
    let attached = call.state.containers.attach(&call.name, options).await?;
    Ok(hijack.start(session(attached, keys)))
}

/// What joins a connection to an attachment; only a terminal has detach keys.
pub(super) fn session(attached: Attached, keys: DetachKeys) -> Session {
    Session {
        replay: attached.replay.map(|logs| chunks(logs).boxed()),
        container: attached.stream,
        end: attached.end.map(|end| end.recorded().boxed()),
        output: if attached.tty { Output::Raw } else { Output::Multiplexed },
        detach: attached.tty.then_some(keys),
        leaving: attached
            .leaving
            .map(|leaving| -> Box<dyn FnOnce() + Send> { Box::new(move || leaving.tell()) }),
    }
}
