//! What Fluentd receives.

use std::net::TcpListener;

use super::*;
use crate::message::{Part, Stream};
use crate::testing::{
    DEADLINE, TcpServer, acknowledging, message, open as open_driver, options, try_open,
};

fn parse(pairs: &[(&str, &str)]) -> Result<FluentdConfig, String> {
    FluentdConfig::parse(&options(pairs)).map_err(|error| error.to_string())
}

#[test]
fn options_are_read() {
    for (address, shown) in [
        ("", "tcp 127.0.0.1:24224"),
        ("h", "tcp h:24224"),
        ("h:1", "tcp h:1"),
        ("tcp://h:1", "tcp h:1"),
        ("unix:///run/f.sock", "unix /run/f.sock"),
    ] {
        let config = parse(&[("fluentd-address", address)]).unwrap();
        assert_eq!(config.address.to_string(), shown);
    }
    let config = parse(&[("fluentd-retry-wait", "250ms"), ("fluentd-max-retries", "7")]).unwrap();
    assert_eq!((config.retry.first, config.retry.times), (Duration::from_millis(250), Some(7)));
}

#[test]
fn refusals_are_in_dockers_words() {
    for (option, value, text) in [
        ("fluentd-address", "h:x", "invalid fluentd-address h:x"),
        ("fluentd-buffer-limit", "x", "invalid size: 'x'"),
        ("fluentd-retry-wait", "x", "time: invalid duration \"x\""),
        ("fluentd-max-retries", "-1", "strconv.ParseUint: parsing \"-1\": invalid syntax"),
        ("fluentd-async", "x", "strconv.ParseBool: parsing \"x\": invalid syntax"),
    ] {
        assert_eq!(parse(&[(option, value)]).unwrap_err(), text);
    }
    assert!(parse(&[("fluentd-address", "udp://h:1")]).unwrap_err().contains("not supported"));
}

/// The record's fields, the same in all messages.
const FIELDS: &[u8] = b"\xa3app\xa4shop\
    \xaccontainer_id\xd9\x400123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    \xaecontainer_name\xa4/web";

#[test]
fn messages_are_of_the_forward_protocol() {
    let server = TcpServer::start();
    let address = format!("127.0.0.1:{}", server.port);
    let mut log = open_driver("fluentd", &[("fluentd-address", &address)]);
    log.log(&message(b"hi"));
    log.flush().unwrap();
    log.close();
    drop(log);
    let mut expected = b"\x94\xac0123456789ab\xd2\x65\xe1\x1a\x7f\x85".to_vec();
    expected.extend_from_slice(FIELDS);
    expected.extend_from_slice(b"\xa6source\xa6stdout\xa3log\xa2hi\x80");
    assert_eq!(server.received(), expected);
}

#[test]
fn parts_and_moments_may_be_told_exactly() {
    let server = TcpServer::start();
    let address = format!("127.0.0.1:{}", server.port);
    let mut log = open_driver(
        "fluentd",
        &[("fluentd-address", &address), ("fluentd-sub-second-precision", "true")],
    );
    let part = Some(Part { line: 0x1f, ordinal: 2 });
    log.log(&Message { part, stream: Stream::Stderr, ..message(b"end") });
    log.flush().unwrap();
    log.close();
    drop(log);
    let mut expected = b"\x94\xac0123456789ab\xd7\0\x65\xe1\x1a\x7f\x07\x5b\xcd\x15\x89".to_vec();
    expected.extend_from_slice(FIELDS);
    expected.extend_from_slice(b"\xa6source\xa6stderr\xa3log\xa3end");
    expected.extend_from_slice(b"\xafpartial_message\xa4true\xaapartial_id\xb0000000000000001f");
    expected.extend_from_slice(b"\xafpartial_ordinal\xa12\xacpartial_last\xa4true\x80");
    assert_eq!(server.received(), expected);
}

#[test]
fn answers_are_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let received = acknowledging(listener);
    let mut log =
        open_driver("fluentd", &[("fluentd-address", &address), ("fluentd-request-ack", "true")]);
    for line in [b"one", b"two"] {
        log.log(&message(line));
    }
    log.flush().unwrap();
    for line in [&b"\xa3log\xa3one\x81"[..], b"\xa3log\xa3two\x81"] {
        let packet = received.recv_timeout(DEADLINE).unwrap();
        assert!(packet.windows(line.len()).any(|part| part == line));
    }
}

#[test]
fn a_container_may_start_before_its_remote() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = address.to_string();
    assert!(try_open("fluentd", &[("fluentd-address", &text)]).is_err());
    let mut log = open_driver(
        "fluentd",
        &[("fluentd-address", &text), ("fluentd-async", "true"), ("fluentd-retry-wait", "10ms")],
    );
    log.log(&message(b"early"));
    log.flush().unwrap();
    let server = TcpServer::on(TcpListener::bind(address).unwrap());
    log.close();
    drop(log);
    let received = server.received();
    assert!(received.windows(5).any(|part| part == b"early"));
}
