//! Endpoints that are answered without an engine.

use super::Server;
use crate::router::Router;
use crate::routes::{later, swarm};

async fn server() -> Server {
    let mut router = Router::<()>::default();
    swarm::add(&mut router);
    later::add(&mut router);
    Server::start(router).await
}

#[tokio::test]
async fn what_comes_later_says_so() {
    let server = server().await;
    for line in [
        "POST /v1.51/session",
        "GET /containers/x/checkpoints",
        "POST /grpc",
        "POST /networks/create",
    ] {
        let answer = server.ask(&format!("{line} HTTP/1.1\r\nHost: d\r\n\r\n")).await;
        assert_eq!(answer.status(), "501 Not Implemented", "{line}");
        assert!(answer.text().contains("is not supported by this version of barge"), "{line}");
    }
    server.stop().await;
}

#[tokio::test]
async fn swarm_is_answered_in_dockers_words() {
    let server = server().await;
    for line in ["GET /v1.51/services", "GET /nodes/x", "GET /swarm", "PUT /volumes/x"] {
        let answer = server.ask(&format!("{line} HTTP/1.1\r\nHost: d\r\n\r\n")).await;
        assert_eq!(answer.status(), "503 Service Unavailable", "{line}");
        assert!(
            answer.text().starts_with(
                "{\"message\":\"This node is not a swarm manager. Use \\\"docker swarm init\\\""
            ),
            "{}",
            answer.text()
        );
    }
    let answer = server.ask("POST /swarm/leave HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(answer.text(), "{\"message\":\"This node is not part of a swarm\"}\n");
    server.stop().await;
}

#[tokio::test]
async fn there_are_no_plugins() {
    let server = server().await;
    let answer = server.ask("GET /v1.51/plugins HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text()), ("200 OK", "[]\n"));
    let answer = server.ask("GET /plugins/a/b:c/json HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(answer.status(), "404 Not Found");
    assert_eq!(answer.text(), "{\"message\":\"plugin \\\"a/b:c\\\" not found\"}\n");
    server.stop().await;
}
