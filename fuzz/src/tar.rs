//! An archive is read, written again and extracted.

use std::io::Read as _;

use barge_archive::extract::{ApplyOptions, Limits, Whiteouts, apply};
use barge_archive::tar::{EntryKind, Header, Reader, Writer};
use barge_archive::{Marks, path};

/// Content that is looked at: headers may claim petabytes of holes.
const MOST: u64 = 1 << 16;

/// Reads `data` as an archive; panics when a promise is broken.
pub fn check(data: &[u8]) {
    if let Some(headers) = read(data) {
        write_again(&headers);
    }
    extract(data);
}

/// The headers, if the archive is good to its end.
fn read(data: &[u8]) -> Option<Vec<Header>> {
    let mut reader = Reader::new(data);
    let mut headers = Vec::new();
    loop {
        let mut entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Some(headers),
            Err(_) => return None,
        };
        let header = entry.header().clone();
        let mut end = 0;
        for segment in entry.segments() {
            assert!(segment.offset >= end, "segments overlap");
            end = segment.offset.checked_add(segment.length).expect("a segment beyond all files");
        }
        assert!(end <= header.size, "a segment beyond its file");
        if let Ok(clean) = path::clean(&header.path) {
            let climbs = clean.split(|byte| *byte == b'/').any(|part| part == b"..");
            assert!(!climbs && clean.first() != Some(&b'/'), "a clean path that leaves: {clean:?}");
        }
        let mut content = Vec::new();
        if (&mut entry).take(MOST).read_to_end(&mut content).is_err() {
            return None;
        }
        assert!(content.len() as u64 <= header.size, "more content than the header says");
        headers.push(header);
    }
}

/// Names and numbers survive being written and read.
fn write_again(headers: &[Header]) {
    let mut writer = Writer::new(Vec::new());
    let mut want = Vec::new();
    for header in headers {
        let mut header = header.clone();
        header.size = 0;
        if matches!(header.kind, EntryKind::Other(_)) || writer.append_bytes(&header, b"").is_err()
        {
            continue;
        }
        want.push(header);
    }
    let bytes = writer.finish().expect("memory can be written");
    let again = read(&bytes).expect("what was written is read");
    assert_eq!(again.len(), want.len());
    for (again, want) in again.iter().zip(&want) {
        assert_eq!((again.kind, &again.link), (want.kind, &want.link));
        assert_eq!((again.mode, again.uid, again.gid), (want.mode, want.uid, want.gid));
        assert_eq!(path::clean(&again.path).ok(), path::clean(&want.path).ok());
    }
}

/// Whatever happens, it happens in the folder.
fn extract(data: &[u8]) {
    let place = tempfile::tempdir().expect("a folder");
    let limits = Limits { entries: 200, bytes: 1 << 20 };
    for (name, whiteouts) in [
        ("plain", Whiteouts::Plain),
        ("overlay", Whiteouts::Overlay(Marks::User)),
        ("names", Whiteouts::Names),
    ] {
        let root = place.path().join(name);
        std::fs::create_dir(&root).expect("a folder");
        // Refused or extracted: both are fine.
        apply(&root, data, &ApplyOptions { whiteouts, limits, ..ApplyOptions::default() }).ok();
    }
    let entries = std::fs::read_dir(place.path()).expect("the folder");
    assert_eq!(entries.count(), 3, "something was made outside");
}
