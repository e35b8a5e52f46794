//! What Graylog receives.

use std::io::Read as _;

use super::*;
use crate::testing::{TcpServer, datagram, message, open as open_driver, options, udp_server};

fn parse(pairs: &[(&str, &str)]) -> Result<GelfConfig, String> {
    GelfConfig::parse(&options(pairs)).map_err(|error| error.to_string())
}

#[test]
fn refusals_are_in_dockers_words() {
    const UDP: (&str, &str) = ("gelf-address", "udp://h:1");
    const TCP: (&str, &str) = ("gelf-address", "tcp://h:1");
    for (pairs, text) in [
        (&[][..], "gelf-address is a required parameter"),
        (&[("gelf-address", "h:1")], "gelf-address should be in form proto://address, got h:1"),
        (&[("gelf-address", "http://h:1")], "gelf: endpoint needs to be TCP or UDP"),
        (&[("gelf-address", "udp://h")], "gelf: please provide gelf-address as proto://host:port"),
        (
            &[UDP, ("gelf-compression-type", "xz")],
            "unknown value \"xz\" for log opt \"gelf-compression-type\" for gelf log driver",
        ),
        (
            &[UDP, ("gelf-compression-level", "10")],
            "unknown value \"10\" for log opt \"gelf-compression-level\" for gelf log driver",
        ),
        (
            &[TCP, ("gelf-tcp-max-reconnect", "-1")],
            "unknown value \"-1\" for log opt \"gelf-tcp-max-reconnect\" for gelf log driver",
        ),
    ] {
        assert_eq!(parse(pairs).unwrap_err(), text);
    }
    assert!(parse(&[TCP, ("gelf-compression-type", "none")]).is_err());
    assert!(parse(&[UDP, ("gelf-tcp-reconnect-delay", "1")]).is_err());
}

fn check(bytes: &[u8], line: &str) {
    let object: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let expected = serde_json::json!({
        "version": "1.1", "host": host, "short_message": line, "timestamp": 1_709_251_199.123,
        "level": 3, "_command": "sh -c x", "_container_id": "0123456789abcdef".repeat(4),
        "_container_name": "web", "_created": "2024-01-02T03:04:05Z", "_image_id": "sha256:ff",
        "_image_name": "busybox", "_tag": "0123456789ab", "_app": "shop",
    });
    assert_eq!(object, expected);
}

fn send(log: &mut dyn crate::LogDriver, line: &[u8]) {
    log.log(&Message { stream: Stream::Stderr, ..message(line) });
    log.log(&message(b""));
    log.flush().unwrap();
}

#[test]
fn messages_are_compressed_as_asked() {
    for kind in ["gzip", "zlib", "none"] {
        let (server, port) = udp_server();
        let address = format!("udp://127.0.0.1:{port}");
        let mut log =
            open_driver("gelf", &[("gelf-address", &address), ("gelf-compression-type", kind)]);
        send(&mut *log, b"hi \"there\"");
        let bytes = datagram(&server);
        let mut text = Vec::new();
        match kind {
            "gzip" => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut text)),
            "zlib" => drop(flate2::read::ZlibDecoder::new(&bytes[..]).read_to_end(&mut text)),
            _ => text = bytes,
        }
        check(&text, "hi \"there\"");
    }
}

#[test]
fn a_large_message_comes_in_chunks() {
    let (server, port) = udp_server();
    let address = format!("udp://127.0.0.1:{port}");
    let mut log =
        open_driver("gelf", &[("gelf-address", &address), ("gelf-compression-type", "none")]);
    let line = "0123456789".repeat(500);
    send(&mut *log, line.as_bytes());
    let first = datagram(&server);
    let count = first[11];
    let mut text = first[12..].to_vec();
    for number in 1..count {
        let next = datagram(&server);
        assert_eq!((&next[..10], &next[10..12]), (&first[..10], &[number, count][..]));
        text.extend_from_slice(&next[12..]);
    }
    check(&text, &line);
}

#[test]
fn over_tcp_a_zero_byte_ends_each_message() {
    let server = TcpServer::start();
    let address = format!("tcp://127.0.0.1:{}", server.port);
    let mut log = open_driver("gelf", &[("gelf-address", &address)]);
    for line in [&b"one"[..], b"two"] {
        send(&mut *log, line);
    }
    log.close();
    drop(log);
    let received = server.received();
    let messages: Vec<_> = received.split(|byte| *byte == 0).collect();
    assert_eq!(messages.len(), 3);
    check(messages[0], "one");
    check(messages[1], "two");
    assert!(messages[2].is_empty());
}
