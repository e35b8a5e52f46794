//! The wire form: a header of 16 bytes, a fixed part that depends on the kind, then attributes (netlink(7)).
//!
//! Everything is in the machine's byte order except where a subsystem says otherwise (nfnetlink does). The fields are
//! written byte by byte, without casting structures.

use crate::error::{NetlinkError, Result};

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Messages and attributes begin at multiples of four.
const ALIGN: usize = 4;
/// The attribute contains attributes.
const NESTED: u16 = 1 << 15;
/// What of an attribute's kind is its number.
const KIND_MASK: u16 = 0x3fff;

/// `NLM_F_…`: how the kernel shall treat a request.
pub(crate) mod flags {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const MULTI: u16 = 0x2;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCLUSIVE: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    /// In an answer: the request is not repeated after the error number.
    pub(crate) const CAPPED: u16 = 0x100;
    /// In an answer: attributes with an explanation follow.
    pub(crate) const ACK_ATTRIBUTES: u16 = 0x200;
}

/// What happens when the object exists, or does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The object must exist; it is changed, read or deleted.
    Existing,
    /// Made; fails when it exists.
    Create,
    /// Made, or left (or changed) when it exists.
    Ensure,
    /// Made, or replaced when it exists.
    Replace,
    /// Added behind what is there.
    Append,
}

impl Mode {
    const fn flags(self) -> u16 {
        match self {
            Self::Existing => 0,
            Self::Create => flags::CREATE | flags::EXCLUSIVE,
            Self::Ensure => flags::CREATE,
            Self::Replace => flags::CREATE | flags::REPLACE,
            Self::Append => flags::CREATE | flags::APPEND,
        }
    }
}

/// One request, ready but for its sequence number.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) payload: Payload,
    /// What it asks for, in words, for errors.
    pub(crate) what: String,
    /// What did not fit; reported instead of sending.
    pub(crate) too_long: Option<&'static str>,
}

impl Request {
    /// A request of this kind (`RTM_…`, or subsystem and message of nfnetlink) that begins with `fixed`.
    ///
    /// `what` completes "kernel refused to …".
    #[must_use]
    pub fn new(kind: u16, mode: Mode, fixed: &[u8], what: String) -> Self {
        let payload = Payload::starting_with(fixed);
        Self { kind, flags: flags::REQUEST | mode.flags(), payload, what, too_long: None }
    }

    /// A request for all objects of a kind.
    #[must_use]
    pub fn dump(kind: u16, fixed: &[u8], what: String) -> Self {
        let payload = Payload::starting_with(fixed);
        Self { kind, flags: flags::REQUEST | flags::DUMP, payload, what, too_long: None }
    }

    /// Adds attributes.
    #[must_use]
    pub fn with(mut self, add: impl FnOnce(&mut Payload)) -> Self {
        add(&mut self.payload);
        self.too_long = self.too_long.or(self.payload.too_long);
        self
    }

    /// Appends the whole message to a buffer.
    pub(crate) fn write(&self, sequence: u32, extra_flags: u16, out: &mut Vec<u8>) -> Result<()> {
        if let Some(what) = self.too_long {
            return Err(NetlinkError::TooLong { what });
        }
        let length = HEADER + self.payload.bytes.len();
        let length =
            u32::try_from(length).map_err(|_| NetlinkError::TooLong { what: "message" })?;
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&(self.flags | extra_flags).to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&0_u32.to_ne_bytes());
        out.extend_from_slice(&self.payload.bytes);
        pad(out);
        Ok(())
    }
}

/// The fixed part and the attributes of a message under construction.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    bytes: Vec<u8>,
    too_long: Option<&'static str>,
}

impl Payload {
    fn starting_with(fixed: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(fixed);
        pad(&mut bytes);
        Self { bytes, too_long: None }
    }

    /// An attribute with these bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |payload| payload.bytes.extend_from_slice(value));
    }

    /// An attribute with a number in the machine's byte order.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// An attribute with a number in the network's byte order.
    pub fn number_be(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute with a text and its terminating zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |payload| {
            payload.bytes.extend_from_slice(value.as_bytes());
            payload.bytes.push(0);
        });
    }

    /// An attribute that contains others.
    pub fn nested(&mut self, kind: u16, add: impl FnOnce(&mut Self)) {
        self.attribute(kind | NESTED, add);
    }

    /// Bytes that are no attribute: a structure in front of nested attributes.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        pad(&mut self.bytes);
    }

    fn attribute(&mut self, kind: u16, add: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        add(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.too_long = Some("attribute"),
        }
        pad(&mut self.bytes);
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
}

/// One message of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of a datagram; `None` in the middle means that the rest is malformed.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Option<Message<'_>>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let Some((message, rest)) = split_message(datagram) else {
            datagram = &[];
            return Some(None);
        };
        datagram = rest;
        Some(Some(message))
    })
}

fn split_message(datagram: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
    let payload = datagram.get(HEADER..length)?;
    let message = Message {
        kind: u16_at(datagram, 4)?,
        flags: u16_at(datagram, 6)?,
        sequence: u32_at(datagram, 8)?,
        payload,
    };
    Some((message, datagram.get(length.next_multiple_of(ALIGN)..).unwrap_or_default()))
}

/// The attributes in a payload, by number; what is malformed ends them.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes behind a fixed part of this length.
    #[must_use]
    pub fn after(payload: &'a [u8], fixed: usize) -> Self {
        Self(payload.get(fixed.next_multiple_of(ALIGN)..).unwrap_or_default())
    }

    /// The value of the first attribute of this kind.
    #[must_use]
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// A number in the machine's byte order.
    #[must_use]
    pub fn number(self, kind: u16) -> Option<u32> {
        self.get(kind).and_then(|value| u32_at(value, 0))
    }

    /// A text without its terminating zero.
    #[must_use]
    pub fn text(self, kind: u16) -> Option<String> {
        let value = self.get(kind)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }

    /// The attributes inside an attribute.
    #[must_use]
    pub fn nested(self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & KIND_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((kind, value))
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(request: &Request) -> Vec<u8> {
        let mut out = Vec::new();
        request.write(7, 0, &mut out).unwrap();
        out
    }

    #[test]
    fn what_is_written_is_read_back() {
        let request = Request::new(16, Mode::Create, &[1; 16], "test".to_owned()).with(|payload| {
            payload.text(3, "eth0");
            payload.number(4, 1500);
            payload.nested(18, |inner| inner.text(1, "veth"));
        });
        let bytes = bytes_of(&request);
        let all: Vec<_> = messages(&bytes).collect::<Option<_>>().unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].kind, all[0].sequence), (16, 7));
        let attributes = Attributes::after(all[0].payload, 16);
        assert_eq!(attributes.text(3).unwrap(), "eth0");
        assert_eq!(attributes.number(4), Some(1500));
        assert_eq!(attributes.nested(18).text(1).unwrap(), "veth");
        assert_eq!(attributes.get(99), None);
    }

    #[test]
    fn an_attribute_longer_than_its_length_field_is_refused() {
        let request = Request::new(16, Mode::Create, &[], "test".to_owned())
            .with(|payload| payload.bytes(1, &vec![0; 70_000]));
        assert!(matches!(request.write(1, 0, &mut Vec::new()), Err(NetlinkError::TooLong { .. })));
    }

    #[test]
    fn a_cut_datagram_is_noticed_at_every_length() {
        let request =
            Request::new(16, Mode::Create, &[1; 16], "test".to_owned()).with(|p| p.text(3, "eth0"));
        let bytes = bytes_of(&request);
        for length in 1..bytes.len() {
            let cut: Vec<_> = messages(&bytes[..length]).collect();
            assert!(cut[0].is_none(), "{length}");
        }
    }

    #[test]
    fn malformed_attributes_end_the_walk() {
        assert_eq!(Attributes::after(&[3, 0, 1, 0], 0).count(), 0);
        assert_eq!(Attributes::after(&[0, 0, 0, 0], 0).count(), 0);
        assert_eq!(Attributes::after(&[255, 0, 1, 0, 9], 0).count(), 0);
    }
}
