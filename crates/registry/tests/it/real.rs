//! Debian's `docker-registry`: without and with TLS, with passwords, with tokens, as a cache.

use std::fs;
use std::process::Command;

use barge_registry::{Access, Pushed, RegistryConfig, Repository, Selector};

use crate::authority::Authority;
use crate::fake::{Act, Fake};
use crate::peer::{self, Peer, PeerOptions};
use crate::tokens::{NAME, PASSWORD, REFRESH, Tokens};
use crate::{
    Asking, Told, account, config, content, open, read, repository, repository_with, sha256, upload,
};

const KIND: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn tag() -> Selector {
    Selector::Tag("v1".into())
}

/// A manifest of a configuration and one layer.
fn manifest(config: &[u8], layer: &[u8]) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": KIND,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": config.len(), "digest": sha256(config),
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "size": layer.len(), "digest": sha256(layer),
        }],
    }))
    .unwrap()
}

/// Pushes an image of a small configuration and a layer of a megabyte, pulls it again, and compares.
async fn there_and_back(repository: &Repository) {
    let (config, layer) = (b"{}".to_vec(), content(1_000_000));
    for blob in [&config, &layer] {
        let pushed = repository.push_blob(&upload(blob), Told::default().listener()).await.unwrap();
        assert_eq!(pushed, Pushed::Uploaded);
        let again = repository.push_blob(&upload(blob), Told::default().listener()).await.unwrap();
        assert_eq!(again, Pushed::Existed);
    }
    let bytes = manifest(&config, &layer);
    let digest = repository.put_manifest(&tag(), KIND, bytes.clone().into()).await.unwrap();
    assert_eq!(digest, sha256(&bytes));
    let fetched = repository.manifest(&tag()).await.unwrap();
    assert_eq!((fetched.bytes.as_ref(), fetched.digest), (bytes.as_slice(), digest));
    assert_eq!(fetched.media_type, KIND);
    assert_eq!(repository.manifest(&Selector::Digest(digest)).await.unwrap(), fetched);
    let head = repository.manifest_digest(&tag()).await.unwrap().unwrap();
    assert_eq!((head.digest, head.media_type.as_str()), (digest, KIND));
    assert_eq!(repository.tags().await.unwrap(), ["v1"]);
    for from in [0, 700_000] {
        let stream = repository.blob(&sha256(&layer), from as u64).await.unwrap();
        assert_eq!(stream.total(), Some(1_000_000));
        assert!(read(stream).await.unwrap() == layer[from..]);
    }
    assert_eq!(repository.has_blob(&sha256(&layer)).await.unwrap(), Some(1_000_000));
    assert_eq!(repository.has_blob(&sha256(b"absent")).await.unwrap(), None);
}

#[tokio::test]
async fn an_image_goes_there_and_back() {
    let peer = Peer::start(&PeerOptions::default());
    there_and_back(&repository(&peer.host(), Access::PullAndPush)).await;
}

#[tokio::test]
async fn an_image_goes_there_and_back_over_tls() {
    let (temp, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let issued = authority.issue("reg.test").write(temp.path(), ("tls.pem", "tls.key"));
    let peer = Peer::start(&PeerOptions { tls: Some(issued), ..PeerOptions::default() });
    let address = peer.host().parse().unwrap();
    let proxy = Fake::start(move |_| Act::Tunnel(address)).await;
    let certs = temp.path().join("certs.d");
    fs::create_dir_all(certs.join("reg.test")).unwrap();
    fs::write(certs.join("reg.test/ca.crt"), authority.pem()).unwrap();
    let proxies =
        barge_registry::Proxies::parse("", &format!("http://{}", proxy.host()), "").unwrap();
    let config = RegistryConfig { certs_dirs: vec![certs], proxies, ..config() };
    there_and_back(&repository_with(config, "reg.test", Access::PullAndPush)).await;
    // On the loopback itself nobody looks at certificates.
    let loopback = repository(&peer.host(), Access::Pull);
    assert_eq!(loopback.tags().await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn an_image_goes_there_and_back_with_a_password() {
    let temp = tempfile::tempdir().unwrap();
    let passwords = temp.path().join("htpasswd");
    let made = Command::new("htpasswd")
        .args(["-Bbc", passwords.to_str().unwrap(), NAME, PASSWORD])
        .output()
        .expect("htpasswd must be installed (Debian package apache2-utils)");
    assert!(made.status.success(), "{made:?}");
    let auth = format!("{{htpasswd: {{realm: test, path: {}}}}}", passwords.display());
    let peer = Peer::start(&PeerOptions { auth: Some(auth), ..PeerOptions::default() });
    there_and_back(&open(config(), &peer.host(), Asking::push_as(NAME, PASSWORD))).await;

    let error = repository(&peer.host(), Access::Pull).manifest(&tag()).await.unwrap_err();
    assert!(error.chain().ends_with("no basic auth credentials"), "{}", error.chain());
    let wrong = open(config(), &peer.host(), Asking::pull_as(NAME, "wrong"));
    let error = wrong.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.chain(), "unauthorized: authentication required");

    let registry = barge_registry::Registry::new(config());
    let login = registry.login(&peer.host(), &account(NAME, PASSWORD)).await.unwrap();
    assert_eq!(login.status, "Login Succeeded");
    let error = registry.login(&peer.host(), &account(NAME, "wrong")).await.unwrap_err();
    assert_eq!(
        error.chain(),
        format!("login attempt to http://{}/v2/ failed with status: 401 Unauthorized", peer.host())
    );
}

#[tokio::test]
async fn an_image_goes_there_and_back_with_tokens() {
    let (temp, tokens) = (tempfile::tempdir().unwrap(), Tokens::start().await);
    let auth = Some(tokens.yaml(temp.path()));
    let peer = Peer::start(&PeerOptions { auth, ..PeerOptions::default() });
    there_and_back(&open(config(), &peer.host(), Asking::push_as(NAME, PASSWORD))).await;
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1, "one token is enough: {asked:?}");
    assert_eq!(asked[0].scopes, ["repository:app:pull,push"]);

    // An anonymous token has no scope here; the registry says so, and Docker's text is the one for it.
    let error = repository(&peer.host(), Access::Pull).manifest(&tag()).await.unwrap_err();
    let text = format!("pull access denied for {}/app, repository does not exist", peer.host());
    assert!(error.chain().starts_with(&text), "{}", error.chain());

    // What a login gives is as good as the password.
    let registry = barge_registry::Registry::new(config());
    let login = registry.login(&peer.host(), &account(NAME, PASSWORD)).await.unwrap();
    assert_eq!(login.identity_token, REFRESH);
    let credentials = barge_registry::Credentials {
        identity_token: login.identity_token,
        ..barge_registry::Credentials::default()
    };
    let asking = Asking { access: Access::Pull, credentials: Some(credentials) };
    assert_eq!(open(config(), &peer.host(), asking).tags().await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository() {
    let peer = Peer::start(&PeerOptions::default());
    let registry = barge_registry::Registry::new(config());
    let open = |name: &str| {
        let reference = format!("{}/{name}", peer.host()).parse().unwrap();
        registry.repository(&reference, None, Access::PullAndPush)
    };
    let mut blob = upload(&content(300_000));
    open("lib/base").push_blob(&blob, Told::default().listener()).await.unwrap();
    blob.mount_from = vec!["lib/base".into()];
    let pushed = open("app").push_blob(&blob, Told::default().listener()).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted { from: "lib/base".into() });
    assert_eq!(open("app").has_blob(&blob.digest).await.unwrap(), Some(300_000));
    // A repository that does not have it costs nothing but the attempt.
    let mut other = upload(&content(300_001));
    other.mount_from = vec!["lib/absent".into()];
    let pushed = open("app").push_blob(&other, Told::default().listener()).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_dockers_words() {
    let peer = Peer::start(&PeerOptions::default());
    let repository = repository(&peer.host(), Access::Pull);
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(
        error.chain(),
        format!(
            "manifest for {}/app:v1 not found: manifest unknown: manifest unknown",
            peer.host()
        )
    );
    assert_eq!(repository.manifest_digest(&tag()).await.unwrap(), None);
    let error = repository.tags().await.unwrap_err();
    assert_eq!(
        error.chain(),
        format!(
            "repository {}/app not found: name unknown: repository name not known to registry",
            peer.host()
        )
    );
}

#[tokio::test]
async fn a_cache_of_another_registry_is_a_mirror_of_it() {
    let temp = tempfile::tempdir().unwrap();
    let origin = Peer::start(&PeerOptions::default());
    there_and_back(&repository(&origin.host(), Access::PullAndPush)).await;
    let proxy = Some(format!("{{remoteurl: \"http://{}\"}}", origin.host()));
    let cache = Peer::start(&PeerOptions { proxy, ..PeerOptions::default() });
    fs::create_dir_all(temp.path().join("reg.test")).unwrap();
    let hosts = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        origin.host(),
        cache.host()
    );
    fs::write(temp.path().join("reg.test/hosts.toml"), hosts).unwrap();
    let config = RegistryConfig { certs_dirs: vec![temp.path().to_owned()], ..config() };
    let repository = repository_with(config, "reg.test", Access::Pull);
    let layer = content(1_000_000);
    repository.manifest(&tag()).await.unwrap();
    let stream = repository.blob(&sha256(&layer), 0).await.unwrap();
    assert!(read(stream).await.unwrap() == layer);
    // With the origin gone, the cache alone has it; it keeps what it has passed on a moment later.
    let hex = sha256(&layer).hex();
    let kept =
        cache.storage().join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    peer::until_made(&kept);
    drop(origin);
    let stream = repository.blob(&sha256(&layer), 500_000).await.unwrap();
    assert!(read(stream).await.unwrap() == layer[500_000..]);
}

#[tokio::test]
async fn an_upload_through_a_wire_that_is_cut_arrives_whole() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    let peer = Peer::start(&PeerOptions::default());
    let (target, wire) = (peer.host(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = wire.local_addr().unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let cut = Arc::clone(&cuts);
    // Lets through what comes, but no more than two megabytes to the registry over one connection, three times.
    let task = tokio::spawn(async move {
        loop {
            let (mut client, _) = wire.accept().await.unwrap();
            let (target, cut) = (target.clone(), Arc::clone(&cut));
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.unwrap();
                let (mut from_server, mut to_server) = server.split();
                let (mut from_client, mut to_client) = client.split();
                let up = async {
                    let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
                    loop {
                        let count = from_client.read(&mut buffer).await.unwrap_or(0);
                        passed += count;
                        if count == 0 || to_server.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                        if passed > 2 << 20 && cut.fetch_add(1, Ordering::SeqCst) < 3 {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = up => {}
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                }
            });
        }
    });
    let bytes = content(12_000_000);
    let repository = repository(&address.to_string(), Access::PullAndPush);
    let told = Told::default();
    let pushed = repository.push_blob(&upload(&bytes), told.listener()).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert!(cuts.load(Ordering::SeqCst) >= 3);
    assert_eq!(told.all().last(), Some(&12_000_000));
    let stream = repository.blob(&sha256(&bytes), 0).await.unwrap();
    assert!(read(stream).await.unwrap() == bytes);
    assert!(peer.storage().exists());
    assert_ne!(peer.port(), 0);
    task.abort();
}
