//! Uploads to a registry that is written by hand, so that they can go wrong.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barge_registry::{Access, Deadlines, Pushed, RegistryConfig, Selector};

use crate::fake::{Act, Fake, Head, answer, head, refuse};
use crate::tokens::{NAME, PASSWORD, SERVICE, Tokens};
use crate::{
    Asking, Heard, Told, config, content, open, repository, repository_with, sha256, upload,
};

/// What the server has of the one upload, and the blobs that are whole.
#[derive(Default)]
struct Store {
    part: Vec<u8>,
    whole: Vec<Vec<u8>>,
}

type Shared = Arc<Mutex<Store>>;

fn range_of(store: &Shared) -> String {
    format!("0-{}", store.lock().unwrap().part.len().saturating_sub(1))
}

/// A registry as the specification has it.
fn well_behaved(store: &Shared, request: &Head) -> Act {
    let place = ("location", "/v2/app/blobs/uploads/1?_state=s");
    let kept = Arc::clone(store);
    match request.method.as_str() {
        "HEAD" => Act::Send(head(404, &[("content-length", "0")])),
        "POST" => {
            store.lock().unwrap().part.clear();
            answer(202, &[place], "")
        }
        "GET" => answer(204, &[place, ("range", &range_of(store))], ""),
        "PATCH" => {
            if let Some(range) = request.header("content-range") {
                let start: usize = range.split('-').next().unwrap().parse().unwrap();
                assert_eq!(start, store.lock().unwrap().part.len());
            }
            Act::WithBody(Box::new(move |body| {
                kept.lock().unwrap().part.extend(body);
                answer(202, &[place, ("range", &range_of(&kept))], "")
            }))
        }
        "PUT" => {
            let target = request.target.clone();
            Act::WithBody(Box::new(move |body| {
                let mut store = kept.lock().unwrap();
                store.part.extend(body);
                let bytes = std::mem::take(&mut store.part);
                let digest = sha256(&bytes).to_string();
                assert!(target.contains("_state=s"), "{target}");
                if !target.contains(&digest.replace(':', "%3A")) && !target.contains(&digest) {
                    let text = "provided digest did not match uploaded content";
                    return refuse(400, "DIGEST_INVALID", text);
                }
                store.whole.push(bytes);
                answer(201, &[("docker-content-digest", &digest)], "")
            }))
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_blob_goes_out_whole_and_is_told_of() {
    for size in [0, 1, 5_000, 3_000_000] {
        let (store, bytes) = (Shared::default(), content(size));
        let kept = Arc::clone(&store);
        let fake = Fake::start(move |request| well_behaved(&kept, request)).await;
        let told = Told::default();
        let repository = repository(&fake.host(), Access::PullAndPush);
        let pushed = repository.push_blob(&upload(&bytes), told.listener()).await.unwrap();
        assert_eq!(pushed, Pushed::Uploaded);
        assert!(store.lock().unwrap().whole == [bytes]);
        assert_eq!(told.all().last().copied().unwrap_or_default(), size as u64);
        assert!(told.all().is_sorted());
    }
}

#[tokio::test]
async fn an_upload_that_dies_in_the_middle_goes_on_where_the_registry_is() {
    let (store, bytes) = (Shared::default(), content(3_000_000));
    let kept = Arc::clone(&store);
    let fake = Fake::start(move |request| {
        if request.method == "PATCH" && request.before < 2 {
            let kept = Arc::clone(&kept);
            return Act::TakeAndClose(
                700_000,
                Box::new(move |taken| kept.lock().unwrap().part.extend(taken)),
            );
        }
        well_behaved(&kept, request)
    })
    .await;
    let heard = Heard::default();
    let repository = heard.by(&repository(&fake.host(), Access::PullAndPush));
    let told = Told::default();
    let pushed = repository.push_blob(&upload(&bytes), told.listener()).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert!(store.lock().unwrap().whole == [bytes]);
    assert_eq!(heard.causes().len(), 2);
    let lengths: Vec<String> = fake
        .seen_of("PATCH")
        .iter()
        .map(|request| request.header("content-length").unwrap().to_owned())
        .collect();
    assert_eq!(lengths, ["3000000", "2300000", "1600000"]);
    assert_eq!(fake.seen_of("POST").len(), 1);
    assert_eq!(told.all().last(), Some(&3_000_000));
}

#[tokio::test]
async fn an_upload_that_the_registry_stops_taking_goes_on() {
    let (store, bytes) = (Shared::default(), content(40_000_000));
    let kept = Arc::clone(&store);
    // More than the sockets between hold, so that the sender sees it.
    let fake = Fake::start(move |request| match request.method.as_str() {
        "PATCH" if request.before == 0 => Act::TakeAndStall(100_000),
        _ => well_behaved(&kept, request),
    })
    .await;
    let deadlines = Deadlines { silence: Duration::from_secs(3), ..config().deadlines };
    let config = RegistryConfig { deadlines, ..config() };
    let heard = Heard::default();
    let repository = heard.by(&repository_with(config, &fake.host(), Access::PullAndPush));
    repository.push_blob(&upload(&bytes), Told::default().listener()).await.unwrap();
    assert!(store.lock().unwrap().whole == [bytes]);
    assert!(heard.causes()[0].contains("no byte was taken"), "{:?}", heard.causes());
}

#[tokio::test]
async fn a_token_that_ends_while_a_blob_goes_out_is_replaced() {
    let tokens = Tokens::start().await;
    let (store, bytes) = (Shared::default(), content(1_000_000));
    let kept = Arc::clone(&store);
    let challenge = format!("Bearer realm=\"{}\",service=\"{SERVICE}\"", tokens.realm());
    let fake = Fake::start(move |request| {
        let is_known = request.header("authorization").is_some();
        if is_known && !(request.method == "PATCH" && request.before == 0) {
            return well_behaved(&kept, request);
        }
        answer(401, &[("www-authenticate", &challenge)], "")
    })
    .await;
    let repository = open(config(), &fake.host(), Asking::push_as(NAME, PASSWORD));
    repository.push_blob(&upload(&bytes), Told::default().listener()).await.unwrap();
    assert!(store.lock().unwrap().whole == [bytes]);
    assert_eq!(tokens.asked().len(), 2);
}

#[tokio::test]
async fn an_upload_that_the_registry_forgot_begins_anew() {
    let (store, bytes) = (Shared::default(), content(1_000_000));
    let kept = Arc::clone(&store);
    let fake = Fake::start(move |request| match request.method.as_str() {
        "PATCH" if request.before == 0 => Act::TakeAndClose(400_000, Box::new(drop)),
        "GET" => refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
        _ => well_behaved(&kept, request),
    })
    .await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    let told = Told::default();
    repository.push_blob(&upload(&bytes), told.listener()).await.unwrap();
    assert!(store.lock().unwrap().whole == [bytes]);
    assert_eq!(fake.seen_of("POST").len(), 2);
}

#[tokio::test]
async fn a_registry_without_patch_gets_everything_at_once() {
    let (store, bytes) = (Shared::default(), content(1_000_000));
    let kept = Arc::clone(&store);
    let fake = Fake::start(move |request| match request.method.as_str() {
        "PATCH" => refuse(405, "UNSUPPORTED", "The operation is unsupported."),
        _ => well_behaved(&kept, request),
    })
    .await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    repository.push_blob(&upload(&bytes), Told::default().listener()).await.unwrap();
    assert!(store.lock().unwrap().whole == [bytes]);
    let puts = fake.seen_of("PUT");
    assert_eq!(puts.last().unwrap().header("content-length"), Some("1000000"));
}

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let fake = Fake::start(|_| Act::Send(head(200, &[("content-length", "1000")]))).await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    let pushed =
        repository.push_blob(&upload(&content(1000)), Told::default().listener()).await.unwrap();
    assert_eq!(pushed, Pushed::Existed);
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn what_another_repository_has_is_mounted() {
    let store = Shared::default();
    let fake = Fake::start(move |request| {
        if request.target.contains("from=other%2Frepo") {
            return answer(201, &[("location", "/v2/app/blobs/x")], "");
        }
        well_behaved(&store, request)
    })
    .await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    let mut blob = upload(&content(1000));
    blob.mount_from = vec!["other/repo".into()];
    let pushed = repository.push_blob(&blob, Told::default().listener()).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted { from: "other/repo".into() });
    let post = &fake.seen_of("POST")[0];
    assert!(post.target.contains("mount=sha256%3A"), "{}", post.target);
    assert_eq!(fake.seen_of("PUT").len(), 0);
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_an_upload() {
    for status in [202, 403] {
        let (store, bytes) = (Shared::default(), content(400_000));
        let kept = Arc::clone(&store);
        let fake = Fake::start(move |request| {
            if request.target.contains("from=") && status == 403 {
                return refuse(403, "DENIED", "requested access to the resource is denied");
            }
            well_behaved(&kept, request)
        })
        .await;
        let repository = repository(&fake.host(), Access::PullAndPush);
        let mut blob = upload(&bytes);
        blob.mount_from = vec!["other".into()];
        let pushed = repository.push_blob(&blob, Told::default().listener()).await.unwrap();
        assert_eq!(pushed, Pushed::Uploaded);
        assert!(store.lock().unwrap().whole == [bytes]);
    }
}

#[tokio::test]
async fn a_blob_that_cannot_be_read_is_our_failure() {
    let store = Shared::default();
    let fake = Fake::start(move |request| well_behaved(&store, request)).await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    let mut blob = upload(&content(1_000_000));
    blob.open = Arc::new(|_| Err(io::Error::new(io::ErrorKind::NotFound, "it is gone")));
    let error = repository.push_blob(&blob, Told::default().listener()).await.unwrap_err();
    assert_eq!(error.chain(), format!("cannot read {} to push it: it is gone", blob.digest));
    // One that is shorter than it should be.
    blob.open = Arc::new(|_| Ok(Box::new(io::Cursor::new(vec![0; 10]))));
    let error = repository.push_blob(&blob, Told::default().listener()).await.unwrap_err();
    assert!(error.chain().starts_with("cannot read sha256:"), "{}", error.chain());
}

#[tokio::test]
async fn a_registry_that_got_other_bytes_says_so() {
    let store = Shared::default();
    let fake = Fake::start(move |request| well_behaved(&store, request)).await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    let mut blob = upload(&content(400_000));
    blob.digest = sha256(b"other bytes");
    let error = repository.push_blob(&blob, Told::default().listener()).await.unwrap_err();
    assert_eq!(error.chain(), "digest invalid: provided digest did not match uploaded content");
}

#[tokio::test]
async fn a_manifest_is_put_with_its_type() {
    let fake = Fake::start(|request| {
        assert_eq!((request.method.as_str(), request.path()), ("PUT", "/v2/app/manifests/v2"));
        assert_eq!(request.header("content-type"), Some("a/b"));
        Act::WithBody(Box::new(|body| {
            answer(201, &[("docker-content-digest", &sha256(&body).to_string())], "")
        }))
    })
    .await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    let tag = Selector::Tag("v2".into());
    let digest = repository.put_manifest(&tag, "a/b", "{}".into()).await.unwrap();
    assert_eq!(digest, sha256(b"{}"));
}

#[tokio::test]
async fn a_refused_push_is_said_in_the_registrys_words() {
    let fake =
        Fake::start(|_| refuse(403, "DENIED", "requested access to the resource is denied")).await;
    let repository = repository(&fake.host(), Access::PullAndPush);
    let tag = Selector::Tag("v2".into());
    let error = repository.put_manifest(&tag, "a/b", "{}".into()).await.unwrap_err();
    assert_eq!(error.chain(), "denied: requested access to the resource is denied");
}
