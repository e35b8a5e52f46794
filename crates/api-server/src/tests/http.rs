//! Requests and answers.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use tokio::sync::mpsc;

use super::{Server, within};
use crate::body::Json;
use crate::reply;
use crate::router::Router;
use crate::status::ApiError;

fn router() -> Router<()> {
    let mut router = Router::default();
    router.get("/hello", |_| async { Ok(reply::text("hello")) });
    router.add(Method::HEAD, "/hello", |_| async { Ok(reply::text("hello")) });
    router.get("/things/{name}/json", |call| async move {
        reply::json(
            StatusCode::OK,
            &serde_json::json!({"name": call.name, "v": call.version.to_string()}),
        )
    });
    router.post("/things", |mut call| async move {
        match call.json::<serde_json::Value>().await? {
            Json::Missing => Ok(reply::no_content()),
            Json::Value(value) => reply::json(StatusCode::CREATED, &value),
        }
    });
    router.get("/bad", |_| async { Err(ApiError::invalid("not so")) });
    router.get("/same", |_| async {
        Err(ApiError::new(barge_types::ErrorKind::NotModified, "already"))
    });
    router
}

#[tokio::test]
async fn answers_carry_the_engines_headers() {
    let server = Server::start(router()).await;
    let answer = server.ask("GET /hello HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(answer.status(), "200 OK");
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.header("Api-Version"), Some("1.51"));
    assert_eq!(answer.header("Ostype"), Some("linux"));
    assert!(answer.header("Server").unwrap().starts_with("Barge/"));
    assert!(answer.header("Server").unwrap().ends_with(" (linux)"));
    server.stop().await;
}

#[tokio::test]
async fn head_has_no_body() {
    let server = Server::start(router()).await;
    let mut client = server.connect().await;
    client.send(b"HEAD /hello HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.head().await.status(), "200 OK");
    assert!(client.rest().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_name_may_hold_slashes_and_escapes() {
    let server = Server::start(router()).await;
    let answer =
        server.ask("GET /v1.40/things/localhost:5000/a%2Fb/json HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(answer.text(), "{\"name\":\"localhost:5000/a/b\",\"v\":\"1.40\"}\n");
    server.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_found() {
    let server = Server::start(router()).await;
    for line in ["GET /nope", "GET /v1.51/nope", "PATCH /hello", "POST /v1.51/hello", "GET /v1.51/"]
    {
        let answer = server.ask(&format!("{line} HTTP/1.1\r\nHost: d\r\n\r\n")).await;
        assert_eq!(answer.status(), "404 Not Found", "{line}");
        assert_eq!(answer.text(), "{\"message\":\"page not found\"}\n", "{line}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    server.stop().await;
}

#[tokio::test]
async fn versions_that_are_not_spoken_are_refused() {
    let server = Server::start(router()).await;
    let answer = server.ask("GET /v1.99/hello HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(answer.status(), "400 Bad Request");
    assert_eq!(
        answer.text(),
        "{\"message\":\"client version 1.99 is too new. Maximum supported API version is 1.51\"}\n"
    );
    assert_eq!(answer.header("api-version"), Some("1.51"));
    let answer = server.ask("GET /v1.10/hello HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(answer.status(), "400 Bad Request");
    assert!(answer.text().starts_with("client version 1.10 is too old. "));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    server.stop().await;
}

async fn post(server: &Server, content_type: &str, body: &str) -> (String, String) {
    let length = body.len();
    let answer = server
        .ask(&format!(
            "POST /things HTTP/1.1\r\nHost: d\r\n{content_type}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    (answer.status().to_owned(), answer.text().to_owned())
}

#[tokio::test]
async fn json_bodies_are_checked() {
    let server = Server::start(router()).await;
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    assert_eq!(
        post(&server, json, "{\"a\":1}").await,
        ("201 Created".into(), "{\"a\":1}\n".into())
    );
    assert_eq!(post(&server, "", "").await.0, "204 No Content");
    let (status, text) = post(&server, json, "{\"a\":").await;
    assert_eq!(status, "400 Bad Request");
    assert!(text.starts_with("{\"message\":\"invalid JSON: "), "{text}");
    let (status, text) = post(&server, "Content-Type: text/plain\r\n", "{}").await;
    assert_eq!(status, "400 Bad Request");
    assert_eq!(
        text,
        "{\"message\":\"unsupported Content-Type header (text/plain): must be 'application/json'\"}\n"
    );
    let (status, text) = post(&server, "", "{}").await;
    assert_eq!(status, "400 Bad Request");
    assert!(text.contains("malformed Content-Type header"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_huge_json_body_is_refused() {
    let server = Server::start(router()).await;
    let body = format!("\"{}\"", "x".repeat(9 << 20));
    let mut client = server.connect().await;
    let head = format!(
        "POST /things HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes()).await;
    // All of it is taken, so that the answer is not lost to a reset of the connection.
    client.send(body.as_bytes()).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), "400 Bad Request");
    assert!(answer.text().contains("too large"), "{}", answer.text());
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_nobody_reads_does_not_cost_the_answer() {
    let server = Server::start(router()).await;
    for path in ["/nope", "/v1.99/things", "/things"] {
        let mut client = server.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: 5000000\r\n\r\n"
        );
        client.send(head.as_bytes()).await;
        // The answer is there before the upload is, which then still finds its way.
        let answer = client.answer().await;
        assert!(answer.status().starts_with("40"), "{}", answer.status());
        client.send(&vec![0; 5_000_000]).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn errors_have_their_status_and_not_modified_no_body() {
    let server = Server::start(router()).await;
    let answer = server.ask("GET /bad HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text()), ("400 Bad Request", "{\"message\":\"not so\"}\n"));
    let answer = server.ask("GET /same HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text()), ("304 Not Modified", ""));
    server.stop().await;
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let server = Server::start(router()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send(b"GET /hello HTTP/1.1\r\nHost: d\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), "hello");
    }
    client.send(b"OPTIONS /anything HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), "200 OK");
    server.stop().await;
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let server = Server::start(router()).await;
    let answer = server.ask("GET /%zz HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(answer.status(), "400 Bad Request");
    let mut client = server.connect().await;
    client.send(b"what is this\r\n\r\n").await;
    assert_eq!(client.head().await.status(), "400 Bad Request");
    server.stop().await;
}

/// A router whose `/follow` sends what the test gives it and tells when nobody follows any more.
fn following() -> (Router<()>, mpsc::Sender<Bytes>) {
    let (items, source) = mpsc::channel::<Bytes>(1);
    let source = std::sync::Mutex::new(Some(source));
    let mut router = Router::default();
    router.get("/follow", move |_| {
        let source = source.lock().unwrap().take().unwrap();
        async move {
            let items = futures_util::stream::unfold(source, |mut source| async move {
                source.recv().await.map(|item| (Ok(item), source))
            });
            Ok(reply::follow("application/json", items.boxed()))
        }
    });
    (router, items)
}

#[tokio::test]
async fn a_stream_is_flushed_as_produced_and_ends_with_its_client() {
    let (router, items) = following();
    let server = Server::start(router).await;
    let mut client = server.connect().await;
    client.send(b"GET /follow HTTP/1.1\r\nHost: d\r\n\r\n").await;
    // The head comes before there is anything to send.
    assert_eq!(client.head().await.status(), "200 OK");
    for word in ["one\n", "two\n"] {
        items.send(Bytes::from(word)).await.unwrap();
        client.until(word).await;
    }
    drop(client);
    within(items.closed()).await;
    server.stop().await;
}

#[tokio::test]
async fn stopping_breaks_off_what_is_followed() {
    let (router, items) = following();
    let server = Server::start(router).await;
    let mut client = server.connect().await;
    client.send(b"GET /follow HTTP/1.1\r\nHost: d\r\n\r\n").await;
    client.head().await;
    let path = server.path();
    server.stop().await;
    assert!(!path.exists());
    // Not the end of a chunked body, which would be `0`.
    assert_eq!(client.rest().await, b"");
    drop(items);
}
