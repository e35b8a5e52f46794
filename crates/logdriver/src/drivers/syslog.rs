//! `syslog`: lines for a syslog daemon, over UDP, TCP, TLS or a unix socket, in Docker's formats.
//!
//! The moment in a line is that at which the container wrote it, where Docker has the one at which
//! it sends. Process ids are those of the shim.

use std::path::{Path, PathBuf};

use crate::driver::LogTarget;
use crate::error::LogError;
use crate::message::{Message, Stream};
use crate::options::{Mode, Options, given};
use crate::remote::{
    Acknowledgements, Address, Datagrams, Encode, Packing, Parts, Remote, Retry, StreamOptions,
    Streamed, TlsConfig, Transport, Verification,
};
use crate::time::{LocalTime, append_clock, append_offset_time};

pub(crate) const NAME: &str = "syslog";

pub(crate) const OPTIONS: &[&str] = &[
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
    "tag",
];

/// Names of facilities in the order of their numbers; the gap has none.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// Where a syslog daemon of this machine listens.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As for a daemon of this machine: without a host.
    Unix,
    Rfc3164,
    Rfc5424,
    /// With microseconds.
    Rfc5424Micro,
}

/// How lines are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    LineFeed,
    /// RFC 5425: each with its length in front.
    Length,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyslogConfig {
    /// None: the daemon of this machine.
    address: Option<Address>,
    facility: u8,
    form: Form,
    framing: Framing,
    tls: TlsConfig,
}

impl SyslogConfig {
    pub(crate) fn parse(options: &Options) -> Result<Self, LogError> {
        let address = given(options, "syslog-address").map(parse_address).transpose()?;
        let is_tls = matches!(address, Some(Address::Tls(_)));
        let form = match given(options, "syslog-format") {
            None => Form::Unix,
            Some("rfc3164") => Form::Rfc3164,
            Some("rfc5424") => Form::Rfc5424,
            Some("rfc5424micro") => Form::Rfc5424Micro,
            Some(_) => return Err(LogError::bad_option("Invalid syslog format")),
        };
        let framing = match form {
            Form::Rfc5424 | Form::Rfc5424Micro if is_tls => Framing::Length,
            Form::Unix | Form::Rfc3164 | Form::Rfc5424 | Form::Rfc5424Micro => Framing::LineFeed,
        };
        let facility = parse_facility(given(options, "syslog-facility").unwrap_or("daemon"))?;
        Ok(Self { address, facility, form, framing, tls: parse_tls(options)? })
    }
}

fn parse_address(text: &str) -> Result<Address, LogError> {
    let default = |scheme: &str| Some(if scheme == "tcp+tls" { 6514 } else { 514 });
    let address = Address::parse(text, default).ok_or_else(|| {
        LogError::bad_option(format!(
            "syslog-address should be in form proto://address, got {text}"
        ))
    })?;
    if let Address::Unix(path) | Address::Unixgram(path) = &address
        && !path.exists()
    {
        let text = format!("stat {}: no such file or directory", path.display());
        return Err(LogError::bad_option(text));
    }
    Ok(address)
}

fn parse_facility(text: &str) -> Result<u8, LogError> {
    let named = FACILITIES.iter().position(|name| *name == text && !name.is_empty());
    let number = named.map_or_else(|| text.parse().ok(), |place| u8::try_from(place).ok());
    number
        .filter(|number| *number < 24)
        .ok_or_else(|| LogError::bad_option("invalid syslog facility"))
}

fn parse_tls(options: &Options) -> Result<TlsConfig, LogError> {
    let path = |name| given(options, name).map(PathBuf::from);
    let client = match (path("syslog-tls-cert"), path("syslog-tls-key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(LogError::bad_option(
                "syslog-tls-cert and syslog-tls-key are only of use together",
            ));
        }
    };
    // As Docker: that it is there is enough.
    let verification = match options.get("syslog-tls-skip-verify") {
        Some(_) => Verification::None,
        None => Verification::Full,
    };
    Ok(TlsConfig { authorities: path("syslog-tls-ca-cert"), client, verification })
}

pub(crate) fn open(target: &LogTarget<'_>) -> Result<Remote, LogError> {
    let config = SyslogConfig::parse(target.options)?;
    let transport = connect(config.address, &config.tls)?;
    Remote::start(Parts {
        name: NAME,
        encoder: Box::new(Lines {
            facility: config.facility,
            form: config.form,
            framing: config.framing,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            tag: target.origin.tag.clone(),
            pid: std::process::id(),
            local: LocalTime::default(),
            scratch: Vec::new(),
        }),
        transport,
        mode: Mode::parse(target.options)?,
        retry: Retry::STEADY,
    })
}

fn connect(address: Option<Address>, tls: &TlsConfig) -> Result<Box<dyn Transport>, LogError> {
    let candidates = match address {
        Some(address) => vec![address],
        None => {
            let present = || LOCAL.iter().map(Path::new).filter(|path| path.exists());
            let datagrams = present().map(|path| Address::Unixgram(path.to_owned()));
            datagrams.chain(present().map(|path| Address::Unix(path.to_owned()))).collect()
        }
    };
    let mut failure = LogError::unreachable(
        "find the syslog daemon of this machine",
        std::io::ErrorKind::NotFound.into(),
    );
    for address in candidates {
        let mut transport: Box<dyn Transport> = match address {
            Address::Udp(_) | Address::Unixgram(_) => {
                Box::new(Datagrams::new(address, Packing::Plain))
            }
            Address::Tcp(_) | Address::Tls(_) | Address::Unix(_) => {
                let acknowledgements = Acknowledgements::None;
                let tls = tls.clone();
                Box::new(Streamed::new(StreamOptions { address, tls, acknowledgements }))
            }
        };
        match transport.connect() {
            Ok(()) => return Ok(transport),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Lines of syslog.
#[derive(Debug)]
struct Lines {
    facility: u8,
    form: Form,
    framing: Framing,
    host: String,
    tag: String,
    pid: u32,
    local: LocalTime,
    /// A line whose length is not known yet.
    scratch: Vec<u8>,
}

impl Lines {
    fn append(&mut self, out: &mut Vec<u8>, message: &Message<'_>) {
        const INFO: u8 = 6;
        const ERROR: u8 = 3;
        let severity = match message.stream {
            Stream::Stdout => INFO,
            Stream::Stderr => ERROR,
        };
        let priority = u16::from(self.facility) * 8 + u16::from(severity);
        let (tag, pid, host) = (&self.tag, self.pid, &self.host);
        let offset = self.local.offset(message.time);
        out.extend_from_slice(format!("<{priority}>").as_bytes());
        match self.form {
            Form::Unix | Form::Rfc3164 => append_clock(out, message.time, offset),
            Form::Rfc5424 => {
                out.extend_from_slice(b"1 ");
                append_offset_time(out, (message.time, 0), offset);
            }
            Form::Rfc5424Micro => {
                out.extend_from_slice(b"1 ");
                append_offset_time(out, (message.time, 6), offset);
            }
        }
        let middle = match self.form {
            Form::Unix => format!(" {tag}[{pid}]: "),
            Form::Rfc3164 => format!(" {host} {tag}[{pid}]: "),
            Form::Rfc5424 | Form::Rfc5424Micro => format!(" {host} {tag} {pid} {tag} - "),
        };
        out.extend_from_slice(middle.as_bytes());
        out.extend_from_slice(message.line);
        out.push(b'\n');
    }
}

impl Encode for Lines {
    /// Docker leaves empty lines out too.
    fn encode(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        if message.line.is_empty() {
            return;
        }
        match self.framing {
            Framing::LineFeed => self.append(out, message),
            Framing::Length => {
                let mut line = std::mem::take(&mut self.scratch);
                line.clear();
                self.append(&mut line, message);
                out.extend_from_slice(format!("{} ", line.len()).as_bytes());
                out.extend_from_slice(&line);
                self.scratch = line;
            }
        }
    }
}

#[cfg(test)]
mod tests;
