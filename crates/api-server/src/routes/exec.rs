//! `/exec/…`, and `/containers/{name}/exec`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use barge_api_types::{ExecCreateRequest, ExecStartRequest};
use barge_engine::{Engine, ExecStarted};
use http::StatusCode;

use super::containers::{console_size, session};
use crate::call::Call;
use crate::detach_keys::DetachKeys;
use crate::hijack::Hijack;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;

type Result = std::result::Result<Reply, ApiError>;

pub(super) fn add(router: &mut Router<Engine>) {
    router.post("/containers/{name}/exec", create);
    router.post("/exec/{name}/start", start);
    router.post("/exec/{name}/resize", resize);
    router.get("/exec/{name}/json", inspect);
}

async fn create(mut call: Call<Engine>) -> Result {
    let request = call.json::<ExecCreateRequest>().await?.or_default();
    parse_keys(&request.detach_keys)?;
    let response = call.state.containers.exec_create(&call.name, request).await?;
    reply::json(StatusCode::CREATED, &response)
}

async fn start(mut call: Call<Engine>) -> Result {
    let request = call.json::<ExecStartRequest>().await?.or_default();
    // Before the process is started, so that none runs whose output nobody can get.
    let hijack = if request.detach { None } else { Some(Hijack::prepare(&mut call)?) };
    let started = call.state.containers.exec_start(&call.name, request).await?;
    match (started, hijack) {
        (ExecStarted::Attached(attached), Some(hijack)) => {
            let keys = parse_keys(&attached.detach_keys)?;
            Ok(hijack.start(session(attached, keys)))
        }
        (ExecStarted::Detached | ExecStarted::Attached(_), _) => Ok(reply::ok()),
    }
}

fn parse_keys(keys: &str) -> std::result::Result<DetachKeys, ApiError> {
    DetachKeys::parse(keys)
        .map_err(|_| ApiError::invalid(format!("Invalid escape keys ({keys}) provided")))
}

async fn resize(call: Call<Engine>) -> Result {
    let (height, width) = console_size(&call)?;
    call.state.containers.exec_resize(&call.name, height, width).await?;
    Ok(reply::ok())
}

async fn inspect(call: Call<Engine>) -> Result {
    let mut exec = call.state.containers.exec_inspect(&call.name).await?;
    if !exec.detach_keys.is_empty() {
        // As dockerd shows them: the bytes themselves.
        exec.detach_keys = STANDARD.encode(parse_keys(&exec.detach_keys)?.bytes());
    }
    reply::json(StatusCode::OK, &exec)
}
