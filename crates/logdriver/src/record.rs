//! One message of a log as it is read back, and how a line of `json-file` becomes one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::message::Stream;
use crate::time;

/// One message of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it was written to.
    pub stream: Stream,
    /// When: nanoseconds since 1970 in UTC.
    pub time: i64,
    /// With its line feed, when there was one.
    pub line: Vec<u8>,
    /// What the driver wrote beside it.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

impl Record {
    /// None for what is not a message: the end of a file that was cut off, or zeros that a crash of
    /// the host left.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let wire: Wire<'_> = serde_json::from_slice(line).ok()?;
        let stream = match &*wire.stream {
            "stderr" => Stream::Stderr,
            _ => Stream::Stdout,
        };
        Some(Self {
            stream,
            time: time::parse_rfc3339(&wire.time).ok()?,
            line: wire.log.into_owned().into_bytes(),
            attributes: wire.attrs,
        })
    }

    /// The attributes as `logs --details` shows them: `a=1,b=2`, sorted by name, and written as in
    /// a query.
    pub fn details(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.attributes {
            if !out.is_empty() {
                out.push(',');
            }
            append_query(&mut out, name);
            out.push('=');
            append_query(&mut out, value);
        }
        out
    }
}

/// As Go escapes what stands in a query.
fn append_query(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 0xf)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text was shown by Docker.
    #[test]
    fn details_are_written_as_in_a_query() {
        let line = br#"{"log":"","stream":"stdout","attrs":{"x":"1&2","ab":"c,d=\u00e9 f"},
            "time":"1970-01-01T00:00:00Z"}"#;
        let record = Record::parse(line).unwrap();
        assert_eq!(record.details(), "ab=c%2Cd%3D%C3%A9+f,x=1%262");
    }
}
