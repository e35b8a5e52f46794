//! `/containers/{id}/archive`: files of a container, told of, taken out and put in.

use barge_api_types::PathStat;
use barge_engine::{Engine, ExtractOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method};

use super::images::{received, upload};
use crate::call::Call;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;

type Result = std::result::Result<Reply, ApiError>;

/// What carries a [`PathStat`].
const PATH_STAT: &str = "x-docker-container-path-stat";

pub(super) fn add(router: &mut Router<Engine>) {
    router.add(Method::HEAD, "/containers/{name}/archive", stat);
    router.get("/containers/{name}/archive", get);
    router.add(Method::PUT, "/containers/{name}/archive", put);
}

async fn stat(call: Call<Engine>) -> Result {
    let stat = call.state.containers.stat_path(&call.name, path(&call)?).await?;
    told(reply::ok(), &stat)
}

async fn get(call: Call<Engine>) -> Result {
    let (stat, archive) = call.state.containers.archive_path(&call.name, path(&call)?).await?;
    told(reply::stream("application/x-tar", received(archive)), &stat)
}

async fn put(call: Call<Engine>) -> Result {
    let options = ExtractOptions {
        path: path(&call)?,
        no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
        copy_uid_gid: call.query.flag("copyUIDGID"),
    };
    let (containers, name) = (std::sync::Arc::clone(&call.state.containers), call.name.clone());
    containers.extract(&name, (options, upload(call))).await?;
    Ok(reply::ok())
}

/// The path that is asked for.
fn path(call: &Call<Engine>) -> std::result::Result<String, ApiError> {
    // Docker's text, letter for letter.
    call.query.filled("path").ok_or_else(|| ApiError::invalid("bad parameter: pathcannot be empty"))
}

fn told(mut reply: Reply, stat: &PathStat) -> Result {
    let failed = |error: &dyn std::fmt::Display| {
        ApiError::new(barge_types::ErrorKind::System, format!("cannot write answer: {error}"))
    };
    let text = serde_json::to_vec(stat).map_err(|error| failed(&error))?;
    let value = HeaderValue::try_from(STANDARD.encode(text)).map_err(|error| failed(&error))?;
    reply.headers_mut().insert(PATH_STAT, value);
    Ok(reply)
}
