//! What is asked when one pulls, and what comes of the answers.

use barge_registry::{Access, RegistryError, Selector};
use barge_types::ErrorKind;

use crate::fake::{self, Act, Fake, answer, raw, refuse};
use crate::{config, content, read, repository, repository_with, sha256};

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

fn tag() -> Selector {
    Selector::Tag("v1".into())
}

#[tokio::test]
async fn a_manifest_comes_byte_for_byte() {
    let digest = sha256(MANIFEST).to_string();
    let fake = Fake::start(move |head| {
        assert_eq!(head.path(), "/v2/app/manifests/v1");
        let kind = [("content-type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8")];
        let headers = [kind[0], ("docker-content-digest", &digest)];
        answer(200, &headers, MANIFEST)
    })
    .await;
    let manifest = repository(&fake.host(), Access::Pull).manifest(&tag()).await.unwrap();
    assert_eq!(manifest.bytes, MANIFEST);
    assert_eq!((manifest.media_type.as_str(), manifest.digest), (KIND, sha256(MANIFEST)));
}

#[tokio::test]
async fn a_manifest_that_is_not_the_one_asked_for_is_refused() {
    let fake = Fake::start(|_| answer(200, &[("content-type", KIND)], MANIFEST)).await;
    let wanted = sha256(b"something else");
    let repository = repository(&fake.host(), Access::Pull);
    let error = repository.manifest(&Selector::Digest(wanted)).await.unwrap_err();
    let RegistryError::WrongManifest { expected, got } = error else { panic!("{error:?}") };
    assert_eq!((expected, got), (wanted, sha256(MANIFEST)));
    assert_eq!(repository.manifest(&tag()).await.unwrap().digest, sha256(MANIFEST));
}

#[tokio::test]
async fn a_registry_that_lies_about_a_digest_is_not_believed() {
    let lie = sha256(b"a lie").to_string();
    let fake = Fake::start(move |_| {
        answer(200, &[("content-type", KIND), ("docker-content-digest", &lie)], MANIFEST)
    })
    .await;
    let error = repository(&fake.host(), Access::Pull).manifest(&tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::WrongManifest { .. }), "{error:?}");
}

#[tokio::test]
async fn a_manifest_of_more_than_four_mebibytes_is_refused() {
    let fake =
        Fake::start(|_| answer(200, &[("content-type", KIND)], vec![b' '; (4 << 20) + 1])).await;
    let error = repository(&fake.host(), Access::Pull).manifest(&tag()).await.unwrap_err();
    assert!(error.chain().contains("4194304"), "{}", error.chain());
}

#[tokio::test]
async fn what_a_tag_is_can_be_asked_without_fetching_it() {
    let digest = sha256(MANIFEST);
    let named = digest.to_string();
    let fake = Fake::start(move |head| {
        assert_eq!(head.method, "HEAD");
        match head.path() {
            "/v2/app/manifests/v1" => Act::Send(fake::head(
                200,
                &[
                    ("content-type", KIND),
                    ("docker-content-digest", &named),
                    ("content-length", "19"),
                ],
            )),
            _ => Act::Send(fake::head(404, &[("content-length", "90")])),
        }
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    let head = repository.manifest_digest(&tag()).await.unwrap().unwrap();
    assert_eq!((head.digest, head.media_type.as_str()), (digest, KIND));
    let absent = Selector::Tag("absent".into());
    assert_eq!(repository.manifest_digest(&absent).await.unwrap(), None);
}

#[tokio::test]
async fn a_head_without_digest_is_followed_by_the_whole() {
    let fake = Fake::start(|head| match head.method.as_str() {
        "HEAD" => Act::Send(fake::head(200, &[("content-length", "19")])),
        _ => answer(200, &[("content-type", KIND)], MANIFEST),
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    let head = repository.manifest_digest(&tag()).await.unwrap().unwrap();
    assert_eq!((head.digest, head.media_type.as_str()), (sha256(MANIFEST), KIND));
}

#[tokio::test]
async fn refusals_are_said_in_dockers_words() {
    for (status, code, message, text, kind) in [
        (
            404,
            "MANIFEST_UNKNOWN",
            "manifest unknown",
            "manifest for HOST/app:v1 not found: manifest unknown: manifest unknown",
            ErrorKind::NotFound,
        ),
        (
            403,
            "DENIED",
            "requested access to the resource is denied",
            "pull access denied for HOST/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            ErrorKind::NotFound,
        ),
        (
            404,
            "NAME_UNKNOWN",
            "repository name not known to registry",
            "repository HOST/app not found: name unknown: repository name not known to registry",
            ErrorKind::NotFound,
        ),
        (401, "UNAUTHORIZED", "who are you", "unauthorized: who are you", ErrorKind::Unauthorized),
    ] {
        let fake = Fake::start(move |_| refuse(status, code, message)).await;
        let error = repository(&fake.host(), Access::Pull).manifest(&tag()).await.unwrap_err();
        assert_eq!(error.chain(), text.replace("HOST", &fake.host()));
        assert_eq!(error.kind(), kind);
        assert_eq!(fake.seen().len(), 1, "a refusal is final");
    }
}

#[tokio::test]
async fn tags_come_page_by_page() {
    let fake = Fake::start(|head| match head.target.as_str() {
        "/v2/app/tags/list?last=b&n=2" => {
            let last = ("link", "</v2/app/tags/list?last=d>; rel=\"next\"");
            answer(200, &[last], r#"{"tags":["c","d"]}"#)
        }
        "/v2/app/tags/list?last=d" => answer(200, &[], r#"{"name":"app","tags":null}"#),
        _ => {
            let next = ("link", "</v2/app/tags/list?last=b&n=2>; rel=\"next\"");
            answer(200, &[next], r#"{"tags":["a","b"]}"#)
        }
    })
    .await;
    let tags = repository(&fake.host(), Access::Pull).tags().await.unwrap();
    assert_eq!(tags, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_blob_comes_from_where_one_wants_it() {
    let bytes = content(300_000);
    let served = bytes.clone();
    let fake = Fake::start(move |head| {
        let start = head.range_start();
        let range = format!("bytes {start}-{}/{}", served.len() - 1, served.len());
        match head.header("range") {
            Some(_) => answer(206, &[("content-range", &range)], &served[start..]),
            None => answer(200, &[], &served),
        }
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    for from in [0, 1, 123_456, 299_999] {
        let stream = repository.blob(&sha256(&bytes), from as u64).await.unwrap();
        assert_eq!((stream.start(), stream.total()), (from as u64, Some(300_000)));
        assert!(read(stream).await.unwrap() == bytes[from..]);
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_blob_that_is_here_whole() {
    let fake = Fake::start(|head| match head.range_start() {
        1000 => answer(416, &[("content-range", "bytes */1000")], ""),
        _ => panic!("{head:?}"),
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    let stream = repository.blob(&sha256(b"x"), 1000).await.unwrap();
    assert_eq!((stream.start(), stream.total()), (1000, Some(1000)));
    assert!(read(stream).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_read_over() {
    let bytes = content(200_000);
    let served = bytes.clone();
    let fake = Fake::start(move |_| answer(200, &[], &served)).await;
    let repository = repository(&fake.host(), Access::Pull);
    let stream = repository.blob(&sha256(&bytes), 150_001).await.unwrap();
    assert_eq!((stream.start(), stream.total()), (150_001, Some(200_000)));
    assert!(read(stream).await.unwrap() == bytes[150_001..]);
}

#[tokio::test]
async fn many_requests_share_few_connections() {
    let fake = Fake::start(|head| match head.method.as_str() {
        "HEAD" => Act::Send(fake::head(200, &[("content-length", "5")])),
        _ => answer(200, &[], "12345"),
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    let digest = sha256(b"12345");
    for _ in 0..50 {
        assert_eq!(repository.has_blob(&digest).await.unwrap(), Some(5));
        assert_eq!(read(repository.blob(&digest, 0).await.unwrap()).await.unwrap(), b"12345");
    }
    // One that was tried with TLS first, and one that was kept.
    assert!(fake.connections() <= 3, "{} connections", fake.connections());
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    // Each answer is the last of its connection, and does not say so.
    let fake = Fake::start(|_| Act::SendAndClose(raw(200, &[], "12345"))).await;
    let repository = repository(&fake.host(), Access::Pull);
    let digest = sha256(b"12345");
    for _ in 0..20 {
        assert_eq!(read(repository.blob(&digest, 0).await.unwrap()).await.unwrap(), b"12345");
    }
}

#[tokio::test]
async fn twenty_blobs_come_at_once() {
    let fake = Fake::start(|head| {
        let number = head.path().rsplit('/').next().unwrap().to_owned();
        answer(200, &[], number.repeat(1000))
    })
    .await;
    let repository = repository(&fake.host(), Access::Pull);
    let streams = (0..20_u8).map(|number| {
        let repository = repository.clone();
        tokio::spawn(async move {
            let digest = sha256(&[number]);
            let bytes = read(repository.blob(&digest, 0).await.unwrap()).await.unwrap();
            assert_eq!(bytes, digest.to_string().repeat(1000).into_bytes());
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.unwrap();
    }
}

#[tokio::test]
async fn a_layer_that_registries_may_not_hold_comes_from_elsewhere() {
    let bytes = content(1000);
    let body = bytes.clone();
    let store = Fake::start(move |head| {
        let rest = &body[head.range_start()..];
        match head.before {
            0 => Act::SendAndClose(
                [fake::head(200, &[("content-length", "1000")]), body[..400].to_vec()].concat(),
            ),
            _ => answer(206, &[("content-range", "bytes 400-999/1000")], rest),
        }
    })
    .await;
    let fake = Fake::start(|_| refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")).await;
    let urls = ["ftp://nobody/".to_owned(), format!("http://{}/layer", store.host())];
    let digest = sha256(&bytes);

    let strict = repository(&fake.host(), Access::Pull);
    let error = strict.blob_or_elsewhere(&digest, 0, &urls).await.unwrap_err();
    assert!(error.chain().contains("insecure-registries"), "{}", error.chain());
    assert_eq!(store.seen().len(), 0);

    let open = config().insecure(&[store.host()]).unwrap();
    let repository = repository_with(open, &fake.host(), Access::Pull);
    let stream = repository.blob_or_elsewhere(&digest, 0, &urls).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), bytes);
    assert_eq!(store.seen().len(), 2);
    // Asked once by each of the two: who does not have it is not asked for the rest.
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn what_a_server_elsewhere_says_is_not_shown() {
    let store = Fake::start(|_| answer(403, &[], "a secret of this machine")).await;
    let fake = Fake::start(|_| refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")).await;
    let open = config().insecure(&[store.host()]).unwrap();
    let repository = repository_with(open, &fake.host(), Access::Pull);
    let url = format!("http://{}/layer", store.host());
    let error = repository
        .blob_or_elsewhere(&sha256(b"x"), 0, std::slice::from_ref(&url))
        .await
        .unwrap_err();
    assert_eq!(error.chain(), format!("{url} answered 403 Forbidden"));
}
