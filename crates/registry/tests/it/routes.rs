//! Ways to a server: redirects, mirrors, proxies.

use std::fs;
use std::path::Path;

use barge_registry::{Access, Proxies, Pushed, RegistryConfig, Selector};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::authority::Authority;
use crate::fake::{Act, Fake, answer, raw, refuse};
use crate::tokens::{NAME, PASSWORD};
use crate::{Asking, Told, config, open, read, repository, repository_with, sha256, upload};

fn tag() -> Selector {
    Selector::Tag("v1".into())
}

fn with_hosts_file(folder: &Path, host: &str, text: &str) -> RegistryConfig {
    let own = folder.join(host);
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("hosts.toml"), text).unwrap();
    RegistryConfig { certs_dirs: vec![folder.to_owned()], ..config() }
}

fn manifest() -> Act {
    answer(200, &[("content-type", "x/y")], "{}")
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let bytes = b"the blob";
    let store = Fake::start(|_| answer(200, &[], "the blob")).await;
    let place = format!("http://{}/signed?x=1", store.host());
    let fake = Fake::start(move |head| match head.header("authorization") {
        None => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        Some(_) if head.path().contains("/blobs/") => answer(307, &[("location", "/moved")], ""),
        Some(_) => answer(302, &[("location", &place)], ""),
    })
    .await;
    let repository = open(config(), &fake.host(), Asking::pull_as(NAME, PASSWORD));
    let stream = repository.blob(&sha256(bytes), 0).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), bytes);
    let moved: Vec<_> = fake.seen().into_iter().filter(|head| head.path() == "/moved").collect();
    assert!(moved[0].header("authorization").is_some(), "it is the same host");
    assert_eq!(store.seen()[0].header("authorization"), None);
    assert_eq!(store.seen()[0].target, "/signed?x=1");
}

#[tokio::test]
async fn a_range_is_asked_for_where_the_redirect_leads_too() {
    let store = Fake::start(|head| {
        assert_eq!(head.range_start(), 4);
        answer(206, &[("content-range", "bytes 4-7/8")], "blob")
    })
    .await;
    let place = format!("http://{}/signed", store.host());
    let fake = Fake::start(move |_| answer(307, &[("location", &place)], "")).await;
    let repository = repository(&fake.host(), Access::Pull);
    let stream = repository.blob(&sha256(b"x"), 4).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), b"blob");
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let fake = Fake::start(|head| answer(302, &[("location", &head.target.clone())], "")).await;
    let error = repository(&fake.host(), Access::Pull).manifest(&tag()).await.unwrap_err();
    assert!(error.chain().ends_with("stopped after 10 redirects"), "{}", error.chain());
}

#[tokio::test]
async fn a_redirect_out_of_tls_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let store = Fake::start(|_| manifest()).await;
    let place = format!("http://{}/x", store.host());
    let authority = Authority::new();
    let fake = Fake::start_tls(authority.server("127.0.0.1"), move |_| {
        answer(302, &[("location", &place)], "")
    })
    .await;
    fs::write(temp.path().join("ca.pem"), authority.pem()).unwrap();
    let text = format!(
        "server = \"https://{}\"\nca = {:?}\n",
        fake.host(),
        temp.path().join("ca.pem").to_str().unwrap()
    );
    let config = with_hosts_file(temp.path(), "reg.test", &text);
    let error =
        repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap_err();
    assert!(error.chain().contains("refused to follow a redirect from https"), "{}", error.chain());
    assert_eq!(store.seen().len(), 0);
}

#[tokio::test]
async fn mirrors_of_a_hosts_file_come_first_and_never_see_credentials() {
    let temp = tempfile::tempdir().unwrap();
    let broken = Fake::start(|_| answer(500, &[], "broken")).await;
    let empty = Fake::start(|_| refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    let origin = Fake::start(|head| match head.header("authorization") {
        None => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        Some(_) => manifest(),
    })
    .await;
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\n[host.\"http://{}\"]\nheader = {{ x-own = \"yes\" }}\n",
        origin.host(),
        broken.host(),
        empty.host()
    );
    let config = with_hosts_file(temp.path(), "reg.test:5000", &text);
    let repository = open(config, "reg.test:5000", Asking::pull_as(NAME, PASSWORD));
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(broken.seen().len(), 1, "there is somebody else to ask");
    assert_eq!(empty.seen()[0].target, "/v2/app/manifests/v1?ns=reg.test%3A5000");
    assert_eq!(empty.seen()[0].header("x-own"), Some("yes"));
    assert_eq!(origin.seen().last().unwrap().header("x-own"), None);
    for mirror in [&broken, &empty] {
        assert!(mirror.seen().iter().all(|head| head.header("authorization").is_none()));
    }
    assert_eq!(origin.seen().last().unwrap().target, "/v2/app/manifests/v1");
}

#[tokio::test]
async fn a_mirror_that_only_pulls_does_not_say_what_a_tag_is() {
    let temp = tempfile::tempdir().unwrap();
    let mirror = Fake::start(|_| answer(200, &[], "blob")).await;
    let origin = Fake::start(|_| manifest()).await;
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\"]\n",
        origin.host(),
        mirror.host()
    );
    let config = with_hosts_file(temp.path(), "reg.test", &text);
    let repository = repository_with(config, "reg.test", Access::Pull);
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(mirror.seen().len(), 0);
    let stream = repository.blob(&sha256(b"blob"), 0).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), b"blob");
    assert_eq!((mirror.seen().len(), origin.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_mirror_that_breaks_in_the_middle_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let mirror = Fake::start(|head| match head.before {
        0 => {
            let mut sent = crate::fake::head(200, &[("content-length", "8")]);
            sent.extend_from_slice(b"the ");
            Act::SendAndClose(sent)
        }
        _ => answer(500, &[], "broken"),
    })
    .await;
    let origin = Fake::start(|head| {
        assert_eq!(head.range_start(), 4);
        answer(206, &[("content-range", "bytes 4-7/8")], "blob")
    })
    .await;
    let text =
        format!("server = \"http://{}\"\n[host.\"http://{}\"]\n", origin.host(), mirror.host());
    let config = with_hosts_file(temp.path(), "reg.test", &text);
    let repository = repository_with(config, "reg.test", Access::Pull);
    let stream = repository.blob(&sha256(b"the blob"), 0).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), b"the blob");
}

#[tokio::test]
async fn pushes_go_to_who_may_be_pushed_to() {
    let temp = tempfile::tempdir().unwrap();
    let mirror = Fake::start(|_| answer(500, &[], "not me")).await;
    let origin = Fake::start(|_| answer(201, &[], "")).await;
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        origin.host(),
        mirror.host()
    );
    let config = with_hosts_file(temp.path(), "reg.test", &text);
    let repository = repository_with(config, "reg.test", Access::PullAndPush);
    repository.put_manifest(&tag(), "x/y", "{}".into()).await.unwrap();
    assert_eq!((mirror.seen().len(), origin.seen().len()), (0, 1));
}

#[tokio::test]
async fn what_a_mirror_has_is_pushed_all_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let mirror =
        Fake::start(|_| Act::Send(crate::fake::head(200, &[("content-length", "4")]))).await;
    let origin = Fake::start(|head| match head.method.as_str() {
        "HEAD" => Act::Send(crate::fake::head(404, &[("content-length", "0")])),
        "POST" => answer(202, &[("location", "/v2/app/blobs/uploads/1")], ""),
        _ => answer(201, &[], ""),
    })
    .await;
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\"]\n",
        origin.host(),
        mirror.host()
    );
    let config = with_hosts_file(temp.path(), "reg.test", &text);
    let repository = repository_with(config, "reg.test", Access::PullAndPush);
    let pushed = repository.push_blob(&upload(b"blob"), Told::default().listener()).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(mirror.seen().len(), 0);
}

#[tokio::test]
async fn a_mirror_that_is_wrong_or_torn_does_not_keep_the_registry_from_being_asked() {
    let temp = tempfile::tempdir().unwrap();
    let torn = Fake::start(|_| {
        Act::SendAndClose(crate::fake::head(
            200,
            &[("content-type", "x/y"), ("content-length", "9")],
        ))
    })
    .await;
    let wrong = Fake::start(|_| answer(200, &[("content-type", "x/y")], "[]")).await;
    let origin = Fake::start(|_| manifest()).await;
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\n[host.\"http://{}\"]\n",
        origin.host(),
        torn.host(),
        wrong.host()
    );
    let config = with_hosts_file(temp.path(), "reg.test", &text);
    let repository = repository_with(config, "reg.test", Access::Pull);
    let digest = Selector::Digest(sha256(b"{}"));
    assert_eq!(repository.manifest(&digest).await.unwrap().bytes, "{}");
    // With nobody else to ask, the error is the mirror's.
    drop(origin);
    let nobody = Fake::start(|_| refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    let text =
        format!("server = \"http://{}\"\n[host.\"http://{}\"]\n", nobody.host(), wrong.host());
    let config = with_hosts_file(temp.path(), "reg.test", &text);
    let repository = repository_with(config, "reg.test", Access::Pull);
    let error = repository.manifest(&digest).await.unwrap_err();
    assert!(error.chain().contains("manifest unknown"), "{}", error.chain());
}

#[tokio::test]
async fn mirrors_for_all_leave_a_registry_its_own_settings() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let mirror = Fake::start(|_| refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    let origin = Fake::start_tls(authority.server("reg.test"), |_| manifest()).await;
    let address = origin.address;
    let proxy = Fake::start(move |_| Act::Tunnel(address)).await;
    let text = format!("[host.\"http://{}\"]\n", mirror.host());
    let config = RegistryConfig {
        proxies: Proxies::parse("", &format!("http://{}", proxy.host()), "").unwrap(),
        ..with_hosts_file(temp.path(), "_default", &text)
    };
    fs::create_dir_all(temp.path().join("reg.test")).unwrap();
    fs::write(temp.path().join("reg.test/ca.crt"), authority.pem()).unwrap();
    repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap();
    assert_eq!((mirror.seen().len(), origin.seen().len()), (1, 1));
}

#[tokio::test]
async fn an_upload_does_not_leave_tls() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let plain = Fake::start(|_| answer(201, &[], "")).await;
    let elsewhere = format!("http://{}/upload", plain.host());
    let origin = Fake::start_tls(authority.server("reg.test"), move |head| {
        match (head.method.as_str(), head.path()) {
            ("HEAD", _) => Act::Send(crate::fake::head(404, &[("content-length", "0")])),
            // As registries do that do not know of the TLS before them.
            ("POST", "/v2/app/blobs/uploads/") if head.before == 0 => {
                answer(202, &[("location", "http://reg.test/v2/app/blobs/uploads/1")], "")
            }
            ("POST", _) => answer(202, &[("location", &elsewhere)], ""),
            ("PUT", "/v2/app/blobs/uploads/1") => answer(201, &[], ""),
            _ => panic!("{head:?}"),
        }
    })
    .await;
    let address = origin.address;
    let proxy = Fake::start(move |_| Act::Tunnel(address)).await;
    fs::create_dir_all(temp.path().join("reg.test")).unwrap();
    fs::write(temp.path().join("reg.test/ca.crt"), authority.pem()).unwrap();
    let config = RegistryConfig {
        proxies: Proxies::parse("", &format!("http://{}", proxy.host()), "").unwrap(),
        certs_dirs: vec![temp.path().to_owned()],
        ..config()
    };
    let repository = repository_with(config, "reg.test", Access::PullAndPush);
    repository.push_blob(&upload(b"one"), Told::default().listener()).await.unwrap();
    let error =
        repository.push_blob(&upload(b"two"), Told::default().listener()).await.unwrap_err();
    assert!(error.chain().contains("refused to follow"), "{}", error.chain());
    assert_eq!(plain.seen().len(), 0);
}

#[tokio::test]
async fn a_hosts_file_that_makes_no_sense_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let config = with_hosts_file(temp.path(), "reg.test", "serve = 1");
    let error =
        repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap_err();
    let path = temp.path().join("reg.test/hosts.toml");
    assert!(error.chain().contains(path.to_str().unwrap()), "{}", error.chain());
    assert!(error.chain().contains("serve"), "{}", error.chain());
}

#[tokio::test]
async fn registry_mirrors_stand_for_docker_hub() {
    let mirror = Fake::start(|_| manifest()).await;
    let config = config().mirrors(&[format!("http://{}", mirror.host())]).unwrap();
    let reference = "debian".parse().unwrap();
    let registry = barge_registry::Registry::new(config);
    let repository = registry.repository(&reference, None, Access::Pull);
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(mirror.seen()[0].path(), "/v2/library/debian/manifests/v1");
}

#[tokio::test]
async fn plain_http_goes_through_its_proxy() {
    let temp = tempfile::tempdir().unwrap();
    let proxy = Fake::start(|head| {
        assert_eq!(head.target, "http://reg.test:5000/v2/app/manifests/v1");
        assert_eq!(head.header("host"), Some("reg.test:5000"));
        manifest()
    })
    .await;
    let url = format!("http://me:pa%40ss@{}", proxy.host());
    let proxies = Proxies::parse(&url, "", "").unwrap();
    let config = RegistryConfig {
        proxies,
        ..with_hosts_file(temp.path(), "reg.test:5000", "server = \"http://reg.test:5000\"")
    };
    repository_with(config, "reg.test:5000", Access::Pull).manifest(&tag()).await.unwrap();
    let wanted = format!("Basic {}", STANDARD.encode("me:pa@ss"));
    assert_eq!(proxy.seen()[0].header("proxy-authorization"), Some(wanted.as_str()));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let proxy = Fake::start(|_| Act::SendAndClose(raw(403, &[], "no"))).await;
    let proxies = Proxies::parse("", &format!("http://{}", proxy.host()), "").unwrap();
    let config = RegistryConfig { proxies, ..config() };
    let error =
        repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap_err();
    assert_eq!(
        (proxy.seen()[0].method.as_str(), proxy.seen()[0].target.as_str()),
        ("CONNECT", "reg.test:443")
    );
    assert!(error.chain().contains(&proxy.host()), "{}", error.chain());
    assert!(error.chain().contains("403"), "{}", error.chain());
}
