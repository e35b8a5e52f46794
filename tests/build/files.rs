//! The files of an image: its layers one upon the other.

use std::collections::BTreeMap;

use crate::tar::{self, Entry};

/// A path and a line about it. Times are not in it.
pub(crate) type Files = BTreeMap<Vec<u8>, String>;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What stands in the first bytes of something compressed by gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A layer's archive, compressed or not, upon what is below it.
pub(crate) fn add_layer(files: &mut Files, layer: &[u8]) {
    let mut unpacked = Vec::new();
    let layer = if layer.starts_with(&GZIP) {
        std::io::copy(&mut flate2::read::GzDecoder::new(layer), &mut unpacked).unwrap();
        &unpacked
    } else {
        layer
    };
    let entries = tar::entries(layer);
    // What a layer takes away is never its own, wherever in the archive it says so.
    for entry in &entries {
        let (folder, name) = split(&entry.path);
        if name == OPAQUE {
            remove_below(files, folder);
        } else if let Some(gone) = name.strip_prefix(WHITEOUT) {
            remove(files, &join(folder, gone));
        }
    }
    for entry in entries.iter().filter(|entry| !split(&entry.path).1.starts_with(WHITEOUT)) {
        if entry.kind != b'5' {
            remove_below(files, &entry.path);
        }
        let line = if entry.kind == b'1' {
            let target = tar::trimmed(&entry.link);
            files.get(&target).cloned().unwrap_or_else(|| "a link to nothing".to_owned())
        } else {
            line(entry)
        };
        files.insert(entry.path.clone(), line);
    }
    // Whether there is an entry for the root itself says nothing about the files.
    files.remove(&b""[..]);
}

fn line(entry: &Entry<'_>) -> String {
    let Entry { mode, uid, gid, .. } = entry;
    let what = match entry.kind {
        b'0' | b'7' => format!("file {}", content(&entry.content)),
        b'2' => format!("link {}", entry.link.escape_ascii()),
        b'3' => format!("character device {}:{}", entry.device.0, entry.device.1),
        b'4' => format!("block device {}:{}", entry.device.0, entry.device.1),
        b'5' => "folder".to_owned(),
        b'6' => "fifo".to_owned(),
        other => format!("type {other}"),
    };
    // The mode of a link means nothing and is 777 or 755, as the writer likes.
    let mode = if entry.kind == b'2' { String::new() } else { format!("{mode:o} ") };
    let xattrs: String =
        entry.xattrs.iter().map(|(k, v)| format!(" {k}={}", v.escape_ascii())).collect();
    format!("{mode}{uid}:{gid} {what}{xattrs}")
}

fn content(bytes: &[u8]) -> String {
    if bytes.len() <= 300 {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes, sha256:{digest}", bytes.len())
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}

fn remove(files: &mut Files, path: &[u8]) {
    files.remove(path);
    remove_below(files, path);
}

fn remove_below(files: &mut Files, folder: &[u8]) {
    let prefix = join(folder, b"");
    if prefix.is_empty() {
        return files.clear();
    }
    let below = files.range(prefix.clone()..).map(|(path, _)| path);
    let below: Vec<Vec<u8>> = below.take_while(|path| path.starts_with(&prefix)).cloned().collect();
    for path in below {
        files.remove(&path);
    }
}
