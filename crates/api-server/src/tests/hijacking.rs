//! Attach and exec: the connection as a container's stdio.

use std::sync::Mutex;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Client, Server, within};
use crate::detach_keys::DetachKeys;
use crate::hijack::{Hijack, Output, Session};
use crate::reply;
use crate::router::Router;

const UPGRADE: &str = "Host: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n";

/// A server whose one attach is joined to the returned stream.
async fn attachable(output: Output, detach: Option<&str>) -> (Server, UnixStream) {
    replaying(output, detach, None).await
}

async fn replaying(
    output: Output,
    detach: Option<&str>,
    replay: Option<&'static str>,
) -> (Server, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = Mutex::new(Some(theirs));
    let detach = detach.map(|keys| DetachKeys::parse(keys).unwrap());
    let mut router = Router::default();
    router.get("/hello", |_| async { Ok(reply::text("hello")) });
    router.post("/containers/{name}/attach", move |mut call| {
        let container = theirs.lock().unwrap().take();
        let detach = detach.clone();
        async move {
            let hijack = Hijack::prepare(&mut call)?;
            assert!(container.is_some());
            let replay = replay.map(|text| stream::iter([Ok(Bytes::from(text))]).boxed());
            Ok(hijack.start(Session {
                replay,
                container,
                end: None,
                output,
                detach,
                leaving: None,
            }))
        }
    });
    (Server::start(router).await, ours)
}

async fn read(stream: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

async fn attach(server: &Server, request: &str) -> (Client, super::Answer) {
    let mut client = server.connect().await;
    client.send(request.as_bytes()).await;
    let head = client.head().await;
    (client, head)
}

#[tokio::test]
async fn upgrade_is_answered_with_101_and_docker_headers() {
    let (server, mut container) = attachable(Output::Multiplexed, None).await;
    let request = format!("POST /v1.51/containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    let (mut client, head) = attach(&server, &request).await;
    assert_eq!(head.status(), "101 UPGRADED");
    assert_eq!(head.header("content-type"), Some("application/vnd.docker.multiplexed-stream"));
    assert_eq!(head.header("connection"), Some("Upgrade"));
    assert_eq!(head.header("upgrade"), Some("tcp"));
    container.write_all(b"out").await.unwrap();
    assert_eq!(client.until("out").await, "out");
    drop(container);
    assert!(client.rest().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn content_type_follows_version_and_terminal() {
    let old = format!("POST /v1.41/containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    let new = format!("POST /v1.42/containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    for (request, output, expected) in [
        (&old, Output::Multiplexed, "application/vnd.docker.raw-stream"),
        (&new, Output::Multiplexed, "application/vnd.docker.multiplexed-stream"),
        (&new, Output::Raw, "application/vnd.docker.raw-stream"),
    ] {
        let (server, container) = attachable(output, None).await;
        let (client, head) = attach(&server, request).await;
        assert_eq!(head.header("content-type"), Some(expected));
        drop((client, container));
        server.stop().await;
    }
}

#[tokio::test]
async fn input_sent_right_behind_the_request_is_kept() {
    let (server, mut container) = attachable(Output::Raw, None).await;
    let request = format!("POST /containers/x/attach HTTP/1.1\r\n{UPGRADE}early");
    let (mut client, _) = attach(&server, &request).await;
    client.send(b" and late").await;
    assert_eq!(read(&mut container, 14).await, b"early and late");
    drop(container);
    server.stop().await;
}

#[tokio::test]
async fn half_closed_client_ends_input_and_still_gets_output() {
    let (server, mut container) = attachable(Output::Raw, None).await;
    let request = format!("POST /containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    let (mut client, _) = attach(&server, &request).await;
    client.send(b"in").await;
    client.stream.shutdown().await.unwrap();
    let mut input = Vec::new();
    within(container.read_to_end(&mut input)).await.unwrap();
    assert_eq!(input, b"in");
    container.write_all(b"still here").await.unwrap();
    drop(container);
    assert_eq!(client.rest().await, b"still here");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_gone_detaches() {
    let (server, mut container) = attachable(Output::Raw, None).await;
    let request = format!("POST /containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    let (client, _) = attach(&server, &request).await;
    drop(client);
    assert_eq!(within(container.read(&mut [0; 8])).await.unwrap(), 0);
    // The other direction is closed too, without anything having been written.
    let closed = async {
        loop {
            if container.ready(tokio::io::Interest::WRITABLE).await.unwrap().is_write_closed() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    within(closed).await;
    server.stop().await;
}

#[tokio::test]
async fn much_output_arrives_whole() {
    let (server, mut container) = attachable(Output::Raw, None).await;
    let request = format!("POST /containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    let (mut client, _) = attach(&server, &request).await;
    let output: Vec<u8> =
        (0..3_000_000_u32).map(|index| index.to_le_bytes()[index as usize % 3]).collect();
    let sent = output.clone();
    let writer = tokio::spawn(async move {
        container.write_all(&sent).await.unwrap();
    });
    assert!(client.rest().await == output);
    within(writer).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn detach_keys_end_the_session_and_are_not_passed_on() {
    let (server, mut container) = attachable(Output::Raw, Some("")).await;
    let request = format!("POST /containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    let (mut client, _) = attach(&server, &request).await;
    client.send(b"a\x10b").await;
    assert_eq!(read(&mut container, 3).await, b"a\x10b");
    client.send(b"c\x10").await;
    assert_eq!(read(&mut container, 1).await, b"c");
    client.send(b"\x11d").await;
    assert!(client.rest().await.is_empty());
    let mut input = Vec::new();
    within(container.read_to_end(&mut input)).await.unwrap();
    assert!(input.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn held_keys_are_passed_on_when_the_input_ends() {
    let (server, mut container) = attachable(Output::Raw, Some("a,b")).await;
    let request = format!("POST /containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    let (mut client, _) = attach(&server, &request).await;
    client.send(b"xa").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(read(&mut container, 2).await, b"xa");
    drop(container);
    server.stop().await;
}

#[tokio::test]
async fn without_upgrade_the_connection_is_taken_over_after_200() {
    let (server, mut container) = attachable(Output::Multiplexed, None).await;
    let mut client = server.connect().await;
    client.send(b"GET /hello HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "hello");
    // Byte for byte: the head may arrive in any pieces.
    for byte in
        b"POST /v1.51/containers/x/attach HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\nearly"
    {
        client.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    let head = client.head().await;
    assert_eq!(head.status(), "200 OK");
    assert_eq!(head.header("content-type"), Some("application/vnd.docker.raw-stream"));
    assert_eq!(head.header("transfer-encoding"), None);
    assert_eq!(head.header("upgrade"), None);
    assert_eq!(read(&mut container, 5).await, b"early");
    container.write_all(b"raw").await.unwrap();
    drop(container);
    assert_eq!(client.rest().await, b"raw");
    server.stop().await;
}

#[tokio::test]
async fn http_1_0_cannot_be_taken_over() {
    let (server, container) = attachable(Output::Raw, None).await;
    let mut client = server.connect().await;
    client.send(b"POST /containers/x/attach HTTP/1.0\r\n\r\n").await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    drop(container);
    server.stop().await;
}

#[tokio::test]
async fn what_was_logged_comes_first() {
    let (server, mut container) = replaying(Output::Raw, None, Some("before ")).await;
    let request = format!("POST /containers/x/attach HTTP/1.1\r\n{UPGRADE}");
    container.write_all(b"after").await.unwrap();
    let (mut client, _) = attach(&server, &request).await;
    assert_eq!(client.until("after").await, "before after");
    drop(container);
    server.stop().await;
}
