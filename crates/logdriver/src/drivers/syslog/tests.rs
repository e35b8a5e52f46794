//! What a syslog daemon receives. The forms of the lines are those that dockerd 20.10 sends.

use super::*;
use crate::testing::{
    DEADLINE, MOMENT, TcpServer, datagram, message, open as open_driver, options, try_open,
    udp_server,
};

fn parse(pairs: &[(&str, &str)]) -> Result<SyslogConfig, String> {
    SyslogConfig::parse(&options(pairs)).map_err(|error| error.to_string())
}

#[test]
fn options_are_read() {
    let config = parse(&[]).unwrap();
    assert_eq!((config.address, config.facility, config.form), (None, 3, Form::Unix));
    for (text, number) in [("kern", 0), ("local7", 23), ("17", 17)] {
        assert_eq!(parse(&[("syslog-facility", text)]).unwrap().facility, number);
    }
    for (address, shown) in [
        ("udp://h", "udp h:514"),
        ("tcp://h:1", "tcp h:1"),
        ("tcp+tls://h", "tcp+tls h:6514"),
        ("unix:///dev/null", "unix /dev/null"),
    ] {
        let config = parse(&[("syslog-address", address)]).unwrap();
        assert_eq!(config.address.unwrap().to_string(), shown);
    }
    for pair in [
        [("syslog-address", "tcp+tls://h"), ("syslog-format", "rfc5424")],
        [("syslog-address", "tcp+tls://h"), ("syslog-format", "rfc5424micro")],
    ] {
        assert_eq!(parse(&pair).unwrap().framing, Framing::Length);
    }
}

#[test]
fn refusals_are_in_dockers_words() {
    for (option, value, text) in [
        ("syslog-address", "h:1", "syslog-address should be in form proto://address, got h:1"),
        ("syslog-address", "unix:///no/such", "stat /no/such: no such file or directory"),
        ("syslog-facility", "local8", "invalid syslog facility"),
        ("syslog-facility", "24", "invalid syslog facility"),
        ("syslog-format", "rfc1", "Invalid syslog format"),
    ] {
        assert_eq!(parse(&[(option, value)]).unwrap_err(), text);
    }
}

/// The line with `P` for the process, `H` for the host and `T` for the moment, which is local.
fn general(bytes: &[u8], moment: &str) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = format!(" {host} 0");
    let pid = std::process::id().to_string();
    text.replace(moment, "T").replace(&host, " H 0").replace(&pid, "P")
}

fn moment(form: Form) -> String {
    let mut out = Vec::new();
    let offset = LocalTime::default().offset(MOMENT);
    match form {
        Form::Unix | Form::Rfc3164 => append_clock(&mut out, MOMENT, offset),
        Form::Rfc5424 => append_offset_time(&mut out, (MOMENT, 0), offset),
        Form::Rfc5424Micro => append_offset_time(&mut out, (MOMENT, 6), offset),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_have_the_form_that_is_asked_for() {
    for (name, form, line) in [
        ("", Form::Unix, "<30>T 0123456789ab[P]: hi\n"),
        ("rfc3164", Form::Rfc3164, "<30>T H 0123456789ab[P]: hi\n"),
        ("rfc5424", Form::Rfc5424, "<30>1 T H 0123456789ab P 0123456789ab - hi\n"),
        ("rfc5424micro", Form::Rfc5424Micro, "<30>1 T H 0123456789ab P 0123456789ab - hi\n"),
    ] {
        let (server, port) = udp_server();
        let address = format!("udp://127.0.0.1:{port}");
        let mut log =
            open_driver("syslog", &[("syslog-address", &address), ("syslog-format", name)]);
        log.log(&message(b""));
        log.log(&message(b"hi"));
        log.flush().unwrap();
        assert_eq!(general(&datagram(&server), &moment(form)), line);
    }
}

#[test]
fn errors_and_facilities_have_their_numbers() {
    let (server, port) = udp_server();
    let address = format!("udp://127.0.0.1:{port}");
    let mut log =
        open_driver("syslog", &[("syslog-address", &address), ("syslog-facility", "local1")]);
    log.log(&Message { stream: Stream::Stderr, ..message(b"bad") });
    log.flush().unwrap();
    assert!(datagram(&server).starts_with(b"<139>"));
}

#[test]
fn lines_go_over_one_connection_in_their_order() {
    let server = TcpServer::start();
    let address = format!("tcp://127.0.0.1:{}", server.port);
    let mut log = open_driver("syslog", &[("syslog-address", &address)]);
    for number in 0..500 {
        log.log(&message(number.to_string().as_bytes()));
        if number % 7 == 0 {
            log.flush().unwrap();
        }
    }
    log.flush().unwrap();
    log.close();
    drop(log);
    let received = String::from_utf8(server.received()).unwrap();
    let numbers: Vec<i32> =
        received.lines().map(|line| line.rsplit(": ").next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_unix_socket_is_a_daemon_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = format!("unixgram://{}", path.display());
    let mut log = open_driver("syslog", &[("syslog-address", &address)]);
    log.log(&message(b"hi"));
    log.flush().unwrap();
    let mut bytes = [0; 200];
    let length = server.recv(&mut bytes).unwrap();
    assert!(bytes[..length].ends_with(b"]: hi\n"));
}

#[test]
fn a_daemon_that_is_not_there_is_told_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let address = format!("tcp://127.0.0.1:{port}");
    let error = try_open("syslog", &[("syslog-address", &address)]).unwrap_err();
    let text = format!("dial tcp 127.0.0.1:{port}");
    assert_eq!(error.to_string(), text);
}

mod tls {
    //! A daemon that speaks TLS.

    use std::io::Read as _;
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};

    use super::*;

    /// A server for one connection; the folder has its authority's certificate.
    fn start() -> (u16, tempfile::TempDir, mpsc::Receiver<Vec<u8>>) {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority_certificate.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = rustls::ServerConnection::new(Arc::new(config.clone())).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
                let mut bytes = Vec::new();
                // A client that does not trust us goes away.
                if stream.read_to_end(&mut bytes).is_ok() {
                    sender.send(bytes).ok();
                }
            }
        });
        (port, folder, received)
    }

    #[test]
    fn lines_are_told_apart_by_their_length() {
        let (port, folder, received) = start();
        let authorities = folder.path().join("ca.pem").display().to_string();
        let address = format!("tcp+tls://localhost:{port}");
        let mut log = open_driver(
            "syslog",
            &[
                ("syslog-address", &address),
                ("syslog-format", "rfc5424"),
                ("syslog-tls-ca-cert", &authorities),
            ],
        );
        log.log(&message(b"one"));
        log.log(&message(b"two"));
        log.flush().unwrap();
        log.close();
        drop(log);
        let bytes = received.recv_timeout(DEADLINE).unwrap();
        let mut rest = std::str::from_utf8(&bytes).unwrap();
        for word in ["one\n", "two\n"] {
            let (length, after) = rest.split_once(' ').unwrap();
            let (line, after) = after.split_at(length.parse().unwrap());
            assert!(line.starts_with("<30>1 ") && line.ends_with(word), "{line}");
            rest = after;
        }
        assert_eq!(rest, "");
    }

    #[test]
    fn a_daemon_nobody_vouches_for_is_refused_unless_that_is_asked_for() {
        let (port, _folder, received) = start();
        let address = format!("tcp+tls://localhost:{port}");
        assert!(try_open("syslog", &[("syslog-address", &address)]).is_err());
        let mut log = open_driver(
            "syslog",
            &[("syslog-address", &address), ("syslog-tls-skip-verify", "true")],
        );
        log.log(&message(b"one"));
        log.flush().unwrap();
        log.close();
        drop(log);
        assert!(received.recv_timeout(DEADLINE).unwrap().ends_with(b"one\n"));
    }
}
