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

    /// The attributes as `logs --details` shows them: `a=1,b=2`, sorted by name.
    pub fn details(&self) -> String {
        let pairs: Vec<String> =
            self.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(",")
    }
}
