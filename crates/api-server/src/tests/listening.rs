//! Sockets: names, modes, leftovers.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use tempfile::TempDir;

use crate::listen::{Endpoint, ListenError, Listener};

fn error(text: &str) -> String {
    Endpoint::parse(text).unwrap_err().to_string()
}

#[test]
fn forms_of_an_address() {
    assert_eq!(
        Endpoint::parse("unix:///run/x.sock").unwrap(),
        Endpoint::Unix("/run/x.sock".into())
    );
    for (text, address) in [
        ("tcp://127.0.0.1:80", "127.0.0.1:80"),
        ("tcp://localhost", "localhost:2375"),
        ("tcp://", "127.0.0.1:2375"),
        ("tcp://[::1]", "[::1]:2375"),
        ("tcp://[::1]:5", "[::1]:5"),
    ] {
        assert_eq!(Endpoint::parse(text).unwrap(), Endpoint::Tcp(address.into()), "{text}");
    }
}

#[test]
fn other_forms_are_refused() {
    for text in ["", "x", "/run/x.sock", "unix://x", "http://x", "tcp://x/y", "npipe:////./pipe/x"]
    {
        assert!(error(text).starts_with(&format!("invalid bind address ({text})")), "{text}");
    }
    assert!(error("fd://").contains("socket activation"));
}

#[tokio::test]
async fn socket_is_for_owner_and_group_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sub/x.sock");
    let listener = Listener::open(&Endpoint::Unix(path.clone()), Some(1)).await.unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    assert_eq!(found.gid(), 1);
    assert_eq!(listener.address(), format!("unix://{}", path.display()));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let endpoint = Endpoint::Unix(path.clone());
    let listener = Listener::open(&endpoint, None).await.unwrap();
    let error = Listener::open(&endpoint, None).await.unwrap_err();
    assert!(matches!(error, ListenError::InUse(_)), "{error}");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    drop(listener);
}

#[tokio::test]
async fn a_file_in_the_way_is_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.sock");
    fs::write(&path, "precious").unwrap();
    let error = Listener::open(&Endpoint::Unix(path.clone()), None).await.unwrap_err();
    assert!(matches!(error, ListenError::NoSocket(_)), "{error}");
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[tokio::test]
async fn a_socket_of_somebody_else_is_not_removed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.sock");
    let listener = Listener::open(&Endpoint::Unix(path.clone()), None).await.unwrap();
    fs::remove_file(&path).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(other);
}

#[tokio::test]
async fn plain_tcp_stays_on_this_host() {
    let listener =
        Listener::open(&Endpoint::parse("tcp://127.0.0.1:0").unwrap(), None).await.unwrap();
    assert!(listener.address().starts_with("tcp://127.0.0.1:"));
    let error =
        Listener::open(&Endpoint::parse("tcp://0.0.0.0:0").unwrap(), None).await.unwrap_err();
    assert!(matches!(error, ListenError::NotLoopback(_)), "{error}");
}
