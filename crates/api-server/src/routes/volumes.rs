//! `/volumes/…`.

use barge_api_types::VolumeCreateRequest;
use barge_engine::{Engine, Missing};
use http::StatusCode;

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::router::Router;
use crate::status::ApiError;
use crate::version::ApiVersion;

type Result = std::result::Result<Reply, ApiError>;

/// Before then a prune took volumes that somebody had named, too.
const NAMED_STAY_SINCE: ApiVersion = ApiVersion::new(1, 42);

pub(super) fn add(router: &mut Router<Engine>) {
    router.get("/volumes", list);
    router.post("/volumes/create", create);
    router.post("/volumes/prune", prune);
    router.get("/volumes/{name}", inspect);
    router.delete("/volumes/{name}", remove);
}

async fn list(call: Call<Engine>) -> Result {
    let filters = call.query.filters()?;
    reply::json(StatusCode::OK, &call.state.volumes.list(filters).await?)
}

async fn create(mut call: Call<Engine>) -> Result {
    let request = call.json::<VolumeCreateRequest>().await?.or_default();
    reply::json(StatusCode::CREATED, &call.state.volumes.create(request).await?)
}

async fn inspect(call: Call<Engine>) -> Result {
    reply::json(StatusCode::OK, &call.state.volumes.inspect(&call.name).await?)
}

async fn remove(call: Call<Engine>) -> Result {
    let missing = if call.query.flag("force") { Missing::Ignore } else { Missing::Refuse };
    call.state.volumes.remove(&call.name, missing).await?;
    Ok(reply::no_content())
}

async fn prune(call: Call<Engine>) -> Result {
    let mut filters = call.query.filters()?;
    if call.version < NAMED_STAY_SINCE {
        filters.add("all", "true");
    }
    reply::json(StatusCode::OK, &call.state.volumes.prune(filters).await?)
}
