//! `fluentd`: messages of Fluentd's forward protocol (version 1, mode "Message"), in `MessagePack`
//! over TCP or a unix socket.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::driver::LogTarget;
use crate::error::LogError;
use crate::message::{Completeness, Message};
use crate::options::{Mode, Options, Units, given, is_on, parse_duration, parse_size};
use crate::remote::{
    Acknowledgements, Address, Encode, HostPort, Parts, Remote, Retry, StreamOptions, Streamed,
    TlsConfig, Transport as _,
};

pub(crate) const NAME: &str = "fluentd";

pub(crate) const OPTIONS: &[&str] = &[
    "env",
    "env-regex",
    "fluentd-address",
    "fluentd-async",
    "fluentd-buffer-limit",
    "fluentd-max-retries",
    "fluentd-request-ack",
    "fluentd-retry-wait",
    "fluentd-sub-second-precision",
    "labels",
    "labels-regex",
    "tag",
];

const PORT: u16 = 24224;

/// Whether a container starts without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstConnection {
    Awaited,
    Later,
}

/// How moments are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Seconds,
    Nanoseconds,
}

#[derive(Debug, PartialEq)]
pub(crate) struct FluentdConfig {
    address: Address,
    first_connection: FirstConnection,
    buffer: Option<u64>,
    retry: Retry,
    acknowledgements: Acknowledgements,
    precision: Precision,
}

impl FluentdConfig {
    pub(crate) fn parse(options: &Options) -> Result<Self, LogError> {
        let retry_wait = given(options, "fluentd-retry-wait")
            .map_or(Ok(Duration::from_secs(1)), parse_duration)?;
        let times = given(options, "fluentd-max-retries").map(parse_retries).transpose()?;
        Ok(Self {
            address: parse_address(given(options, "fluentd-address").unwrap_or_default())?,
            first_connection: if is_on(options, "fluentd-async")? {
                FirstConnection::Later
            } else {
                FirstConnection::Awaited
            },
            buffer: given(options, "fluentd-buffer-limit")
                .map(|text| parse_size(text, Units::Binary))
                .transpose()?,
            // Docker's: each pause is half as long again as the one before, up to a minute.
            retry: Retry {
                first: retry_wait,
                growth: 1.5,
                longest: Duration::from_secs(60),
                times,
            },
            acknowledgements: if is_on(options, "fluentd-request-ack")? {
                Acknowledgements::Forward
            } else {
                Acknowledgements::None
            },
            precision: if is_on(options, "fluentd-sub-second-precision")? {
                Precision::Nanoseconds
            } else {
                Precision::Seconds
            },
        })
    }
}

fn parse_retries(text: &str) -> Result<u32, LogError> {
    text.parse().map_err(|_| {
        LogError::bad_option(format!("strconv.ParseUint: parsing \"{text}\": invalid syntax"))
    })
}

fn parse_address(text: &str) -> Result<Address, LogError> {
    let bad = || LogError::bad_option(format!("invalid fluentd-address {text}"));
    let default = Some(PORT);
    if text.is_empty() {
        return Ok(Address::Tcp(HostPort { host: "127.0.0.1".to_owned(), port: PORT }));
    }
    if !text.contains("://") {
        return HostPort::parse(text, default).map(Address::Tcp).ok_or_else(bad);
    }
    match Address::parse(text, |_| default).ok_or_else(bad)? {
        address @ (Address::Tcp(_) | Address::Unix(_)) => Ok(address),
        Address::Udp(_) | Address::Tls(_) | Address::Unixgram(_) => Err(LogError::bad_option(
            format!("fluentd-address {text} is not supported: use tcp:// or unix://"),
        )),
    }
}

pub(crate) fn open(target: &LogTarget<'_>) -> Result<Remote, LogError> {
    let config = FluentdConfig::parse(target.options)?;
    let acknowledgements = config.acknowledgements;
    let mut transport = Streamed::new(StreamOptions {
        address: config.address,
        tls: TlsConfig::default(),
        acknowledgements,
    });
    if config.first_connection == FirstConnection::Awaited {
        transport.connect()?;
    }
    let mut mode = Mode::parse(target.options)?;
    // Docker's async driver drops what its buffer does not take.
    if config.first_connection == FirstConnection::Later && mode == Mode::Blocking {
        mode = Mode::NonBlocking { buffer: config.buffer.unwrap_or(1 << 20) };
    }
    let ids = match acknowledgements {
        Acknowledgements::None => None,
        Acknowledgements::Forward => Some(Ids::new()),
    };
    Remote::start(Parts {
        name: NAME,
        encoder: Box::new(Forward::new(target, config.precision, ids)),
        transport: Box::new(transport),
        mode,
        retry: config.retry,
    })
}

/// Messages of the forward protocol.
#[derive(Debug)]
struct Forward {
    /// The array's beginning and the tag.
    head: Vec<u8>,
    /// What is the same in all records.
    fields: Vec<u8>,
    count: usize,
    precision: Precision,
    ids: Option<Ids>,
}

/// Ids that no other message has.
#[derive(Debug)]
struct Ids([u8; 16]);

impl Ids {
    fn new() -> Self {
        // Ids are to differ within a connection, and they do without random numbers too.
        Self(barge_sys::random::bytes().unwrap_or_default())
    }

    fn next(&mut self) -> String {
        self.0 = u128::from_le_bytes(self.0).wrapping_add(1).to_le_bytes();
        STANDARD.encode(self.0)
    }
}

impl Forward {
    fn new(target: &LogTarget<'_>, precision: Precision, ids: Option<Ids>) -> Self {
        let origin = target.origin;
        let mut head = vec![0x94];
        append_text(&mut head, origin.tag.as_bytes());
        let mut pairs = BTreeMap::from([
            ("container_id".to_owned(), origin.id.clone()),
            ("container_name".to_owned(), format!("/{}", origin.name)),
        ]);
        pairs.extend(target.attributes.clone());
        let mut fields = Vec::new();
        for (name, value) in &pairs {
            append_text(&mut fields, name.as_bytes());
            append_text(&mut fields, value.as_bytes());
        }
        Self { head, fields, count: pairs.len(), precision, ids }
    }

    fn append_time(&self, out: &mut Vec<u8>, time: i64) {
        const SECOND: i64 = 1_000_000_000;
        let seconds = u32::try_from(time.div_euclid(SECOND)).unwrap_or(u32::MAX);
        match self.precision {
            // Signed while that is enough, as Docker's client writes it.
            Precision::Seconds if seconds < 1 << 31 => out.push(0xd2),
            Precision::Seconds => out.push(0xce),
            // EventTime: an extension of type 0 with eight bytes.
            Precision::Nanoseconds => out.extend_from_slice(&[0xd7, 0]),
        }
        out.extend_from_slice(&seconds.to_be_bytes());
        if self.precision == Precision::Nanoseconds {
            let nanos = u32::try_from(time.rem_euclid(SECOND)).unwrap_or(0);
            out.extend_from_slice(&nanos.to_be_bytes());
        }
    }
}

impl Encode for Forward {
    fn encode(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        self.append_time(out, message.time);
        let more = if message.part.is_some() { 6 } else { 2 };
        append_map(out, self.count + more);
        out.extend_from_slice(&self.fields);
        append_text(out, b"source");
        append_text(out, message.stream.name().as_bytes());
        append_text(out, b"log");
        append_text(out, message.line);
        if let Some(part) = message.part {
            let is_last = message.completeness == Completeness::Complete;
            for (name, value) in [
                ("partial_message", "true".to_owned()),
                ("partial_id", format!("{:016x}", part.line)),
                ("partial_ordinal", part.ordinal.to_string()),
                ("partial_last", is_last.to_string()),
            ] {
                append_text(out, name.as_bytes());
                append_text(out, value.as_bytes());
            }
        }
        match &mut self.ids {
            None => out.push(0x80),
            // The id comes last, where the transport finds it.
            Some(ids) => {
                out.push(0x81);
                append_text(out, b"chunk");
                append_text(out, ids.next().as_bytes());
            }
        }
    }
}

fn append_map(out: &mut Vec<u8>, count: usize) {
    match u8::try_from(count) {
        Ok(count @ 0..=15) => out.push(0x80 | count),
        Ok(_) | Err(_) => {
            out.push(0xde);
            out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
}

fn append_text(out: &mut Vec<u8>, text: &[u8]) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ 0..=31), _) => out.push(0xa0 | length),
        (Ok(length), _) => out.extend_from_slice(&[0xd9, length]),
        (Err(_), Ok(length)) => {
            out.push(0xda);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (Err(_), Err(_)) => {
            out.push(0xdb);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests;
