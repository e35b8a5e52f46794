//! Who one is, said to registries that ask for it in different ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use barge_registry::{Access, Credentials, Registry, SearchRequest, Selector};
use barge_types::ErrorKind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fake::{Act, Fake, answer, refuse};
use crate::tokens::{NAME, PASSWORD, REFRESH, SERVICE, Tokens};
use crate::{Asking, account, config, open, repository};

fn tag() -> Selector {
    Selector::Tag("v1".into())
}

const BASIC: (&str, &str) = ("www-authenticate", "Basic realm=\"x\"");

/// A registry with name and password.
async fn with_basic() -> Fake {
    let wanted = format!("Basic {}", STANDARD.encode(format!("{NAME}:{PASSWORD}")));
    Fake::start(move |head| match head.header("authorization") {
        Some(value) if value == wanted => answer(200, &[("content-type", "x/y")], "{}"),
        _ => answer(
            401,
            &[BASIC],
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
        ),
    })
    .await
}

#[tokio::test]
async fn name_and_password_are_shown_to_who_asks_for_them() {
    let fake = with_basic().await;
    let repository = open(config(), &fake.host(), Asking::pull_as(NAME, PASSWORD));
    repository.manifest(&tag()).await.unwrap();
    repository.manifest(&tag()).await.unwrap();
    // The first was asked for them, the second knew.
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn without_credentials_docker_says_there_are_none() {
    let fake = with_basic().await;
    let error = repository(&fake.host(), Access::Pull).manifest(&tag()).await.unwrap_err();
    assert_eq!(
        error.chain(),
        format!("Get \"http://{}/v2/app/manifests/v1\": no basic auth credentials", fake.host())
    );
    // Docker's daemon answers 500: at 401 its client would ask for a name and a password.
    assert_eq!(error.kind(), ErrorKind::System);
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_not_shown_again() {
    let fake = with_basic().await;
    let repository = open(config(), &fake.host(), Asking::pull_as(NAME, "wrong"));
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.chain(), "unauthorized: authentication required");
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(fake.seen().len() <= 3, "{:?}", fake.seen());
}

/// A registry that takes any bearer token that `is_good` says is good.
async fn with_tokens(
    realm: String,
    is_good: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Fake {
    Fake::start(move |head| {
        let token = head.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if token.is_some_and(&is_good) {
            return answer(200, &[("content-type", "x/y")], "{}");
        }
        let scope = "repository:app:pull";
        let challenge = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\",scope=\"{scope}\"");
        answer(401, &[("www-authenticate", &challenge)], "")
    })
    .await
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many_requests() {
    let tokens = Tokens::start().await;
    let fake = with_tokens(tokens.realm(), |_| true).await;
    let registry = Registry::new(config());
    let reference = format!("{}/app", fake.host()).parse().unwrap();
    for _ in 0..3 {
        let credentials = Some(account(NAME, PASSWORD));
        let repository = registry.repository(&reference, credentials, Access::Pull);
        repository.manifest(&tag()).await.unwrap();
    }
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].method, "GET");
    assert_eq!(asked[0].account.as_deref(), Some(NAME));
    assert_eq!(asked[0].scopes, ["repository:app:pull"]);
    for wanted in [("service", SERVICE), ("account", NAME)] {
        assert!(asked[0].parameters.contains(&(wanted.0.to_owned(), wanted.1.to_owned())));
    }
    // A push needs another token.
    let repository =
        registry.repository(&reference, Some(account(NAME, PASSWORD)), Access::PullAndPush);
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(tokens.asked()[1].scopes, ["repository:app:pull,push"]);
    // And somebody else needs one of their own.
    registry.repository(&reference, None, Access::Pull).manifest(&tag()).await.unwrap();
    assert_eq!(tokens.asked()[2].account, None);
}

#[tokio::test]
async fn many_at_once_share_one_token() {
    let tokens = Tokens::start().await;
    let fake = with_tokens(tokens.realm(), |_| true).await;
    let repository = open(config(), &fake.host(), Asking::pull_as(NAME, PASSWORD));
    let pulls = (0..20).map(|_| {
        let repository = repository.clone();
        tokio::spawn(async move { repository.manifest(&tag()).await.unwrap() })
    });
    for pull in pulls.collect::<Vec<_>>() {
        pull.await.unwrap();
    }
    assert_eq!(tokens.asked().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_replaced() {
    let tokens = Tokens::start().await;
    let age = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&age);
    let (first, second) = (Arc::new(std::sync::Mutex::new(String::new())), Arc::clone(&age));
    // The first token is good for two requests, any other for ever.
    let fake = with_tokens(tokens.realm(), move |token| {
        let mut first = first.lock().unwrap();
        if first.is_empty() {
            token.clone_into(&mut first);
        }
        *first != token || seen.fetch_add(1, Ordering::SeqCst) < 2
    })
    .await;
    let repository = open(config(), &fake.host(), Asking::pull_as(NAME, PASSWORD));
    for _ in 0..5 {
        repository.manifest(&tag()).await.unwrap();
    }
    assert_eq!(tokens.asked().len(), 2);
    assert_eq!(second.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_registry_that_refuses_every_token_is_not_asked_for_ever() {
    let tokens = Tokens::start().await;
    let fake = with_tokens(tokens.realm(), |_| false).await;
    let repository = open(config(), &fake.host(), Asking::pull_as(NAME, PASSWORD));
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.chain(), "unauthorized: authentication required");
    assert!(fake.seen().len() <= 3, "{:?}", fake.seen());
}

#[tokio::test]
async fn a_refresh_token_is_posted() {
    let tokens = Tokens::start().await;
    let fake = with_tokens(tokens.realm(), |_| true).await;
    let credentials = Credentials {
        username: "<token>".into(),
        identity_token: REFRESH.into(),
        ..Credentials::default()
    };
    let asking = Asking { access: Access::Pull, credentials: Some(credentials) };
    open(config(), &fake.host(), asking).manifest(&tag()).await.unwrap();
    let asked = &tokens.asked()[0];
    assert_eq!((asked.method.as_str(), asked.account.as_deref()), ("POST", Some(NAME)));
    let grant = ("grant_type".to_owned(), "refresh_token".to_owned());
    assert!(asked.parameters.contains(&grant), "{asked:?}");
}

#[tokio::test]
async fn a_ready_token_is_shown_as_it_is() {
    let fake = with_tokens("http://127.0.0.1:1/token".into(), |token| token == "ready").await;
    let credentials = Credentials { registry_token: "ready".into(), ..Credentials::default() };
    let asking = Asking { access: Access::Pull, credentials: Some(credentials) };
    open(config(), &fake.host(), asking).manifest(&tag()).await.unwrap();
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_the_token_services_word() {
    let tokens = Tokens::start().await;
    let fake = with_tokens(tokens.realm(), |_| true).await;
    let repository = open(config(), &fake.host(), Asking::pull_as(NAME, "wrong"));
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert!(
        error.chain().ends_with("unauthorized: incorrect username or password"),
        "{}",
        error.chain()
    );
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_login_gives_a_token_for_later() {
    let tokens = Tokens::start().await;
    let fake = with_tokens(tokens.realm(), |_| true).await;
    let registry = Registry::new(config());
    for address in [fake.host(), format!("http://{}/v2/", fake.host())] {
        let login = registry.login(&address, &account(NAME, PASSWORD)).await.unwrap();
        assert_eq!(
            (login.status.as_str(), login.identity_token.as_str()),
            ("Login Succeeded", REFRESH)
        );
    }
    let error = registry.login(&fake.host(), &account(NAME, "wrong")).await.unwrap_err();
    assert_eq!(
        error.chain(),
        format!("Get \"http://{}/v2/\": unauthorized: incorrect username or password", fake.host())
    );
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_login_by_name_and_password_gives_none() {
    let fake = with_basic().await;
    let registry = Registry::new(config());
    let login = registry.login(&fake.host(), &account(NAME, PASSWORD)).await.unwrap();
    assert_eq!((login.status.as_str(), login.identity_token.as_str()), ("Login Succeeded", ""));
    let error = registry.login(&fake.host(), &account(NAME, "wrong")).await.unwrap_err();
    assert_eq!(
        error.chain(),
        format!("login attempt to http://{}/v2/ failed with status: 401 Unauthorized", fake.host())
    );
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_search_asks_the_registry_that_the_term_names() {
    let fake = Fake::start(|head| {
        assert_eq!(head.target, "/v1/search?q=some%20app&n=7");
        answer(
            200,
            &[],
            r#"{"num_results":1,"results":[{"name":"some/app","description":"d","star_count":3,"is_official":true}]}"#,
        )
    })
    .await;
    let registry = Registry::new(config());
    let request = |limit| SearchRequest {
        term: format!("{}/some app", fake.host()),
        limit,
        credentials: None,
    };
    let found = registry.search(&request(7)).await.unwrap();
    assert_eq!(
        (found[0].name.as_str(), found[0].star_count, found[0].is_official),
        ("some/app", 3, true)
    );
    let error = registry.search(&request(101)).await.unwrap_err();
    assert_eq!(error.chain(), "limit 101 is outside the range of [1, 100]");
}

#[tokio::test]
async fn a_search_that_is_refused_has_dockers_text() {
    let fake = Fake::start(|_| refuse(404, "NOT_FOUND", "no")).await;
    let term = format!("{}/app", fake.host());
    let request = SearchRequest { term, ..SearchRequest::default() };
    let error = Registry::new(config()).search(&request).await.unwrap_err();
    assert_eq!(error.chain(), "Unexpected status code 404");
}

#[tokio::test]
async fn the_scope_of_a_mount_is_asked_for() {
    let tokens = Tokens::start().await;
    let realm = tokens.realm();
    let fake = Fake::start(move |head| {
        if head.header("authorization").is_none() {
            let challenge = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
            return answer(401, &[("www-authenticate", &challenge)], "");
        }
        match head.method.as_str() {
            "HEAD" => Act::Send(crate::fake::head(404, &[("content-length", "0")])),
            _ => answer(201, &[("location", "/v2/app/blobs/x")], ""),
        }
    })
    .await;
    let repository = open(config(), &fake.host(), Asking::push_as(NAME, PASSWORD));
    let mut blob = crate::upload(b"1234567890");
    blob.mount_from = vec!["lib/base".into()];
    repository.push_blob(&blob, Arc::new(|_| {})).await.unwrap();
    let mut scopes = tokens.asked().last().unwrap().scopes.clone();
    scopes.sort();
    assert_eq!(scopes, ["repository:app:pull,push", "repository:lib/base:pull"]);
}
