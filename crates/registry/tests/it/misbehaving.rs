//! A registry that closes, stalls, lies, and has no time.

use std::time::Duration;

use barge_registry::{Access, Deadlines, RetryPolicy, Selector};
use barge_types::ErrorKind;

use crate::fake::{Act, Fake, answer, head, raw, refuse};
use crate::{Heard, config, content, read, repository, repository_with, sha256};

fn tag() -> Selector {
    Selector::Tag("v1".into())
}

/// Sends `bytes` from where it is asked, but never more than `most` at once: then it closes.
async fn tears(bytes: Vec<u8>, most: usize) -> Fake {
    Fake::start(move |request| {
        let start = request.range_start();
        let rest = &bytes[start..];
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        let length = rest.len().to_string();
        let mut sent = match request.header("range") {
            Some(_) => head(206, &[("content-range", &range), ("content-length", &length)]),
            None => head(200, &[("content-length", &length)]),
        };
        sent.extend_from_slice(&rest[..rest.len().min(most)]);
        Act::SendAndClose(sent)
    })
    .await
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on_where_it_was() {
    let bytes = content(1_000_000);
    let fake = tears(bytes.clone(), 300_000).await;
    let heard = Heard::default();
    let repository = heard.by(&repository(&fake.host(), Access::Pull));
    let stream = repository.blob(&sha256(&bytes), 0).await.unwrap();
    assert!(read(stream).await.unwrap() == bytes);
    assert_eq!(heard.causes().len(), 3);
    let starts: Vec<usize> = fake.seen_of("GET").iter().map(|head| head.range_start()).collect();
    assert_eq!(starts, [0, 300_000, 600_000, 900_000]);
}

#[tokio::test]
async fn a_blob_that_was_begun_elsewhere_goes_on_the_same_way() {
    let bytes = content(900_000);
    let fake = tears(bytes.clone(), 300_000).await;
    let repository = repository(&fake.host(), Access::Pull);
    let stream = repository.blob(&sha256(&bytes), 250_000).await.unwrap();
    assert_eq!(stream.start(), 250_000);
    assert!(read(stream).await.unwrap() == bytes[250_000..]);
}

#[tokio::test]
async fn a_server_that_always_closes_is_given_up() {
    let fake = Fake::start(|_| Act::SendAndClose(head(200, &[("content-length", "100")]))).await;
    let heard = Heard::default();
    let repository = heard.by(&repository(&fake.host(), Access::Pull));
    let stream = repository.blob(&sha256(b"x"), 0).await.unwrap();
    let error = read(stream).await.unwrap_err();
    assert_eq!(heard.causes().len(), 5);
    assert_eq!(fake.seen_of("GET").len(), 6);
    assert!(error.chain().contains("/v2/app/blobs/sha256:"), "{}", error.chain());
}

#[tokio::test]
async fn a_body_that_stalls_is_noticed_and_goes_on() {
    let bytes = content(100_000);
    let served = bytes.clone();
    let fake = Fake::start(move |request| match request.range_start() {
        0 => {
            let mut sent = head(200, &[("content-length", "100000")]);
            sent.extend_from_slice(&served[..40_000]);
            Act::SendAndStall(sent)
        }
        start => {
            let range = format!("bytes {start}-99999/100000");
            answer(206, &[("content-range", &range)], &served[start..])
        }
    })
    .await;
    let deadlines = Deadlines { silence: Duration::from_secs(2), ..config().deadlines };
    let config = barge_registry::RegistryConfig { deadlines, ..config() };
    let heard = Heard::default();
    let repository = heard.by(&repository_with(config, &fake.host(), Access::Pull));
    let stream = repository.blob(&sha256(&bytes), 0).await.unwrap();
    assert!(read(stream).await.unwrap() == bytes);
    assert!(heard.causes()[0].contains("no byte"), "{:?}", heard.causes());
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let fake = Fake::start(|_| Act::SendAndStall(Vec::new())).await;
    let deadlines = Deadlines { answer: Duration::from_millis(200), ..config().deadlines };
    let retry = RetryPolicy { retries: 1, ..config().retry };
    let config = barge_registry::RegistryConfig { deadlines, retry, ..config() };
    let repository = repository_with(config, &fake.host(), Access::Pull);
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{}", error.chain());
    assert!(error.chain().contains("no answer for 0.2 seconds"), "{}", error.chain());
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_when_it_says() {
    let fake = Fake::start(|request| match request.before {
        0 => answer(429, &[("retry-after", "3600")], ""),
        1 => answer(503, &[("connection", "close")], "busy"),
        2 => Act::SendAndClose(Vec::new()),
        _ => answer(200, &[("content-type", "x/y")], "{}"),
    })
    .await;
    let heard = Heard::default();
    // A Retry-After of an hour is cut to what the policy says.
    let repository = heard.by(&repository(&fake.host(), Access::Pull));
    repository.manifest(&tag()).await.unwrap();
    let causes = heard.causes();
    assert_eq!(causes[0], "toomanyrequests: too many requests");
    assert!(causes[1].starts_with("received unexpected HTTP status: 503"), "{causes:?}");
    assert_eq!(causes.len(), 3, "{causes:?}");
}

#[tokio::test]
async fn a_registry_that_stays_broken_is_reported_as_docker_does() {
    let fake = Fake::start(|_| answer(500, &[], "oops")).await;
    let repository = repository(&fake.host(), Access::Pull);
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.chain(), "received unexpected HTTP status: 500 Internal Server Error");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(fake.seen_of("GET").len(), 6);
}

#[tokio::test]
async fn a_part_that_begins_elsewhere_is_refused() {
    let fake =
        Fake::start(|_| answer(206, &[("content-range", "bytes 0-9/10")], "0123456789")).await;
    let repository = repository(&fake.host(), Access::Pull);
    let outcome = match repository.blob(&sha256(b"x"), 5).await {
        Ok(stream) => read(stream).await,
        Err(error) => Err(error),
    };
    // Either it is an error, or what came before is dropped; it is never taken for what was asked for.
    match outcome {
        Ok(bytes) => assert_eq!(bytes, b"56789"),
        Err(error) => assert!(error.chain().contains("blobs"), "{}", error.chain()),
    }
}

#[tokio::test]
async fn a_blob_that_changes_its_size_is_refused() {
    let fake = Fake::start(|request| match request.range_start() {
        0 => {
            let mut sent = head(200, &[("content-length", "100")]);
            sent.extend_from_slice(&[1; 50]);
            Act::SendAndClose(sent)
        }
        _ => answer(206, &[("content-range", "bytes 50-199/200")], [2; 150]),
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    let stream = repository.blob(&sha256(b"x"), 0).await.unwrap();
    let error = read(stream).await.unwrap_err();
    assert!(error.chain().contains("200"), "{}", error.chain());
}

#[tokio::test]
async fn more_bytes_than_announced_are_not_delivered() {
    let fake = Fake::start(|_| {
        let mut sent = raw(200, &[], "12345");
        sent.extend_from_slice(b"surplus");
        Act::SendAndClose(sent)
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    let stream = repository.blob(&sha256(b"x"), 0).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), b"12345");
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let fake = Fake::start(|_| Act::SendAndClose(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())).await;
    let repository = repository(&fake.host(), Access::Pull);
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert!(error.chain().contains("malformed HTTP response"), "{}", error.chain());
}

#[tokio::test]
async fn nobody_there_is_said_at_once_and_in_gos_words() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let heard = Heard::default();
    let repository = heard.by(&repository(&address.to_string(), Access::Pull));
    let error = repository.manifest(&tag()).await.unwrap_err();
    let text = format!("dial tcp {address}: connect: connection refused");
    assert!(error.chain().ends_with(&text), "{}", error.chain());
    assert_eq!(heard.causes(), [] as [String; 0]);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let fake = Fake::start(|_| refuse(400, "NAME_INVALID", "invalid repository name")).await;
    let repository = repository(&fake.host(), Access::Pull);
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.chain(), "name invalid: invalid repository name");
    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
    assert_eq!(fake.seen().len(), 1);
}
