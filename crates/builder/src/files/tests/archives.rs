//! `ADD` of archives, and contexts that arrive as one.

use std::io::{Read as _, Write as _};

use barge_archive::compression::{Compression, Encoder};
use barge_archive::tar::{EntryKind, Header, Writer};

use super::*;

fn archive(entries: &[(&str, EntryKind, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new(name.as_bytes(), *kind);
        (header.uid, header.gid, header.mtime.seconds) = (3, 4, 5000);
        let is_link = matches!(kind, EntryKind::Symlink | EntryKind::HardLink);
        let (link, bytes) = if is_link { (*content, "") } else { ("", *content) };
        header.link = link.as_bytes().to_vec();
        header.size = bytes.len() as u64;
        writer.append_bytes(&header, bytes.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

fn compressed(bytes: &[u8], format: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn some() -> Vec<u8> {
    archive(&[
        ("./", EntryKind::Directory, ""),
        ("f", EntryKind::Regular, "hello"),
        ("sub/g", EntryKind::Regular, "x"),
        (".wh.f", EntryKind::Regular, ""),
    ])
}

fn add(place: &Place, sources: &[&str], destination: &str) -> Result<Copied, FilesError> {
    let archives = Archives::Unpacked;
    let placement = Placement { destination, archives, owner: Some((9, 9)), ..Default::default() };
    place.select(sources)?.copy(&place.layer(), &placement)
}

#[test]
fn archives_are_known_by_what_is_in_them() {
    let place = Place::new(&["text=not an archive", "empty="]);
    let write = |name: &str, bytes: &[u8]| fs::write(place.context().join(name), bytes).unwrap();
    write("plain", &some());
    write("zipped.txt", &compressed(&some(), Compression::Gzip));
    write("zstd", &compressed(&some(), Compression::Zstd));
    write("only.gz", &compressed(b"hello", Compression::Gzip));
    write("broken.gz", &compressed(&some(), Compression::Gzip)[..60]);
    for (source, destination) in [("plain", "/a"), ("zipped.txt", "/b/"), ("zstd", "/c")] {
        add(&place, &[source], destination).unwrap();
        let folder = place.layer().join(destination.trim_matches('/'));
        assert_eq!(list(&folder), [".wh.f", "f", "sub/", "sub/g"], "{source}");
        let about = fs::metadata(folder.join("f")).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mtime()), (3, 4, 5000));
        // The folder was made for it; what the archive says of its root does not count.
        let about = fs::metadata(&folder).unwrap();
        assert_eq!((about.uid(), about.mode() & 0o7777), (9, 0o755));
    }
    for source in ["text", "empty", "only.gz", "broken.gz"] {
        add(&place, &[source], "/files/").unwrap();
        let copy = fs::read(place.layer().join("files").join(source)).unwrap();
        assert_eq!(copy, fs::read(place.context().join(source)).unwrap());
    }
    // `COPY` never unpacks.
    assert_eq!(
        place.copy(&["plain"], "/p/plain").iter().filter(|name| *name == "p/plain").count(),
        1
    );
}

#[test]
fn an_archive_stays_in_its_folder() {
    let place = Place::new(&[]);
    let bad = [
        archive(&[("../up", EntryKind::Regular, "x")]),
        archive(&[
            ("l", EntryKind::Symlink, "../.."),
            ("l/x", EntryKind::Regular, "x"),
            ("../y", EntryKind::Regular, ""),
        ]),
        archive(&[("hard", EntryKind::HardLink, "/etc/passwd")]),
    ];
    for (n, bytes) in bad.iter().enumerate() {
        fs::write(place.context().join("bad"), bytes).unwrap();
        let error = add(&place, &["bad"], &format!("/in{n}")).unwrap_err();
        assert_eq!(error.to_string(), "cannot unpack bad");
    }
    assert!(!place.layer().join("up").exists());
    assert!(!place.layer().join("x").exists());
    assert!(!place.folder.path().join("y").exists());
}

#[test]
fn contexts_arrive_as_archives_or_as_a_dockerfile() {
    for format in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let into = tempfile::tempdir().unwrap();
        let bytes = compressed(&some(), format);
        let received = receive_context(&mut &bytes[..], into.path()).unwrap();
        assert_eq!(received, Received::Archive);
        assert_eq!(list(into.path()), [".wh.f", "f", "sub/", "sub/g"]);
    }
    for format in [Compression::None, Compression::Gzip] {
        let into = tempfile::tempdir().unwrap();
        let text = b"FROM scratch\n".repeat(100);
        let received = receive_context(&mut &compressed(&text, format)[..], into.path()).unwrap();
        assert_eq!(received, Received::Dockerfile);
        assert_eq!(fs::read(into.path().join("Dockerfile")).unwrap(), text);
    }
    // Of a context with nothing in it there are only the zeros of its end.
    let into = tempfile::tempdir().unwrap();
    assert_eq!(receive_context(&mut &archive(&[])[..], into.path()).unwrap(), Received::Archive);
    assert_eq!(list(into.path()).len(), 0);
}

#[test]
fn of_a_bad_context_nothing_is_left() {
    let cut = &some()[..1026];
    let cases: [&[u8]; 5] = [
        cut,
        &archive(&[("a/b/c", EntryKind::Regular, "x"), ("../up", EntryKind::Regular, "x")]),
        &archive(&[("a", EntryKind::Regular, "x"), ("null", EntryKind::CharDevice, "")]),
        &archive(&[("a", EntryKind::Regular, "x"), ("disk", EntryKind::BlockDevice, "")]),
        &compressed(&some(), Compression::Gzip)[..100],
    ];
    for (n, bytes) in cases.into_iter().enumerate() {
        let into = tempfile::tempdir().unwrap();
        let error = receive_context(&mut &bytes[..], into.path()).unwrap_err();
        assert_eq!(error.kind(), barge_types::ErrorKind::InvalidParameter, "{n}: {error:?}");
        assert_eq!(list(into.path()).len(), 0, "{n}");
    }
}

#[test]
fn links_in_a_context_are_kept_and_never_written_through() {
    let outside = tempfile::tempdir().unwrap();
    let into = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let bytes = archive(&[
        ("l", EntryKind::Symlink, target),
        ("l/x", EntryKind::Regular, "x"),
        ("up", EntryKind::Symlink, "../.."),
    ]);
    // Inside, the target's folders are not there.
    receive_context(&mut &bytes[..], into.path()).unwrap_err();
    assert_eq!(list(outside.path()).len(), 0);
}

#[test]
fn something_endless_is_no_dockerfile() {
    let into = tempfile::tempdir().unwrap();
    let mut endless = std::io::repeat(b'#').take(1 << 30);
    let error = receive_context(&mut endless, into.path()).unwrap_err();
    assert!(error.to_string().contains("no archive"), "{error}");
    assert_eq!(list(into.path()).len(), 0);
    // It was not read to its end.
    assert!(endless.limit() > 900 << 20);
}

#[test]
fn a_folder_that_becomes_a_link_while_it_is_copied_is_an_error_or_a_folder() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let place = Place::new(&["d/sub/f=inside", "trap/f=outside"]);
    let (sub, link) = (place.context().join("d/sub"), place.context().join("link"));
    // Absolute on the host, and nothing inside of the context.
    symlink(place.folder.path().join("secret"), &link).unwrap();
    fill(&place.folder.path().join("secret"), &["f=outside", "only-outside"]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                renameat_with(CWD, &sub, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for n in 0..200 {
            let destination = format!("/out{n}");
            let placement = Placement { destination: &destination, ..Default::default() };
            let copied = place.select(&["d"]).and_then(|found| {
                found.digest()?;
                found.copy(&place.layer(), &placement)
            });
            if let Err(error) = copied {
                assert!(matches!(error, FilesError::Changed { .. }), "{error}");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for path in list(&place.layer()) {
        assert!(!path.ends_with("only-outside"), "{path}");
        if path.ends_with("/f") {
            assert_eq!(fs::read(place.layer().join(path)).unwrap(), b"inside");
        }
    }
}
