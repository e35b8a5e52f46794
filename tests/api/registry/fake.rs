//! A registry made of bytes, which misbehaves as it is told and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use barge_testkit::{DEADLINE, TarBuilder, TestHost};
use serde_json::{Value, json};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What goes wrong with one answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, with these lines of head, and no body.
    Status(u16, &'static str),
    /// The connection ends after so many bytes of the body.
    Close(usize),
    /// As many bytes as promised, but others.
    OtherBytes,
    /// The promised length is this much larger than the body, which then ends.
    TooShort(usize),
    /// More than was promised.
    TooLong(usize),
    /// The rest comes after so many bytes, once [`Fake::release`] was called.
    Hold(usize),
}

#[derive(Debug, Default)]
struct Content {
    /// By path below `/v2/`: media type and bytes.
    answers: HashMap<String, (String, Vec<u8>)>,
    /// By a part of the path: what goes wrong with the next answers, one after the other.
    faults: Vec<(String, VecDeque<Fault>)>,
    /// `METHOD path [range]`.
    asked: Vec<String>,
}

/// The registry; it ends with the test's process.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    content: Arc<Mutex<Content>>,
    /// Whether what is held may go on.
    released: Arc<(Mutex<bool>, Condvar)>,
    /// `host:port`.
    pub(crate) name: String,
}

/// The digest of bytes, as registries write it.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Bytes that do not compress, different for every `seed`.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A layer with one file.
pub(crate) fn layer(name: &str, content: &[u8]) -> TarBuilder {
    TarBuilder::new().file(name, 0o644, content)
}

impl Fake {
    pub(crate) fn start(host: &TestHost) -> Self {
        let listener = host.in_netns(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let name = listener.local_addr().unwrap().to_string();
        let fake = Self { content: Arc::default(), released: Arc::default(), name };
        let served = fake.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let fake = served.clone();
                std::thread::spawn(move || fake.serve(client));
            }
        });
        fake
    }

    /// `127.0.0.1:5000/name`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// Gives a path below `/v2/` an answer.
    pub(crate) fn put(&self, path: &str, media_type: &str, bytes: &[u8]) {
        let answer = (media_type.to_owned(), bytes.to_vec());
        self.content.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Adds a blob and returns its descriptor.
    pub(crate) fn blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.put(&format!("{repository}/blobs/{digest}"), "application/octet-stream", bytes);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Adds a manifest or an index under its digest and under a tag; returns its digest.
    pub(crate) fn manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let kind = manifest["mediaType"].as_str().unwrap().to_owned();
        let digest = digest(&bytes);
        for name in [tag, &digest] {
            self.put(&format!("{repository}/manifests/{name}"), &kind, &bytes);
        }
        digest
    }

    /// A whole image with gzip layers; returns its manifest's digest and the layers'.
    pub(crate) fn add(
        &self,
        repository: &str,
        tag: &str,
        layers: &[TarBuilder],
    ) -> (String, Vec<String>) {
        let manifest = self.image_manifest(repository, layers, "amd64");
        let blobs = manifest["layers"].as_array().unwrap().iter();
        let blobs = blobs.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect();
        (self.manifest(repository, tag, &manifest), blobs)
    }

    /// Configuration and layers of an image, and its manifest, which is not added.
    pub(crate) fn image_manifest(
        &self,
        repository: &str,
        layers: &[TarBuilder],
        architecture: &str,
    ) -> Value {
        let diff_ids: Vec<String> =
            layers.iter().map(|layer| digest(&layer.clone().finish())).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2024-01-01T00:00:00Z",
            "config": {"Cmd": ["true"], "Labels": {"made": "for a test"}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| {
                let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
                self.blob(repository, kind, &layer.clone().gzip())
            })
            .collect();
        let kind = "application/vnd.oci.image.config.v1+json";
        let config = self.blob(repository, kind, config.to_string().as_bytes());
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers})
    }

    /// The next answers to requests whose path has this part go wrong.
    pub(crate) fn fail(&self, part: &str, faults: &[Fault]) {
        let faults = faults.iter().cloned().collect();
        self.content.lock().unwrap().faults.push((part.to_owned(), faults));
    }

    /// What was asked, up to now, of paths with this part.
    pub(crate) fn asked(&self, part: &str) -> Vec<String> {
        let content = self.content.lock().unwrap();
        content.asked.iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// Forgets what was asked.
    pub(crate) fn forget(&self) {
        self.content.lock().unwrap().asked.clear();
    }

    /// Lets go what is held, now and later.
    pub(crate) fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
    }

    fn wait_for_release(&self) {
        let released = self.released.0.lock().unwrap();
        let held = |released: &mut bool| !*released;
        drop(self.released.1.wait_timeout_while(released, DEADLINE, held).unwrap());
    }

    fn serve(&self, client: TcpStream) {
        let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
        let mut client = client;
        loop {
            let Some(Ok(request)) = lines.next() else { return };
            let mut range = None;
            for line in lines.by_ref() {
                let Ok(line) = line else { return };
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("range:") {
                    range = Some(value.trim().to_owned());
                }
            }
            if self.answer(&mut client, &request, range.as_deref()).is_none() {
                client.shutdown(std::net::Shutdown::Both).ok();
                return;
            }
        }
    }

    /// Answers one request; nothing when the connection is to end.
    fn answer(&self, client: &mut TcpStream, request: &str, range: Option<&str>) -> Option<()> {
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let path = path.strip_prefix("/v2/")?;
        let (found, fault) = {
            let mut content = self.content.lock().unwrap();
            content.asked.push(format!("{method} {path} {}", range.unwrap_or_default()));
            let fault = content
                .faults
                .iter_mut()
                .find(|(part, faults)| path.contains(part.as_str()) && !faults.is_empty())
                .and_then(|(_, faults)| faults.pop_front());
            (content.answers.get(path).cloned(), fault)
        };
        if let Some(Fault::Status(status, lines)) = fault {
            let head = format!("HTTP/1.1 {status} No\r\n{lines}Content-Length: 0\r\n\r\n");
            return client.write_all(head.as_bytes()).ok();
        }
        if path.is_empty() {
            return client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").ok();
        }
        let Some((kind, bytes)) = found else {
            let what = if path.contains("/blobs/") { "BLOB" } else { "MANIFEST" };
            let text = json!({"errors": [{
                "code": format!("{what}_UNKNOWN"),
                "message": format!("{} unknown", what.to_lowercase()),
            }]});
            let body = if method == "HEAD" { String::new() } else { text.to_string() };
            let head = format!(
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                text.to_string().len()
            );
            return client.write_all(head.as_bytes()).ok();
        };
        let from: usize = range
            .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok())
            .unwrap_or(0);
        let (status, lines) = if range.is_some() {
            let last = bytes.len() - 1;
            (
                "206 Partial Content",
                format!("Content-Range: bytes {from}-{last}/{}\r\n", bytes.len()),
            )
        } else {
            ("200 OK", String::new())
        };
        let promised =
            bytes.len() - from + if let Some(Fault::TooShort(more)) = fault { more } else { 0 };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nDocker-Content-Digest: {}\r\n{lines}\
             Content-Length: {promised}\r\n\r\n",
            digest(&bytes)
        );
        client.write_all(head.as_bytes()).ok()?;
        if method == "HEAD" {
            return Some(());
        }
        if let Some(Fault::Hold(after)) = fault {
            let (first, rest) = bytes[from..].split_at(after.min(bytes.len() - from));
            client.write_all(first).ok()?;
            self.wait_for_release();
            return client.write_all(rest).ok();
        }
        send(client, &bytes[from..], fault.as_ref())
    }
}

/// The body, as far and as true as the fault lets it be.
fn send(client: &mut TcpStream, body: &[u8], fault: Option<&Fault>) -> Option<()> {
    match fault {
        None | Some(Fault::Status(..) | Fault::Hold(_)) => client.write_all(body).ok(),
        Some(Fault::Close(after)) => {
            client.write_all(&body[..(*after).min(body.len())]).ok()?;
            None
        }
        Some(Fault::TooShort(_)) => {
            client.write_all(body).ok()?;
            None
        }
        Some(Fault::TooLong(more)) => {
            client.write_all(body).ok()?;
            client.write_all(&vec![b'x'; *more]).ok()?;
            None
        }
        Some(Fault::OtherBytes) => {
            let mut other = body.to_vec();
            let middle = other.len() / 2;
            other[middle] ^= 1;
            client.write_all(&other).ok()
        }
    }
}
