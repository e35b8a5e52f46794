//! Memory of large layers. Alone in its program: what is measured is the whole process.

use std::io::Read;
use std::os::fd::AsFd as _;

use barge_archive::Marks;
use barge_archive::extract::{ApplyOptions, Whiteouts, apply};
use barge_archive::tar::{EntryKind, Header, Writer};

#[test]
fn a_million_files_take_bounded_memory() {
    /// An archive that is made while it is read.
    struct Many {
        next: u32,
        block: Vec<u8>,
        at: usize,
    }
    const FILES: u32 = 1_000_000;
    impl Read for Many {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.at == self.block.len() && self.next < FILES {
                let mut writer = Writer::new(Vec::new());
                for _ in 0..1000 {
                    let path = format!("{}/{}", self.next / 1000, self.next % 1000);
                    writer.append_bytes(&Header::new(path, EntryKind::Regular), b"").unwrap();
                    self.next += 1;
                }
                self.block = writer.finish().unwrap();
                self.block.truncate(1000 * 512);
                self.at = 0;
            }
            let rest = &self.block[self.at..];
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            self.at += length;
            Ok(length)
        }
    }
    /// Highest memory use of this process, in KiB.
    fn peak() -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
    // In memory: a million inodes on a disk take a while.
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let before = peak();
    let tar = Many { next: 0, block: Vec::new(), at: 0 };
    let options =
        ApplyOptions { whiteouts: Whiteouts::Overlay(Marks::Trusted), ..Default::default() };
    let applied = apply(place.path(), tar, &options).unwrap();
    assert_eq!((applied.entries, applied.implied.len()), (u64::from(FILES), 1000));
    let grown = peak() - before;
    assert!(grown < 32 << 10, "{grown} KiB");
    let root = std::fs::File::open(place.path().parent().unwrap()).unwrap();
    let name = place.path().file_name().unwrap().as_encoded_bytes();
    barge_archive::remove::tree(root.as_fd(), name).unwrap();
    assert!(!place.path().exists());
    assert!(peak() - before < 32 << 10);
}
