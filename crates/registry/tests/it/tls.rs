//! TLS with certificates of the test's own. The names are not those of this machine: a proxy leads to the servers, so
//! that they are not among the insecure ones that loopback addresses always are.

use std::fs;
use std::path::Path;

use barge_registry::{Access, Proxies, RegistryConfig, Selector};

use crate::authority::Authority;
use crate::fake::{Act, Fake, answer};
use crate::{config, repository_with};

fn tag() -> Selector {
    Selector::Tag("v1".into())
}

fn manifest() -> Act {
    answer(200, &[("content-type", "x/y")], "{}")
}

/// A proxy that leads every name to one server.
async fn proxy_to(server: &Fake) -> Fake {
    let address = server.address;
    Fake::start(move |head| match head.method.as_str() {
        "CONNECT" => Act::Tunnel(address),
        _ => manifest(),
    })
    .await
}

fn through(proxy: &Fake, certs: &Path) -> RegistryConfig {
    let url = format!("http://{}", proxy.host());
    RegistryConfig {
        proxies: Proxies::parse(&url, &url, "").unwrap(),
        certs_dirs: vec![certs.to_owned()],
        ..config()
    }
}

fn write(certs: &Path, host: &str, files: &[(&str, &str)]) {
    fs::create_dir_all(certs.join(host)).unwrap();
    for (name, text) in files {
        fs::write(certs.join(host).join(name), text).unwrap();
    }
}

#[tokio::test]
async fn an_own_authority_is_trusted_for_its_registry_alone() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Fake::start_tls(authority.server("reg.test"), |_| manifest()).await;
    let proxy = proxy_to(&server).await;
    write(temp.path(), "reg.test:5000", &[("ca.crt", &authority.pem())]);
    let config = through(&proxy, temp.path());
    repository_with(config.clone(), "reg.test:5000", Access::Pull).manifest(&tag()).await.unwrap();
    assert_eq!(proxy.seen()[0].target, "reg.test:5000");

    let error =
        repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap_err();
    assert_eq!(
        error.chain(),
        "Get \"https://reg.test/v2/app/manifests/v1\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Fake::start_tls(authority.server("other.test"), |_| manifest()).await;
    let proxy = proxy_to(&server).await;
    write(temp.path(), "reg.test", &[("ca.crt", &authority.pem())]);
    let error = repository_with(through(&proxy, temp.path()), "reg.test", Access::Pull)
        .manifest(&tag())
        .await
        .unwrap_err();
    assert!(error.chain().contains("x509: certificate is"), "{}", error.chain());
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_wants_one() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Fake::start_tls(authority.strict_server("reg.test"), |_| manifest()).await;
    let proxy = proxy_to(&server).await;
    let client = authority.issue("me");
    write(temp.path(), "reg.test", &[("ca.crt", &authority.pem())]);
    let config = through(&proxy, temp.path());
    let error = repository_with(config.clone(), "reg.test", Access::Pull)
        .manifest(&tag())
        .await
        .unwrap_err();
    assert!(error.chain().contains("https://reg.test/v2/"), "{}", error.chain());
    assert_eq!(server.seen().len(), 0);

    let files = [("me.cert", client.certificate.as_str()), ("me.key", client.key.as_str())];
    write(temp.path(), "reg.test", &files);
    repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_hosts_file_has_certificates_of_its_own() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Fake::start_tls(authority.strict_server("mirror.test"), |_| manifest()).await;
    let proxy = proxy_to(&server).await;
    let client = authority.issue("me");
    let toml =
        "[host.\"https://mirror.test\"]\nca = \"own.pem\"\nclient = [[\"c.pem\", \"k.pem\"]]\n";
    let files = [
        ("hosts.toml", toml),
        ("own.pem", &authority.pem()),
        ("c.pem", &client.certificate),
        ("k.pem", &client.key),
    ];
    write(temp.path(), "reg.test", &files);
    let config = through(&proxy, temp.path());
    repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap();
    assert_eq!(server.seen()[0].target, "/v2/app/manifests/v1?ns=reg.test");
}

#[tokio::test]
async fn skip_verify_takes_any_certificate() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Fake::start_tls(authority.server("whoever.test"), |_| manifest()).await;
    let proxy = proxy_to(&server).await;
    let toml = "server = \"https://reg.test\"\nskip_verify = true\n";
    write(temp.path(), "reg.test", &[("hosts.toml", toml)]);
    let config = through(&proxy, temp.path());
    repository_with(config, "reg.test", Access::Pull).manifest(&tag()).await.unwrap();
}

#[tokio::test]
async fn an_insecure_registrys_certificate_is_not_looked_at() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = Fake::start_tls(authority.server("whoever.test"), |_| manifest()).await;
    let proxy = proxy_to(&server).await;
    let config = through(&proxy, temp.path()).insecure(&["reg.test:5000".into()]).unwrap();
    repository_with(config.clone(), "reg.test:5000", Access::Pull).manifest(&tag()).await.unwrap();
    let error =
        repository_with(config, "reg.test:5001", Access::Pull).manifest(&tag()).await.unwrap_err();
    assert!(error.chain().contains("x509"), "{}", error.chain());
}

#[tokio::test]
async fn a_registry_without_tls_is_refused_with_a_hint() {
    let temp = tempfile::tempdir().unwrap();
    let server = Fake::start(|_| manifest()).await;
    let proxy = proxy_to(&server).await;
    let config = through(&proxy, temp.path());
    let error =
        repository_with(config, "reg.test:5000", Access::Pull).manifest(&tag()).await.unwrap_err();
    let chain = error.chain();
    let dockers = "Get \"https://reg.test:5000/v2/app/manifests/v1\": http: server gave HTTP response to HTTPS client";
    assert!(chain.starts_with(dockers), "{chain}");
    for hint in ["insecure-registries", "daemon.json", "reg.test:5000"] {
        assert!(chain[dockers.len()..].contains(hint), "{chain}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn an_insecure_registry_without_tls_is_asked_without() {
    let temp = tempfile::tempdir().unwrap();
    let server = Fake::start(|_| manifest()).await;
    let proxy = proxy_to(&server).await;
    let config = through(&proxy, temp.path()).insecure(&["reg.test:5000".into()]).unwrap();
    let repository = repository_with(config, "reg.test:5000", Access::Pull);
    for _ in 0..3 {
        repository.manifest(&tag()).await.unwrap();
    }
    let targets: Vec<String> = proxy.seen().into_iter().map(|head| head.target).collect();
    let plain = "http://reg.test:5000/v2/app/manifests/v1";
    // With TLS first, as Docker does; then it is known.
    assert_eq!(targets, ["reg.test:5000", plain, plain, plain]);
}

#[tokio::test]
async fn a_network_is_insecure_by_address() {
    let temp = tempfile::tempdir().unwrap();
    let server = Fake::start(|_| manifest()).await;
    let proxy = proxy_to(&server).await;
    let config = through(&proxy, temp.path()).insecure(&["192.0.2.0/24".into()]).unwrap();
    repository_with(config.clone(), "192.0.2.9:5000", Access::Pull).manifest(&tag()).await.unwrap();
    let error = repository_with(config, "203.0.113.9:5000", Access::Pull)
        .manifest(&tag())
        .await
        .unwrap_err();
    assert!(error.chain().contains("insecure-registries"), "{}", error.chain());
}

#[tokio::test]
async fn a_servers_own_certificate_is_trusted_by_its_name() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::named("reg.test"));
    let server = Fake::start_tls(authority.self_signed_server(), |_| manifest()).await;
    let proxy = proxy_to(&server).await;
    for host in ["reg.test", "other.test"] {
        write(temp.path(), host, &[("ca.crt", &authority.pem())]);
    }
    let config = through(&proxy, temp.path());
    repository_with(config.clone(), "reg.test", Access::Pull).manifest(&tag()).await.unwrap();

    for (host, reason) in [("other.test", "certificate is"), ("third.test", "")] {
        let repository = repository_with(config.clone(), host, Access::Pull);
        let error = repository.manifest(&tag()).await.unwrap_err().chain();
        let wanted = format!("tls: failed to verify certificate: x509: {reason}");
        assert!(error.contains(&wanted), "{error}");
    }
    assert_eq!(server.seen().len(), 1);
}
