//! Endpoints of Docker's that barge knows and does not serve yet: a clear answer instead of "page not found".

use barge_types::ErrorKind;
use http::{Method, StatusCode};

use crate::reply;
use crate::router::Router;
use crate::status::ApiError;

const BUILDKIT: &str = "building with BuildKit";
const PLUGINS: &str = "managing plugins";

/// Method, path, what it would be for.
const LATER: [(Method, &str, &str); 10] = [
    (Method::GET, "/containers/{name}/checkpoints", "managing checkpoints"),
    (Method::POST, "/containers/{name}/checkpoints", "managing checkpoints"),
    (Method::POST, "/session", BUILDKIT),
    (Method::POST, "/grpc", BUILDKIT),
    (Method::POST, "/networks/create", "managing user-defined networks"),
    (Method::POST, "/networks/{name}/connect", "managing user-defined networks"),
    (Method::POST, "/networks/{name}/disconnect", "managing user-defined networks"),
    (Method::GET, "/plugins/privileges", PLUGINS),
    (Method::POST, "/plugins/pull", PLUGINS),
    (Method::POST, "/plugins/create", PLUGINS),
];

pub(crate) fn add<S: Clone + Send + Sync + 'static>(router: &mut Router<S>) {
    for (method, pattern, what) in LATER {
        router.add(method, pattern, move |_| async move {
            Err(ApiError::not_implemented(format!(
                "{what} is not supported by this version of barge"
            )))
        });
    }
    // There are no plugins, and that can be said.
    router.get("/plugins", |_| async { reply::json(StatusCode::OK, &[(); 0]) });
    router.get("/plugins/{name}/json", |call| async move { Err(no_plugin(&call.name)) });
    router.delete("/plugins/{name}", |call| async move { Err(no_plugin(&call.name)) });
    for pattern in [
        "/plugins/{name}/enable",
        "/plugins/{name}/disable",
        "/plugins/{name}/upgrade",
        "/plugins/{name}/push",
        "/plugins/{name}/set",
    ] {
        router.post(pattern, |call| async move { Err(no_plugin(&call.name)) });
    }
}

fn no_plugin(name: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("plugin \"{name}\" not found"))
}
