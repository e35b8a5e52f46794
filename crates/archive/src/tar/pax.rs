//! Extended headers: records of `length key=value\n`, of one entry or of all that follow.

use std::collections::BTreeMap;

use super::header::{Header, Timestamp};
use super::sparse::Segment;

const XATTR: &[u8] = b"SCHILY.xattr.";
/// libarchive's second form of the same; the value is base64, so only its presence beside the first is expected.
const REALSIZE: &[u8] = b"GNU.sparse.realsize";

/// The records that apply to an entry. An empty value takes a record of an outer header back.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// `GNU.sparse.offset` and `GNU.sparse.numbytes` in their order: format 0.0 repeats them.
    pub(super) sparse_pairs: Vec<(bool, u64)>,
}

impl Records {
    /// Adds the records of one extended header. The error says what is wrong.
    pub(super) fn add(&mut self, mut data: &[u8]) -> Result<(), &'static str> {
        while !data.is_empty() {
            let space =
                data.iter().position(|byte| *byte == b' ').ok_or("pax record without a length")?;
            let length =
                data.get(..space).and_then(decimal).ok_or("pax record with a bad length")?;
            let length = usize::try_from(length).map_err(|_| "pax record with a bad length")?;
            let record = data.get(space + 1..length).ok_or("pax record longer than its header")?;
            let record = record.strip_suffix(b"\n").ok_or("pax record without a line end")?;
            let equals =
                record.iter().position(|byte| *byte == b'=').ok_or("pax record without =")?;
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            if key.is_empty() || key.contains(&0) {
                return Err("pax record with a bad key");
            }
            match key {
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                    let number = decimal(value).ok_or("pax sparse map with a bad number")?;
                    self.sparse_pairs.push((key == b"GNU.sparse.offset", number));
                }
                _ => {
                    self.values.insert(key.to_vec(), value.to_vec());
                }
            }
            data = data.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    /// Bytes of all records.
    pub(super) fn size(&self) -> u64 {
        let values: usize = self.values.iter().map(|(key, value)| key.len() + value.len()).sum();
        (values + 16 * self.sparse_pairs.len()) as u64
    }

    /// These records with those of an inner header on top.
    pub(super) fn with(&self, inner: Self) -> Self {
        if self.values.is_empty() {
            return inner;
        }
        let mut values = self.values.clone();
        values.extend(inner.values);
        Self { values, sparse_pairs: inner.sparse_pairs }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    /// A number, or what is wrong with it.
    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>, &'static str> {
        self.get(key).map(|value| decimal(value).ok_or("pax record with a bad number")).transpose()
    }

    /// Puts the records into a header.
    pub(super) fn apply(&self, header: &mut Header) -> Result<(), &'static str> {
        for (key, field) in [
            (&b"path"[..], &mut header.path),
            (b"linkpath", &mut header.link),
            (b"uname", &mut header.user),
            (b"gname", &mut header.group),
        ] {
            if let Some(value) = self.get(key) {
                if value.contains(&0) {
                    return Err("pax record with a NUL byte in a name");
                }
                *field = value.to_vec();
            }
        }
        if let Some(name) = self.get(b"GNU.sparse.name") {
            header.path = name.to_vec();
        }
        for (key, field) in
            [(&b"uid"[..], &mut header.uid), (b"gid", &mut header.gid), (b"size", &mut header.size)]
        {
            if let Some(value) = self.number(key)? {
                *field = value;
            }
        }
        if let Some(value) = self.get(b"mtime") {
            header.mtime = timestamp(value).ok_or("pax record with a bad time")?;
        }
        for (key, value) in &self.values {
            if let Some(name) = key.strip_prefix(XATTR) {
                header.xattrs.insert(name.to_vec(), value.clone());
            }
        }
        Ok(())
    }

    /// The size with holes, when the records say that the file is sparse.
    pub(super) fn sparse_size(&self) -> Result<Option<u64>, &'static str> {
        if self.get(b"GNU.sparse.major").is_none()
            && self.get(b"GNU.sparse.map").is_none()
            && self.sparse_pairs.is_empty()
        {
            return Ok(None);
        }
        match self.number(REALSIZE)? {
            Some(size) => Ok(Some(size)),
            None => self.number(b"GNU.sparse.size"),
        }
    }

    /// The map of formats 0.0 and 0.1; of 1.0 it stands before the data.
    pub(super) fn sparse_map(&self) -> Result<Vec<Segment>, &'static str> {
        const BAD: &str = "pax sparse map with a bad number";
        let numbers: Vec<u64> = match self.get(b"GNU.sparse.map") {
            Some(map) => {
                map.split(|byte| *byte == b',').map(decimal).collect::<Option<_>>().ok_or(BAD)?
            }
            None => {
                // Offset and length must take turns.
                if self
                    .sparse_pairs
                    .iter()
                    .enumerate()
                    .any(|(at, (is_offset, _))| *is_offset != (at % 2 == 0))
                {
                    return Err("pax sparse map out of order");
                }
                self.sparse_pairs.iter().map(|(_, number)| *number).collect()
            }
        };
        numbers
            .chunks(2)
            .map(|pair| match *pair {
                [offset, length] => Ok(Segment { offset, length }),
                _ => Err("pax sparse map with half a segment"),
            })
            .collect()
    }

    /// Whether the map stands before the data.
    pub(super) fn map_is_in_data(&self) -> bool {
        self.get(b"GNU.sparse.major") == Some(b"1") && self.get(b"GNU.sparse.minor") == Some(b"0")
    }
}

/// Decimal digits and nothing else, up to `i64::MAX`.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let value = text.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })?;
    i64::try_from(value).is_ok().then_some(value)
}

/// Seconds with an optional fraction and sign.
fn timestamp(text: &[u8]) -> Option<Timestamp> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next()?)?.cast_signed();
    let mut nanoseconds = 0u32;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    for at in 0..9 {
        nanoseconds =
            nanoseconds * 10 + u32::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    }
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp { seconds: -seconds, nanoseconds },
        (true, _) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Writes one record: its length counts its own digits.
pub(super) fn write_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The key of an extended attribute.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    [XATTR, name].concat()
}

/// The text of a time: what [`timestamp`] reads.
pub(super) fn time_text(time: Timestamp) -> String {
    let (sign, seconds, nanoseconds) = if time.seconds < 0 && time.nanoseconds > 0 {
        ("-", (time.seconds + 1).unsigned_abs(), 1_000_000_000 - time.nanoseconds)
    } else if time.seconds < 0 {
        ("-", time.seconds.unsigned_abs(), 0)
    } else {
        ("", time.seconds.unsigned_abs(), time.nanoseconds)
    };
    if nanoseconds == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in [1, 90, 91, 92, 93, 94, 990, 991, 992, 993, 994] {
            let value = vec![b'x'; length];
            let mut out = Vec::new();
            write_record(&mut out, b"key", &value);
            let mut records = Records::default();
            records.add(&out).unwrap();
            assert_eq!(records.get(b"key"), Some(value.as_slice()));
        }
    }

    #[test]
    fn times_of_both_signs_come_back() {
        for (seconds, nanoseconds) in
            [(0, 0), (5, 500_000_000), (-1, 0), (-2, 250_000_000), (-1, 1)]
        {
            let time = Timestamp { seconds, nanoseconds };
            assert_eq!(timestamp(time_text(time).as_bytes()), Some(time), "{}", time_text(time));
        }
        assert_eq!(timestamp(b"1.2.3"), None);
        assert_eq!(timestamp(b"1e9"), None);
    }

    #[test]
    fn broken_records_say_why() {
        for (data, why) in [
            (&b"nolength"[..], "without a length"),
            (b"x a=b\n", "bad length"),
            (b"99 a=b\n", "longer"),
            (b"6 a=bc", "line end"),
            (b"5 ab\n", "without ="),
            (b"5 =b\n", "bad key"),
            (b"1 a=b\n", "longer"),
        ] {
            let error = Records::default().add(data).unwrap_err();
            assert!(error.contains(why), "{error} for {data:?}");
        }
    }

    #[test]
    fn an_empty_value_takes_a_global_record_back() {
        let mut global = Records::default();
        global.add(b"12 uname=me\n").unwrap();
        let mut local = Records::default();
        local.add(b"9 uname=\n").unwrap();
        assert_eq!(global.with(local).get(b"uname"), None);
    }
}
