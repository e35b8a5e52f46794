//! The registry client against Debian's `docker-registry` and against a server that misbehaves on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod auth;
mod authority;
mod fake;
mod misbehaving;
mod peer;
mod pull;
mod push;
mod real;
mod routes;
mod tls;
mod tokens;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use barge_registry::{
    Access, BlobStream, BlobUpload, Credentials, Deadlines, Notice, Notices, Registry,
    RegistryConfig, RegistryError, Repository, RetryPolicy,
};
use barge_types::Digest;
use ring::digest;

/// Nothing of the machine's own configuration, short pauses; deadlines that a loaded machine keeps.
fn config() -> RegistryConfig {
    RegistryConfig {
        certs_dirs: Vec::new(),
        retry: RetryPolicy {
            retries: 5,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(4),
            longest_retry_after: Duration::from_millis(10),
        },
        deadlines: Deadlines {
            connect: Duration::from_secs(120),
            answer: Duration::from_secs(120),
            silence: Duration::from_secs(120),
            commit: Duration::from_secs(120),
        },
        ..RegistryConfig::default()
    }
}

fn repository(host: &str, access: Access) -> Repository {
    repository_with(config(), host, access)
}

fn repository_with(config: RegistryConfig, host: &str, access: Access) -> Repository {
    open(config, host, Asking { access, credentials: None })
}

/// For what and as whom.
struct Asking {
    access: Access,
    credentials: Option<Credentials>,
}

impl Asking {
    fn pull_as(name: &str, password: &str) -> Self {
        Self { access: Access::Pull, credentials: Some(account(name, password)) }
    }

    fn push_as(name: &str, password: &str) -> Self {
        Self { access: Access::PullAndPush, credentials: Some(account(name, password)) }
    }
}

fn account(name: &str, password: &str) -> Credentials {
    Credentials { username: name.into(), password: password.into(), ..Credentials::default() }
}

/// The repository `app` of a registry.
fn open(config: RegistryConfig, host: &str, asking: Asking) -> Repository {
    let reference = format!("{host}/app:v1").parse().unwrap();
    Registry::new(config).repository(&reference, asking.credentials, asking.access)
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap())
}

/// Bytes that differ from each other wherever one looks.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at * 31 + at / 251) % 251).unwrap()).collect()
}

fn upload(bytes: &[u8]) -> BlobUpload {
    let all: Arc<[u8]> = bytes.into();
    BlobUpload {
        digest: sha256(bytes),
        size: bytes.len() as u64,
        mount_from: Vec::new(),
        open: Arc::new(move |offset| {
            let rest = all[usize::try_from(offset).unwrap()..].to_vec();
            Ok(Box::new(std::io::Cursor::new(rest)))
        }),
    }
}

/// The last number of bytes that was told, and all that were.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u64>>>);

impl Told {
    fn listener(&self) -> barge_registry::OnUploaded {
        let all = Arc::clone(&self.0);
        Arc::new(move |bytes| all.lock().unwrap().push(bytes))
    }

    fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

/// The causes of the retries that were told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn by(&self, repository: &Repository) -> Repository {
        let all = Arc::clone(&self.0);
        repository.notifying(Notices::new(move |notice| match notice {
            Notice::Retrying { in_seconds, cause } => {
                assert!(in_seconds >= 1);
                all.lock().unwrap().push(cause);
            }
        }))
    }

    fn causes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn read(mut stream: BlobStream) -> Result<Vec<u8>, RegistryError> {
    let mut all = Vec::new();
    while let Some(bytes) = stream.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}
