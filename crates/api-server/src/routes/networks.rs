//! `/networks/…`.

use barge_engine::Engine;
use barge_types::ErrorKind;
use http::StatusCode;

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;

type Result = std::result::Result<Reply, ApiError>;

pub(super) fn add(router: &mut Router<Engine>) {
    router.get("/networks", list);
    router.get("/networks/", list);
    router.get("/networks/{name}", inspect);
    router.post("/networks/prune", prune);
    router.delete("/networks/{name}", remove);
}

async fn list(call: Call<Engine>) -> Result {
    let filters = call.query.filters()?;
    reply::json(StatusCode::OK, &call.state.networks.list(filters).await?)
}

async fn inspect(call: Call<Engine>) -> Result {
    reply::json(StatusCode::OK, &call.state.networks.inspect(&call.name).await?)
}

async fn prune(call: Call<Engine>) -> Result {
    let filters = call.query.filters()?;
    reply::json(StatusCode::OK, &call.state.networks.prune(filters).await?)
}

/// Those that there are cannot be removed; others there are none yet.
async fn remove(call: Call<Engine>) -> Result {
    let network = call.state.networks.inspect(&call.name).await?;
    let text = format!("{} is a pre-defined network and cannot be removed", network.name);
    Err(ApiError::new(ErrorKind::Forbidden, text))
}
