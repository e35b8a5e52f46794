//! `journald`: entries of systemd's journal, by its own protocol on its socket (systemd.io,
//! "Native Journal Protocol"): no program and no library of systemd's.

use std::path::Path;

use crate::driver::LogTarget;
use crate::error::LogError;
use crate::message::{Completeness, Message, Stream};
use crate::options::Mode;
use crate::remote::{Address, Datagrams, Encode, Packing, Parts, Remote, Retry, Transport as _};
use crate::time::append_rfc3339;

pub(crate) const NAME: &str = "journald";

pub(crate) const OPTIONS: &[&str] = &["env", "env-regex", "labels", "labels-regex", "tag"];

const SOCKET: &str = "/run/systemd/journal/socket";

pub(crate) fn open(target: &LogTarget<'_>) -> Result<Remote, LogError> {
    open_at(target, Path::new(SOCKET))
}

pub(crate) fn open_at(target: &LogTarget<'_>, socket: &Path) -> Result<Remote, LogError> {
    let address = Address::Unixgram(socket.to_owned());
    let mut transport = Datagrams::new(address, Packing::Journal);
    transport.connect().map_err(|_| LogError::NoJournal)?;
    Remote::start(Parts {
        name: NAME,
        encoder: Box::new(Entries::new(target)),
        transport: Box::new(transport),
        mode: Mode::parse(target.options)?,
        retry: Retry::STEADY,
    })
}

/// The journal's entries.
#[derive(Debug)]
struct Entries {
    /// What is the same in all of them.
    fields: Vec<u8>,
    /// How many there were.
    ordinal: u64,
}

impl Entries {
    fn new(target: &LogTarget<'_>) -> Self {
        let origin = target.origin;
        // Only readers that go by it are confused when it is not unique.
        let epoch = barge_sys::random::hex::<16>().unwrap_or_default();
        let mut fields = Vec::new();
        for (name, value) in [
            ("CONTAINER_ID", origin.id.get(..12).unwrap_or(&origin.id)),
            ("CONTAINER_ID_FULL", &origin.id),
            ("CONTAINER_NAME", &origin.name),
            ("CONTAINER_TAG", &origin.tag),
            ("IMAGE_NAME", &origin.image_name),
            ("SYSLOG_IDENTIFIER", &origin.tag),
            ("CONTAINER_LOG_EPOCH", &epoch),
        ] {
            append_field(&mut fields, name, value.as_bytes());
        }
        for (name, value) in target.attributes {
            let name = field_name(name);
            if !name.is_empty() {
                append_field(&mut fields, &name, value.as_bytes());
            }
        }
        Self { fields, ordinal: 0 }
    }
}

/// The journal's names have capitals, digits and underscores, and do not begin with one of these.
fn field_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    name.trim_start_matches('_').to_owned()
}

/// `NAME=value`, or with the length when the value has a line feed in it.
fn append_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

impl Encode for Entries {
    fn encode(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        self.ordinal += 1;
        append_field(out, "MESSAGE", message.line);
        let priority: &[u8] = match message.stream {
            Stream::Stdout => b"6",
            Stream::Stderr => b"3",
        };
        append_field(out, "PRIORITY", priority);
        out.extend_from_slice(b"SYSLOG_TIMESTAMP=");
        append_rfc3339(out, message.time);
        out.push(b'\n');
        append_field(out, "CONTAINER_LOG_ORDINAL", self.ordinal.to_string().as_bytes());
        if let Some(part) = message.part {
            let is_last = message.completeness == Completeness::Complete;
            if !is_last {
                append_field(out, "CONTAINER_PARTIAL_MESSAGE", b"true");
            }
            append_field(out, "CONTAINER_PARTIAL_ID", format!("{:016x}", part.line).as_bytes());
            append_field(out, "CONTAINER_PARTIAL_ORDINAL", part.ordinal.to_string().as_bytes());
            append_field(out, "CONTAINER_PARTIAL_LAST", is_last.to_string().as_bytes());
        }
        out.extend_from_slice(&self.fields);
    }
}

#[cfg(test)]
mod tests;
