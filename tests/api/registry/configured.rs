//! What the daemon is told about registries: without TLS, with a CA of one's own, mirrors, limits; and a reload.

use std::fs;
use std::path::PathBuf;

use barge_testkit::{HostOptions, TestHost, eventually};
use serde_json::{Value, json};

use super::fake::{Fake, Fault, layer, noise};
use super::server::{Registry, RegistryOptions};
use super::{lines, pull, pulled, push, pushed, refused, remove, tag};

/// An address that is not the loopback's, so that TLS is asked for.
const ADDRESS: &str = "10.213.0.1";

fn host(flags: &[&str]) -> TestHost {
    let host = TestHost::with(HostOptions {
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        links: vec![format!("addr add {ADDRESS}/32 dev lo")],
        ..HostOptions::default()
    });
    host.busybox();
    host
}

fn reload(host: &TestHost, configuration: &Value) {
    fs::write(host.scratch().join("daemon.json"), configuration.to_string()).unwrap();
    let before = host.log().matches("eloaded").count();
    barge_sys::signal::kill(host.daemon_pid(), libc::SIGHUP).unwrap();
    eventually("the configuration is read again", || {
        host.log().matches("eloaded").count() > before
    });
}

#[test]
fn a_registry_without_tls_is_refused_until_it_is_configured_and_a_reload_suffices() {
    let host = host(&[]);
    let options = RegistryOptions { address: Some(ADDRESS), ..RegistryOptions::default() };
    let registry = Registry::with(&host, &options);
    let name = registry.image("plain:1");
    tag(&host, "busybox:latest", &name);
    let told = lines(&push(&host, &name).is(200)).pop().unwrap();
    assert!(told.contains("http: server gave HTTP response to HTTPS client"), "{told}");
    assert!(told.contains("insecure-registries"), "{told}");
    assert!(refused(&host, &name).contains("insecure-registries"));
    for entry in [registry.name.clone(), "10.213.0.0/16".to_owned()] {
        reload(&host, &json!({"insecure-registries": [entry]}));
        pushed(&host, &name);
        remove(&host, &name);
        pulled(&host, &name);
        reload(&host, &json!({}));
        assert!(pull(&host, &name).error(500).contains("insecure-registries"));
    }
    remove(&host, &name);
}

#[test]
fn info_shows_what_is_configured() {
    let flags = [
        "--insecure-registry=reg.example:5000",
        "--insecure-registry=10.0.0.0/8",
        "--registry-mirror=https://mirror.example",
        "--http-proxy=http://me:secret@proxy.example:3128",
        "--no-proxy=.example",
    ];
    let host = host(&flags);
    let info = host.api().get("/info").is(200).json();
    let config = &info["RegistryConfig"];
    let networks = config["InsecureRegistryCIDRs"].as_array().unwrap();
    assert!(networks.contains(&json!("10.0.0.0/8")) && networks.contains(&json!("127.0.0.0/8")));
    assert_eq!(config["IndexConfigs"]["reg.example:5000"]["Secure"], false);
    assert_eq!(config["IndexConfigs"]["docker.io"]["Official"], true);
    assert_eq!(config["Mirrors"], json!(["https://mirror.example/"]));
    assert_eq!(info["IndexServerAddress"], "https://index.docker.io/v1/");
    assert_eq!(info["HttpProxy"], "http://xxxxx:xxxxx@proxy.example:3128");
    assert_eq!(info["NoProxy"], ".example");
    assert!(!info.to_string().contains("secret"));
}

#[test]
fn a_wrong_reload_changes_nothing() {
    let host = host(&["--insecure-registry=10.213.0.0/16"]);
    let options = RegistryOptions { address: Some(ADDRESS), ..RegistryOptions::default() };
    let registry = Registry::with(&host, &options);
    let name = registry.image("kept:1");
    tag(&host, "busybox:latest", &name);
    reload(&host, &json!({"registry-mirrors": ["no url"]}));
    assert!(host.log().contains("nothing is reloaded"), "{}", host.log());
    pushed(&host, &name);
    remove(&host, &name);
}

/// A folder below `/etc/barge/certs.d` that goes with the test.
struct Certs(PathBuf);

impl Certs {
    fn of(registry: &str, ca: &str) -> Self {
        let folder = PathBuf::from("/etc/barge/certs.d").join(registry);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ca.crt"), ca).unwrap();
        Self(folder)
    }
}

impl Drop for Certs {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
        // Those above go when they are empty.
        fs::remove_dir("/etc/barge/certs.d").ok();
        fs::remove_dir("/etc/barge").ok();
    }
}

#[test]
fn a_registry_with_a_ca_of_its_own_is_trusted_once_the_ca_is_there() {
    let host = host(&[]);
    let authority = {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        (certificate.pem(), rcgen::Issuer::new(parameters, key))
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![ADDRESS.to_owned()])
        .unwrap()
        .signed_by(&key, &authority.1)
        .unwrap();
    let options = RegistryOptions {
        address: Some(ADDRESS),
        tls: Some((
            host.file("server.pem", certificate.pem()).into(),
            host.file("server.key", key.serialize_pem()).into(),
        )),
        ..RegistryOptions::default()
    };
    let registry = Registry::with(&host, &options);
    let name = registry.image("tls:1");
    tag(&host, "busybox:latest", &name);
    let error = refused(&host, &name);
    assert!(error.contains("x509: "), "{error}");
    let certs = Certs::of(&registry.name, &authority.0);
    pushed(&host, &name);
    remove(&host, &name);
    pulled(&host, &name);
    drop(certs);
    remove(&host, &name);
}

#[test]
fn a_login_says_whether_name_and_password_are_right() {
    let host = host(&[]);
    let users = RegistryOptions { has_users: true, ..RegistryOptions::default() };
    let registry = Registry::with(&host, &users);
    let login = |password: &str| {
        let body = json!({
            "username": "tester", "password": password, "serveraddress": registry.name,
        });
        host.api().post("/auth", body)
    };
    let answer = login("secret").is(200).json();
    assert_eq!(answer, json!({"Status": "Login Succeeded", "IdentityToken": ""}));
    let error = login("wrong").error(401);
    let url = format!("http://{}/v2/", registry.name);
    assert_eq!(error, format!("login attempt to {url} failed with status: 401 Unauthorized"));
    let name = registry.image("mine:1");
    assert!(refused(&host, &name).ends_with("no basic auth credentials"));
}

#[test]
fn a_search_is_checked_before_anybody_is_asked() {
    let host = host(&[]);
    let search = |query: &str| host.api().get(&format!("/images/search?{query}"));
    assert!(search("term=127.0.0.1:9/x&limit=1000").error(400).contains("1000"));
    assert!(search("term=x&limit=many").error(400).contains("limit"));
    let filters = "filters=%7B%22x%22:%5B%22a%22%5D%7D";
    assert!(search(&format!("term=127.0.0.1:9/x&{filters}")).error(400).contains("'x'"));
    assert!(search("term=127.0.0.1:9/x").error(503).contains("127.0.0.1:9"));
}

#[test]
fn layers_wait_for_each_other_as_the_limit_says() {
    let host = host(&["--max-concurrent-downloads=1"]);
    let fake = Fake::start(&host);
    let layers = [layer("a", &noise(1, 100_000)), layer("b", &noise(2, 100_000))];
    let (_, blobs) = fake.add("two", "1", &layers);
    blobs.iter().for_each(|blob| fake.fail(blob, &[Fault::Hold(10)]));
    let (repository, tag) = (fake.image("two"), "1");
    let mut connection = host.api().connect();
    let path = format!("/images/create?fromImage={repository}&tag={tag}");
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    connection.write(head.as_bytes());
    assert_eq!(connection.head().0, 200);
    let mut told = String::new();
    while !told.contains("Downloading") {
        told.push_str(&String::from_utf8(connection.chunk().unwrap()).unwrap());
    }
    assert!(told.contains("Waiting"), "{told}");
    assert_eq!(
        fake.asked("/blobs/sha256").iter().filter(|line| line.contains(&blobs[1])).count(),
        0
    );
    fake.release();
    while let Some(chunk) = connection.chunk() {
        told.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert!(told.contains("Status: Downloaded newer image"), "{told}");
    remove(&host, &fake.image("two:1"));
}

#[test]
fn what_docker_hub_has_comes_from_its_mirror() {
    let host = host(&[]);
    let fake = Fake::start(&host);
    fake.add("library/mirrored", "1", &[layer("x", b"mirrored")]);
    reload(&host, &json!({"registry-mirrors": [format!("http://{}", fake.name)]}));
    let told = lines(&pull(&host, "mirrored:1").is(200));
    assert_eq!(told[0], "1 Pulling from library/mirrored");
    assert_eq!(told.last().unwrap(), "Status: Downloaded newer image for mirrored:1");
    remove(&host, "mirrored:1");
}
