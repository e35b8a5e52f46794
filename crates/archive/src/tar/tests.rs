//! Reading what other programs write, and the other way round; input that is broken.

use std::io::{Cursor, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::ArchiveError;

type Read = (Header, Vec<u8>);

fn read_all(bytes: &[u8]) -> crate::Result<Vec<Read>> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some(mut entry) = reader.next_entry()? {
        let mut content = Vec::new();
        // A sparse file may claim petabytes of zeros.
        let mut limited = (&mut entry).take(1 << 20);
        if let Err(error) = limited.read_to_end(&mut content) {
            return Err(*error.into_inner().unwrap().downcast::<ArchiveError>().unwrap());
        }
        all.push((entry.header().clone(), content));
    }
    Ok(all)
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output.stdout
}

fn find<'a>(all: &'a [Read], path: &str) -> &'a Read {
    let path = path.as_bytes();
    all.iter().find(|(header, _)| header.path == path).unwrap_or_else(|| panic!("no {path:?}"))
}

fn make_tree(root: &Path, long: usize) -> String {
    std::fs::create_dir_all(root.join("folder")).unwrap();
    std::fs::write(root.join("folder/file"), vec![b'x'; 100_000]).unwrap();
    std::fs::hard_link(root.join("folder/file"), root.join("hard")).unwrap();
    std::os::unix::fs::symlink("folder/file", root.join("link")).unwrap();
    run(Command::new("mkfifo").arg(root.join("pipe")));
    run(Command::new("mknod").arg(root.join("device")).args(["b", "7", "300"]));
    run(Command::new("chown").arg("70000:1234").arg(root.join("link")).arg("-h"));
    run(Command::new("touch").args(["-d", "2001-02-03T04:05:06.5Z"]).arg(root.join("folder/file")));
    let name = "n".repeat(long);
    std::fs::write(root.join("folder").join(&name), "long").unwrap();
    std::os::unix::fs::symlink(&name, root.join("z-long-link")).unwrap();
    name
}

fn check_tree(all: &[Read], name: &str) {
    let (file, content) = find(all, "./folder/file");
    assert_eq!((file.kind, file.size, content.len()), (EntryKind::Regular, 100_000, 100_000));
    assert_eq!(file.mtime.seconds, 981_173_106);
    let (hard, _) = find(all, "./hard");
    assert_eq!((hard.kind, hard.link.as_slice()), (EntryKind::HardLink, &b"./folder/file"[..]));
    let (link, _) = find(all, "./link");
    assert_eq!((link.kind, link.link.as_slice()), (EntryKind::Symlink, &b"folder/file"[..]));
    assert_eq!((link.uid, link.gid), (70000, 1234));
    assert_eq!(find(all, "./pipe").0.kind, EntryKind::Fifo);
    let (device, _) = find(all, "./device");
    assert_eq!(
        (device.kind, device.device),
        (EntryKind::BlockDevice, Device { major: 7, minor: 300 })
    );
    assert_eq!(find(all, &format!("./folder/{name}")).1, b"long");
    assert_eq!(find(all, "./z-long-link").0.link, name.as_bytes());
    assert_eq!(find(all, "./folder/").0.kind, EntryKind::Directory);
}

#[test]
fn every_format_of_gnu_tar_is_read() {
    for (format, long) in [("v7", 80), ("ustar", 90), ("oldgnu", 250), ("gnu", 250), ("posix", 250)]
    {
        let folder = tempfile::tempdir().unwrap();
        let name = make_tree(folder.path(), long);
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(folder.path()).args(["--sort=name", "--format", format, "-cf", "-"]);
        let is_v7 = format == "v7";
        if is_v7 {
            // V7 knows neither devices nor pipes.
            std::fs::remove_file(folder.path().join("pipe")).unwrap();
            std::fs::remove_file(folder.path().join("device")).unwrap();
        }
        let all = read_all(&run(tar.arg("."))).unwrap_or_else(|error| panic!("{format}: {error}"));
        if is_v7 {
            assert_eq!(find(&all, &format!("./folder/{name}")).1, b"long");
            assert_eq!(find(&all, "./folder/").0.kind, EntryKind::Directory);
        } else {
            check_tree(&all, &name);
        }
        let fraction = find(&all, "./folder/file").0.mtime.nanoseconds;
        assert_eq!(fraction, if format == "posix" { 500_000_000 } else { 0 }, "{format}");
    }
}

#[test]
fn every_format_of_python_is_read() {
    let script = "import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', \
                  format=getattr(tarfile, sys.argv[1])); t.add(sys.argv[2], arcname='.'); t.close()";
    for (format, long) in [("USTAR_FORMAT", 90), ("GNU_FORMAT", 250), ("PAX_FORMAT", 250)] {
        let folder = tempfile::tempdir().unwrap();
        let name = make_tree(folder.path(), long);
        let bytes = run(Command::new("python3").args(["-c", script, format]).arg(folder.path()));
        let mut all = read_all(&bytes).unwrap_or_else(|error| panic!("{format}: {error}"));
        for (header, _) in &mut all {
            // Python writes folders without a slash.
            if header.kind == EntryKind::Directory
                && header.path != b"."
                && !header.path.ends_with(b"/")
            {
                header.path.push(b'/');
            }
        }
        let (first, second) = (find(&all, "./folder/file").0.kind, find(&all, "./hard").0.kind);
        assert!([first, second].contains(&EntryKind::HardLink) && first != second, "{format}");
        assert_eq!(find(&all, &format!("./folder/{name}")).1, b"long");
        assert_eq!(find(&all, "./z-long-link").0.link, name.as_bytes());
        assert_eq!(find(&all, "./device").0.device, Device { major: 7, minor: 300 });
    }
}

#[test]
fn every_sparse_format_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let file = std::fs::File::create(&path).unwrap();
    // More parts than an old GNU header and one extension block hold.
    for n in 0..40u64 {
        file.write_all_at(&[b'a' + u8::try_from(n % 26).unwrap(); 4096], n * 20_480).unwrap();
    }
    file.set_len(900_000).unwrap();
    let want = std::fs::read(&path).unwrap();
    for options in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(folder.path()).args(options).args(["--sparse", "-cf", "-", "sparse"]);
        let bytes = run(&mut tar);
        assert!(bytes.len() < 300_000, "{options:?}: not sparse");
        let mut reader = Reader::new(&bytes[..]);
        let mut entry = reader.next_entry().unwrap().unwrap();
        assert_eq!(
            (entry.header().path.as_slice(), entry.header().size),
            (&b"sparse"[..], 900_000)
        );
        let stored: u64 = entry.segments().iter().map(|segment| segment.length).sum();
        assert_eq!(stored, 40 * 4096, "{options:?}");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(content == want, "{options:?}: other content");
        assert!(reader.next_entry().unwrap().is_none());
    }
}

#[test]
fn skipped_content_does_not_move_the_next_entry() {
    let mut writer = Writer::new(Vec::new());
    for n in 0..300 {
        let header = Header::new(format!("file-{n}"), EntryKind::Regular);
        writer.append_bytes(&header, &vec![1; n * 37]).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let mut reader = Reader::new(&bytes[..]);
    let mut count = 0;
    while let Some(mut entry) = reader.next_entry().unwrap() {
        assert_eq!(entry.header().path, format!("file-{count}").as_bytes());
        if count % 3 == 0 {
            entry.read_exact(&mut vec![0; count]).unwrap();
        }
        count += 1;
    }
    assert_eq!(count, 300);
}

fn rich_header() -> Header {
    let mut header =
        Header::new(format!("{}/{}", "d".repeat(200), "f".repeat(200)), EntryKind::Regular);
    header.mode = 0o6755;
    header.uid = 4_000_000_000;
    header.gid = 10_000_000;
    header.mtime = Timestamp { seconds: -5, nanoseconds: 250_000_000 };
    header.user = "ü".repeat(20).into_bytes();
    header.xattrs.insert(b"user.binary".to_vec(), vec![0, b'\n', 255]);
    header.xattrs.insert(b"security.capability".to_vec(), vec![1; 20]);
    header
}

#[test]
fn what_is_written_is_read() {
    let mut header = rich_header();
    let mut writer = Writer::new(Vec::new());
    writer.append_bytes(&header, b"content").unwrap();
    let all = read_all(&writer.finish().unwrap()).unwrap();
    header.size = 7;
    assert_eq!(all, [(header, b"content".to_vec())]);
}

#[test]
fn gnu_tar_and_python_read_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut writer = Writer::new(Vec::new());
    let mut folder_header = Header::new("d".repeat(120), EntryKind::Directory);
    folder_header.mtime.seconds = 5;
    writer.append_bytes(&folder_header, b"").unwrap();
    let mut file =
        Header::new(format!("{}/{}", "d".repeat(120), "f".repeat(90)), EntryKind::Regular);
    file.uid = 3_000_000;
    writer.append_bytes(&file, &[b'y'; 1000]).unwrap();
    let mut sparse = Header::new("sparse", EntryKind::Regular);
    sparse.size = 5_000_000;
    let map = [Segment { offset: 1_000_000, length: 3 }, Segment { offset: 5_000_000, length: 0 }];
    writer.append_sparse(&sparse, &map, &mut &b"abc"[..]).unwrap();
    std::fs::write(&path, writer.finish().unwrap()).unwrap();
    let listed = run(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&path));
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains("3000000/0") && listed.contains("5000000"), "{listed}");
    run(Command::new("tar").arg("-C").arg(folder.path()).arg("-xf").arg(&path));
    let content = std::fs::read(folder.path().join("sparse")).unwrap();
    assert_eq!((content.len(), &content[1_000_000..1_000_003]), (5_000_000, &b"abc"[..]));
    let script =
        "import sys, tarfile; print([(m.name, m.size, m.uid) for m in tarfile.open(sys.argv[1])])";
    let listed =
        String::from_utf8(run(Command::new("python3").args(["-c", script]).arg(&path))).unwrap();
    assert!(listed.contains("'sparse', 5000000") && listed.contains("1000, 3000000"), "{listed}");
}

#[test]
fn global_records_apply_until_taken_back() {
    let script = "import sys, tarfile, io\n\
        t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.PAX_FORMAT, pax_headers={'uname': 'ä'})\n\
        t.addfile(tarfile.TarInfo('one')); t.addfile(tarfile.TarInfo('two')); t.close()";
    let all = read_all(&run(Command::new("python3").args(["-c", script]))).unwrap();
    assert_eq!(all.len(), 2);
    for (header, _) in all {
        assert_eq!(header.user, "ä".as_bytes());
    }
}

fn sample() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.append_bytes(&rich_header(), &[b'z'; 700]).unwrap();
    let mut sparse = Header::new("s", EntryKind::Regular);
    sparse.size = 4096;
    let map = [Segment { offset: 100, length: 3 }, Segment { offset: 2000, length: 2 }];
    writer.append_sparse(&sparse, &map, &mut &b"abcde"[..]).unwrap();
    writer.append_bytes(&Header::new("end", EntryKind::Regular), b"e").unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_cut_archive_says_where_it_ends() {
    let whole = sample();
    let want = read_all(&whole).unwrap();
    for length in 1..whole.len() {
        match read_all(&whole[..length]) {
            // Cut between entries, or in the last one's padding: what was read is right.
            Ok(all) => assert!(want.starts_with(&all), "at {length}"),
            Err(ArchiveError::Truncated { offset, .. }) => assert_eq!(offset, length as u64),
            Err(error) => panic!("at {length}: {error}"),
        }
    }
}

#[test]
fn broken_headers_say_where_and_what() {
    let noise = vec![b'#'; 2048];
    let error = read_all(&noise).unwrap_err().to_string();
    assert_eq!(error, "archive/tar: invalid tar header: wrong checksum at byte 0");
    let mut huge = block::Block::zero();
    huge.set_text(block::NAME, b"pax");
    number::write(huge.field_mut(block::SIZE), 1 << 40);
    huge.set_text(block::FLAG..block::FLAG + 1, b"x");
    huge.set_checksum();
    let error = read_all(&huge.0).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLong { size: 0x100_0000_0000, .. }), "{error}");
    let mut negative = block::Block::zero();
    negative.set_text(block::NAME, b"file");
    negative.field_mut(block::SIZE).fill(0xff);
    negative.set_text(block::FLAG..block::FLAG + 1, b"0");
    negative.set_checksum();
    assert!(read_all(&negative.0).unwrap_err().to_string().contains("size is negative"));
}

#[test]
fn content_must_be_as_long_as_its_header_says() {
    let mut header = Header::new("short", EntryKind::Regular);
    header.size = 10;
    let error = Writer::new(Vec::new()).append(&header, &mut &b"123"[..]).unwrap_err();
    assert!(error.to_string().contains("7 bytes early"), "{error}");
}

#[test]
fn drain_reads_what_follows_the_end() {
    let mut bytes = sample();
    bytes.extend([7; 300_000]);
    let mut source = Cursor::new(&bytes);
    let mut reader = Reader::new(&mut source);
    while reader.next_entry().unwrap().is_some() {}
    reader.drain().unwrap();
    drop(reader);
    assert_eq!(source.position(), bytes.len() as u64);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        read_all(&bytes).ok();
    }

    #[test]
    fn a_damaged_archive_never_panics(at in prop::collection::vec((0usize..8192, any::<u8>()), 1..12), fix in any::<bool>()) {
        let mut bytes = sample();
        for (at, value) in at {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if fix {
            // Right checksums let the damage through to the parsers behind.
            for chunk in bytes.chunks_exact_mut(BLOCK) {
                if chunk[257..262] == *b"ustar" {
                    let mut block = block::Block(chunk.try_into().unwrap());
                    block.set_checksum();
                    chunk.copy_from_slice(&block.0);
                }
            }
        }
        read_all(&bytes).ok();
    }

    #[test]
    fn any_entry_comes_back(
        path in "[a-zA-Z0-9ü ._-]{1,60}(/[a-z]{1,60}){0,6}",
        (uid, gid) in (any::<u32>(), any::<u32>()),
        (seconds, nanoseconds) in (-(1i64 << 40)..(1 << 40), 0u32..1_000_000_000),
        content in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut header = Header::new(path, EntryKind::Regular);
        (header.uid, header.gid) = (uid.into(), gid.into());
        header.mtime = Timestamp { seconds, nanoseconds };
        let mut writer = Writer::new(Vec::new());
        writer.append_bytes(&header, &content).unwrap();
        header.size = content.len() as u64;
        prop_assert_eq!(read_all(&writer.finish().unwrap()).unwrap(), vec![(header, content)]);
    }
}

/// A header block by hand, its checksum right.
fn block_of(flag: u8, change: impl FnOnce(&mut block::Block)) -> Vec<u8> {
    let mut header = block::Block::zero();
    header.set_text(block::NAME, b"file");
    header.set_text(block::MAGIC, b"ustar\x0000");
    number::write(header.field_mut(block::SIZE), 0);
    header.set_text(block::FLAG..block::FLAG + 1, &[flag]);
    change(&mut header);
    header.set_checksum();
    header.0.to_vec()
}

fn padded(mut data: Vec<u8>) -> Vec<u8> {
    data.resize(data.len().next_multiple_of(BLOCK), 0);
    data
}

/// An extension header with these records.
fn pax(flag: u8, records: &[u8]) -> Vec<u8> {
    let mut bytes =
        block_of(flag, |block| number::write(block.field_mut(block::SIZE), records.len() as u64));
    bytes.extend(padded(records.to_vec()));
    bytes
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

#[test]
fn absurd_headers_are_refused_without_memory_or_time() {
    let file = block_of(b'0', |_| ());
    let size = |value: &str| [pax(b'x', &record("size", value)), file.clone()].concat();
    let base_256 = |first: u8, last: u8| {
        block_of(b'0', |block| {
            let field = block.field_mut(block::SIZE);
            field.fill(last);
            field[0] = first;
        })
    };
    let sparse = |map: &str| {
        let mut records = record("GNU.sparse.major", "1");
        records.extend(record("GNU.sparse.minor", "0"));
        records.extend(record("GNU.sparse.realsize", "1000000000000"));
        let map = padded(map.as_bytes().to_vec());
        let data =
            block_of(b'0', |block| number::write(block.field_mut(block::SIZE), map.len() as u64));
        [pax(b'x', &records), data, map].concat()
    };
    let mut old_sparse = block_of(b'S', |block| {
        number::write(block.field_mut(block::SPARSE_SIZE), 1 << 40);
        number::write(&mut block.field_mut(block::SPARSE)[..12], 0);
        number::write(&mut block.field_mut(block::SPARSE)[12..24], 1 << 41);
    });
    old_sparse.extend([0; 1024]);
    for (bytes, want) in [
        (size("18446744073709551615"), "bad number"),
        (size("9223372036854775807"), "unexpected EOF"),
        (size("18446744073709551616"), "bad number"),
        (size("-1"), "bad number"),
        (size("1e3"), "bad number"),
        (base_256(0xff, 0xff), "size is negative"),
        (base_256(0x80, 0xff), "size is not a number"),
        (base_256(0xc0, 0), "size is not a number"),
        (block_of(b'0', |block| block.field_mut(block::SIZE).fill(b'9')), "size is not a number"),
        (pax(b'x', b"99999999999999999999 a=b\n"), "bad length"),
        (pax(b'x', b"9999 a=b\n"), "longer than its header"),
        (pax(b'x', b"0 a=b\n"), "longer than its header"),
        (pax(b'x', b"5 ab\n"), "without ="),
        (pax(b'x', b"no length"), "bad length"),
        (sparse("18446744073709551615\n"), "without its length"),
        (sparse("1\n5\n-5\n"), "bad number"),
        (sparse("2\n5\n5\n3\n1\n"), "out of order"),
        (sparse("1\n18446744073709551615\n1\n"), "bad number"),
        (sparse("1\n0\n2000000000000\n"), "beyond the end"),
        (old_sparse, "beyond the end"),
    ] {
        let error = read_all(&bytes).unwrap_err().to_string();
        assert!(error.contains(want), "{error} is not {want}");
    }
}

#[test]
fn names_without_an_end_and_headers_in_a_row_are_bounded() {
    // A GNU long name fills its header: no NUL, then nothing.
    let mut long = block_of(b'L', |block| number::write(block.field_mut(block::SIZE), 1 << 20));
    long.extend(vec![b'n'; 1 << 20]);
    let error = read_all(&[long.clone(), block_of(b'0', |_| ())].concat()[..(1 << 20)]);
    assert!(matches!(error, Err(ArchiveError::Truncated { .. })));
    let all = read_all(&[long, block_of(b'0', |_| ())].concat()).unwrap();
    assert_eq!(all[0].0.path.len(), 1 << 20);
    let longer = block_of(b'K', |block| number::write(block.field_mut(block::SIZE), (1 << 20) + 1));
    assert!(matches!(read_all(&longer), Err(ArchiveError::TooLong { .. })));
    // A row of extended headers without end, each with another key.
    for flag in [b'x', b'g'] {
        let value = "v".repeat(500_000);
        let row = (0..1_000_000).flat_map(|n| pax(flag, &record(&format!("key{n}"), &value)));
        let mut reader = Reader::new(Endless(row, Vec::new()));
        let error = reader.next_entry().map(drop).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLong { what: "pax headers in a row", .. }));
        assert!(reader.offset() < 3 << 20, "{}", reader.offset());
    }
}

/// Reads an iterator's bytes.
struct Endless<I>(I, Vec<u8>);

impl<I: Iterator<Item = u8>> std::io::Read for Endless<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1.clear();
        self.1.extend(self.0.by_ref().take(buffer.len()));
        buffer[..self.1.len()].copy_from_slice(&self.1);
        Ok(self.1.len())
    }
}
