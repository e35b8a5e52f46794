//! Swarm: a barge host is not a node of one, which is a state that Docker's clients know.

use barge_types::ErrorKind;
use http::Method;

use crate::router::Router;
use crate::status::ApiError;

/// dockerd's words.
const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
const NO_NODE: &str = "This node is not part of a swarm";

/// What only a manager answers.
const OF_MANAGERS: [(Method, &str); 28] = [
    (Method::GET, "/swarm"),
    (Method::POST, "/swarm/update"),
    (Method::GET, "/swarm/unlockkey"),
    (Method::POST, "/swarm/unlock"),
    (Method::GET, "/nodes"),
    (Method::GET, "/nodes/{name}"),
    (Method::DELETE, "/nodes/{name}"),
    (Method::POST, "/nodes/{name}/update"),
    (Method::GET, "/services"),
    (Method::POST, "/services/create"),
    (Method::GET, "/services/{name}/logs"),
    (Method::GET, "/services/{name}"),
    (Method::DELETE, "/services/{name}"),
    (Method::POST, "/services/{name}/update"),
    (Method::GET, "/tasks"),
    (Method::GET, "/tasks/{name}/logs"),
    (Method::GET, "/tasks/{name}"),
    (Method::GET, "/secrets"),
    (Method::POST, "/secrets/create"),
    (Method::GET, "/secrets/{name}"),
    (Method::DELETE, "/secrets/{name}"),
    (Method::POST, "/secrets/{name}/update"),
    (Method::GET, "/configs"),
    (Method::POST, "/configs/create"),
    (Method::GET, "/configs/{name}"),
    (Method::DELETE, "/configs/{name}"),
    (Method::POST, "/configs/{name}/update"),
    (Method::PUT, "/volumes/{name}"),
];

pub(crate) fn add<S: Clone + Send + Sync + 'static>(router: &mut Router<S>) {
    for (method, pattern) in OF_MANAGERS {
        router.add(method, pattern, |_| async {
            Err(ApiError::new(ErrorKind::Unavailable, NO_MANAGER))
        });
    }
    router.post("/swarm/leave", |_| async { Err(ApiError::new(ErrorKind::Unavailable, NO_NODE)) });
    for pattern in ["/swarm/init", "/swarm/join"] {
        router.post(pattern, |_| async {
            Err(ApiError::not_implemented("swarm mode is not supported by barge"))
        });
    }
}
