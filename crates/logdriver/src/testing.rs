//! What the tests of remote drivers share: servers in this process, and messages.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use barge_shim_api::LogOrigin;

use crate::driver::{LogDriver, LogTarget};
use crate::message::{Completeness, Message, Stream};
use crate::options::Options;

/// Nothing here takes so long, on whatever machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn origin() -> LogOrigin {
    LogOrigin {
        id: "0123456789abcdef".repeat(4),
        name: "web".to_owned(),
        image_id: "sha256:ff".to_owned(),
        image_name: "busybox".to_owned(),
        command: "sh -c x".to_owned(),
        created: "2024-01-02T03:04:05Z".to_owned(),
        tag: "0123456789ab".to_owned(),
    }
}

/// 2024-02-29T23:59:59.123456789Z.
pub(crate) const MOMENT: i64 = 1_709_251_199_123_456_789;

pub(crate) fn message(line: &[u8]) -> Message<'_> {
    Message {
        stream: Stream::Stdout,
        time: MOMENT,
        line,
        completeness: Completeness::Complete,
        part: None,
    }
}

/// Opens a driver without a cache.
pub(crate) fn open(driver: &str, pairs: &[(&str, &str)]) -> Box<dyn LogDriver> {
    try_open(driver, pairs).unwrap()
}

pub(crate) fn try_open(
    driver: &str,
    pairs: &[(&str, &str)],
) -> Result<Box<dyn LogDriver>, crate::LogError> {
    let mut options = options(pairs);
    options.insert("cache-disabled".to_owned(), "true".to_owned());
    with_target(driver, &options, crate::open)
}

pub(crate) fn with_target<T>(
    driver: &str,
    options: &Options,
    work: impl FnOnce(&LogTarget<'_>) -> T,
) -> T {
    let attributes = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
    work(&LogTarget {
        driver,
        path: Path::new("/dev/null/no"),
        options,
        attributes: &attributes,
        origin: &origin(),
    })
}

/// A server that takes one connection and tells everything that came over it at its end.
pub(crate) struct TcpServer {
    pub(crate) port: u16,
    received: mpsc::Receiver<Vec<u8>>,
}

impl TcpServer {
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Serves one connection after the other.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut bytes = Vec::new();
                connection.unwrap().read_to_end(&mut bytes).unwrap();
                if sender.send(bytes).is_err() {
                    return;
                }
            }
        });
        Self { port, received }
    }

    /// What the next connection brought.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.recv_timeout(DEADLINE).unwrap()
    }
}

/// A server that answers each packet that ends with an id of Fluentd's.
pub(crate) fn acknowledging(listener: TcpListener) -> mpsc::Receiver<Vec<u8>> {
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut bytes = vec![0; 65536];
            let mut length = 0;
            while let Ok(more @ 1..) = connection.read(&mut bytes[length..]) {
                length += more;
                let id = bytes[..length].windows(7).position(|part| part == b"\xa5chunk\xb8");
                if id.is_some_and(|place| place + 7 + 24 == length) {
                    let mut answer = b"\x81\xa3ack\xb8".to_vec();
                    answer.extend_from_slice(&bytes[length - 24..length]);
                    if sender.send(bytes[..length].to_vec()).is_err() {
                        return;
                    }
                    connection.write_all(&answer).unwrap();
                    length = 0;
                }
            }
        }
    });
    received
}

pub(crate) fn udp_server() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

pub(crate) fn datagram(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65536];
    let length = socket.recv(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}
