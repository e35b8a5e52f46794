//! `gelf`: Graylog's extended log format over UDP (compressed, in chunks) or TCP (each message ends
//! with a zero byte).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::driver::LogTarget;
use crate::error::LogError;
use crate::escape::append_string;
use crate::message::{Message, Stream};
use crate::options::{Mode, Options, given, parse_number};
use crate::remote::{
    Acknowledgements, Address, Compression, Datagrams, Encode, Packing, Parts, Remote, Retry,
    StreamOptions, Streamed, TlsConfig, Transport,
};

pub(crate) const NAME: &str = "gelf";

const ADDRESS: &str = "gelf-address";
const COMPRESSION: &str = "gelf-compression-type";
const LEVEL: &str = "gelf-compression-level";
const RECONNECTS: &str = "gelf-tcp-max-reconnect";
const DELAY: &str = "gelf-tcp-reconnect-delay";

pub(crate) const OPTIONS: &[&str] = &[
    "env",
    "env-regex",
    ADDRESS,
    LEVEL,
    COMPRESSION,
    RECONNECTS,
    DELAY,
    "labels",
    "labels-regex",
    "tag",
];

#[derive(Debug, PartialEq)]
pub(crate) struct GelfConfig {
    address: Address,
    compression: Compression,
    retry: Retry,
}

impl GelfConfig {
    pub(crate) fn parse(options: &Options) -> Result<Self, LogError> {
        let address = parse_address(given(options, ADDRESS).unwrap_or_default())?;
        let is_tcp = matches!(address, Address::Tcp(_));
        for option in [LEVEL, COMPRESSION] {
            if is_tcp && options.contains_key(option) {
                return Err(LogError::bad_option(format!(
                    "compression is only supported on UDP, so {option} cannot be used with TCP"
                )));
            }
        }
        for option in [RECONNECTS, DELAY] {
            if !is_tcp && options.contains_key(option) {
                return Err(LogError::bad_option(format!("{option} is only valid for TCP")));
            }
        }
        // Docker's: three times, after a second each.
        let times = number(options, RECONNECTS, 0, i64::from(u32::MAX))?.unwrap_or(3);
        let delay = number(options, DELAY, 0, 3600)?.unwrap_or(1);
        let pause = Duration::from_secs(delay.unsigned_abs());
        let retry = if is_tcp {
            let times = Some(u32::try_from(times).unwrap_or(u32::MAX));
            Retry { first: pause, growth: 1.0, longest: pause, times }
        } else {
            Retry::STEADY
        };
        Ok(Self { address, compression: parse_compression(options)?, retry })
    }
}

fn unknown_value(options: &Options, option: &str) -> LogError {
    let value = options.get(option).map_or("", String::as_str);
    LogError::bad_option(format!(
        "unknown value {value:?} for log opt {option:?} for gelf log driver"
    ))
}

fn number(options: &Options, option: &str, least: i64, most: i64) -> Result<Option<i64>, LogError> {
    let Some(text) = options.get(option) else {
        return Ok(None);
    };
    match parse_number(text) {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        Ok(_) | Err(_) => Err(unknown_value(options, option)),
    }
}

fn parse_compression(options: &Options) -> Result<Compression, LogError> {
    // Go's: -1 is its default, which is 6.
    let level = match number(options, LEVEL, -1, 9)? {
        None => flate2::Compression::fast(),
        Some(level) => flate2::Compression::new(u32::try_from(level).unwrap_or(6)),
    };
    match options.get(COMPRESSION).map(String::as_str) {
        None | Some("gzip") => Ok(Compression::Gzip(level)),
        Some("zlib") => Ok(Compression::Zlib(level)),
        Some("none") => Ok(Compression::None),
        Some(_) => Err(unknown_value(options, COMPRESSION)),
    }
}

fn parse_address(text: &str) -> Result<Address, LogError> {
    if text.is_empty() {
        return Err(LogError::bad_option("gelf-address is a required parameter"));
    }
    let Some((scheme, _)) = text.split_once("://") else {
        let text = format!("gelf-address should be in form proto://address, got {text}");
        return Err(LogError::bad_option(text));
    };
    if !matches!(scheme, "udp" | "tcp") {
        return Err(LogError::bad_option("gelf: endpoint needs to be TCP or UDP"));
    }
    Address::parse(text, |_| None).ok_or_else(|| {
        LogError::bad_option("gelf: please provide gelf-address as proto://host:port")
    })
}

pub(crate) fn open(target: &LogTarget<'_>) -> Result<Remote, LogError> {
    let GelfConfig { address, compression, retry } = GelfConfig::parse(target.options)?;
    let (mut transport, ending): (Box<dyn Transport>, &[u8]) = match address {
        Address::Tcp(_) => {
            let (tls, acknowledgements) = (TlsConfig::default(), Acknowledgements::None);
            (Box::new(Streamed::new(StreamOptions { address, tls, acknowledgements })), b"\0")
        }
        Address::Udp(_) | Address::Tls(_) | Address::Unix(_) | Address::Unixgram(_) => {
            (Box::new(Datagrams::new(address, Packing::Gelf(compression))), b"")
        }
    };
    transport.connect()?;
    Remote::start(Parts {
        name: NAME,
        encoder: Box::new(Objects::new(target, ending)),
        transport,
        mode: Mode::parse(target.options)?,
        retry,
    })
}

/// GELF's objects.
#[derive(Debug)]
struct Objects {
    /// Up to the line.
    head: Vec<u8>,
    /// What is the same in all messages, and the end.
    tail: Vec<u8>,
}

impl Objects {
    fn new(target: &LogTarget<'_>, ending: &[u8]) -> Self {
        let mut head = br#"{"version":"1.1","host":"#.to_vec();
        append_string(&mut head, rustix::system::uname().nodename().to_bytes());
        head.extend_from_slice(br#","short_message":"#);
        let origin = target.origin;
        let mut fields: BTreeMap<String, &str> = [
            ("_command", &origin.command),
            ("_container_id", &origin.id),
            ("_container_name", &origin.name),
            ("_created", &origin.created),
            ("_image_id", &origin.image_id),
            ("_image_name", &origin.image_name),
            ("_tag", &origin.tag),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_str()))
        .into();
        for (name, value) in target.attributes {
            let name = if name.starts_with('_') { name.clone() } else { format!("_{name}") };
            fields.insert(name, value);
        }
        let mut tail = Vec::new();
        for (name, value) in fields {
            tail.push(b',');
            append_string(&mut tail, name.as_bytes());
            tail.push(b':');
            append_string(&mut tail, value.as_bytes());
        }
        tail.push(b'}');
        tail.extend_from_slice(ending);
        Self { head, tail }
    }
}

impl Encode for Objects {
    /// A message without text is none in GELF: Docker leaves it out too.
    fn encode(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        if message.line.is_empty() {
            return;
        }
        let level: u8 = match message.stream {
            Stream::Stdout => 6,
            Stream::Stderr => 3,
        };
        out.extend_from_slice(&self.head);
        append_string(out, message.line);
        let milliseconds = message.time.div_euclid(1_000_000);
        let (seconds, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
        let middle = format!(r#","timestamp":{seconds}.{rest:03},"level":{level}"#);
        out.extend_from_slice(middle.as_bytes());
        out.extend_from_slice(&self.tail);
    }
}

#[cfg(test)]
mod tests;
