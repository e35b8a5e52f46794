//! A reader of archives, written for this comparison alone: what it makes of an image must not come from the code that
//! wrote the image.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// One entry, with everything that headers before it said of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry<'a> {
    /// Without slashes at either end and without `./`.
    pub(crate) path: Vec<u8>,
    /// As in the header: `0` a file, `5` a folder and so on.
    pub(crate) kind: u8,
    pub(crate) mode: u64,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) device: (u64, u64),
    pub(crate) link: Vec<u8>,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    pub(crate) content: Cow<'a, [u8]>,
}

/// All entries of an archive.
pub(crate) fn entries(mut bytes: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut said = Said::default();
    while bytes.len() >= 512 && bytes[0] != 0 {
        let (header, rest) = bytes.split_at(512);
        let size = said
            .records
            .get("size")
            .map_or_else(|| number(&header[124..136]), |text| decimal(text));
        let size = usize::try_from(size).unwrap();
        let content = &rest[..size];
        bytes = rest.get(size.next_multiple_of(512)..).unwrap_or_default();
        match header[156] {
            b'L' => said.path = Some(text(content).to_vec()),
            b'K' => said.link = Some(text(content).to_vec()),
            b'x' => said.records.extend(records(content)),
            b'g' => {}
            kind => entries.push(std::mem::take(&mut said).entry(header, kind, content)),
        }
    }
    entries
}

/// What headers said of the entry that follows.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: BTreeMap<String, Vec<u8>>,
}

impl Said {
    fn entry<'a>(mut self, header: &[u8], kind: u8, content: &'a [u8]) -> Entry<'a> {
        let content = match self.records.get("GNU.sparse.realsize") {
            Some(size) => Cow::Owned(filled(content, decimal(size))),
            None => Cow::Borrowed(content),
        };
        let path = self.records.remove("GNU.sparse.name").or_else(|| self.records.remove("path"));
        let path = path.or(self.path).unwrap_or_else(|| {
            let (prefix, name) = (text(&header[345..500]), text(&header[..100]));
            let is_ustar = &header[257..263] == b"ustar\0";
            if is_ustar && !prefix.is_empty() { [prefix, name].join(&b'/') } else { name.to_vec() }
        });
        let link = self.records.remove("linkpath").or(self.link);
        let owner = |name: &str, range: &[u8]| {
            self.records.get(name).map_or_else(|| number(range), |text| decimal(text))
        };
        Entry {
            kind: if kind == 0 { b'0' } else { kind },
            mode: number(&header[100..108]) & 0o7777,
            uid: owner("uid", &header[108..116]),
            gid: owner("gid", &header[116..124]),
            device: (number(&header[329..337]), number(&header[337..345])),
            link: link.unwrap_or_else(|| text(&header[157..257]).to_vec()),
            xattrs: xattrs(&self.records),
            path: trimmed(&path),
            content,
        }
    }
}

/// A sparse file in GNU's form 1.0: how many pieces, where each goes and how long it is, one number per line; then the
/// pieces.
fn filled(content: &[u8], size: u64) -> Vec<u8> {
    let place = |number: u64| usize::try_from(number).unwrap();
    let mut lines = content.split(|byte| *byte == b'\n');
    let mut read = 0;
    let mut next = || {
        let line = lines.next().unwrap();
        read += line.len() + 1;
        place(decimal(line))
    };
    let pieces: Vec<(usize, usize)> = (0..next()).map(|_| (next(), next())).collect();
    let mut rest = &content[read.next_multiple_of(512)..];
    let mut filled = vec![0; place(size)];
    for (start, length) in pieces {
        filled[start..start + length].copy_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    filled
}

fn xattrs(records: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let named = records.iter().filter_map(|(key, value)| {
        Some((key.strip_prefix("SCHILY.xattr.")?.to_owned(), value.clone()))
    });
    named.collect()
}

/// A path as a key: `./a/` and `/a` are `a`.
pub(crate) fn trimmed(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
    parts.join(&b'/')
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn decimal(text: &[u8]) -> u64 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

/// Octal digits, or eight bytes after one with its first bit set.
fn number(field: &[u8]) -> u64 {
    if field[0] & 0x80 != 0 {
        return field[1..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    let digits = field.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 8 + u64::from(digit - b'0'))
}

/// `length key=value\n`, one after the other.
fn records(mut bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut records = BTreeMap::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length = usize::try_from(decimal(&bytes[..space])).unwrap();
        let record = &bytes[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').unwrap();
        let key = String::from_utf8(record[..equals].to_vec()).unwrap();
        records.insert(key, record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    records
}
