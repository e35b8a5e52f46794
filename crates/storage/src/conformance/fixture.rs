//! A driver in a folder of its own, and layers to put into it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_archive::changes::Change;
use barge_archive::tar::{Device, EntryKind, Header, Reader, Writer};

use crate::testing::{Kind, LoopDisk, own_mounts};
use crate::{LayerId, MountOptions, ReadWriteOptions, StorageDriver};

pub(crate) type Open = fn(&Path) -> crate::Result<Arc<dyn StorageDriver>>;

/// A driver in a folder of its own.
pub(crate) struct Fixture {
    pub(crate) driver: Arc<dyn StorageDriver>,
    pub(super) folder: Folder,
    pub(super) open: Open,
}

/// Where it is.
pub(super) enum Folder {
    Temporary(tempfile::TempDir),
    Disk(LoopDisk),
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Disk(disk) => disk.path(),
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for id in self.driver.list().unwrap_or_default() {
            for _ in 0..3 {
                self.driver.unmount(&id).ok();
            }
        }
        self.driver.flush();
    }
}

pub(crate) fn id(n: u16) -> LayerId {
    let [high, low] = n.to_be_bytes();
    let mut bytes = [low; 32];
    bytes[0] = high;
    LayerId::from_bytes(bytes)
}

impl Fixture {
    pub(crate) fn new(open: Open, kind: Option<Kind>) -> Self {
        Self::sized(open, kind.map(|kind| (kind, 512)))
    }

    /// On a file system of so many MiB.
    pub(super) fn sized(open: Open, disk: Option<(Kind, u64)>) -> Self {
        let folder = match disk {
            None => {
                own_mounts();
                Folder::Temporary(tempfile::tempdir().unwrap())
            }
            Some((kind, size)) => Folder::Disk(LoopDisk::try_new(kind, size).unwrap()),
        };
        let driver = open(folder.path()).unwrap();
        Self { driver, folder, open }
    }

    /// Whether the file system can keep layers to a size.
    pub(super) fn has_sizes(&self) -> bool {
        match &self.folder {
            Folder::Temporary(_) => false,
            Folder::Disk(disk) => match disk.kind {
                Kind::Btrfs => self.driver.name() == "btrfs",
                Kind::Ext4Quota | Kind::XfsQuota => true,
                Kind::Ext4 | Kind::Xfs => false,
            },
        }
    }

    /// What a daemon that starts again sees.
    pub(super) fn reopen(&mut self) {
        self.driver = (self.open)(self.folder.path()).unwrap();
    }

    /// A layer with these entries.
    pub(super) fn layer(&self, n: u16, parent: Option<u16>, tar: &Tar) {
        let parent = parent.map(id);
        self.driver.create(&id(n), parent.as_ref()).unwrap();
        self.driver.apply_diff(&id(n), parent.as_ref(), &mut &tar.bytes()[..]).unwrap();
    }

    /// An empty writable layer.
    pub(super) fn writable(&self, n: u16, parent: Option<u16>) {
        self.driver
            .create_read_write(&id(n), parent.map(id).as_ref(), &ReadWriteOptions::default())
            .unwrap();
    }

    /// Runs `work` in the mounted layer.
    pub(super) fn mounted<T>(&self, n: u16, work: impl FnOnce(&Path) -> T) -> T {
        let path = self.driver.mount(&id(n), &MountOptions::default()).unwrap();
        let result = work(&path);
        self.driver.unmount(&id(n)).unwrap();
        result
    }

    /// The whole tree as an archive: the same bytes, the same tree.
    pub(super) fn tree(&self, n: u16) -> Vec<Header> {
        self.mounted(n, |path| {
            let mut bytes = Vec::new();
            barge_archive::pack::tree(path, &Default::default(), &mut bytes).unwrap();
            headers(&bytes)
        })
    }

    pub(super) fn diff(&self, n: u16, parent: Option<u16>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.driver.diff(&id(n), parent.map(id).as_ref(), &mut bytes).unwrap();
        bytes
    }

    pub(super) fn changes(&self, n: u16, parent: Option<u16>) -> Vec<String> {
        let changes = self.driver.changes(&id(n), parent.map(id).as_ref()).unwrap();
        changes
            .iter()
            .map(|Change { path, kind }| format!("{} {}", kind.letter(), path.display()))
            .collect()
    }

    /// Everything of the driver on disk, by name, without what is being deleted.
    pub(super) fn names_on_disk(&self) -> Vec<String> {
        self.driver.flush();
        let mut names = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if matches!(name.as_str(), "lost+found" | "ballast" | "backingFsBlockDev") {
                    continue;
                }
                if path.symlink_metadata().unwrap().is_dir() && name.len() < 64 {
                    folders.push(path);
                } else {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// Headers with a digest of the content in the place of the user's name.
pub(super) fn headers(bytes: &[u8]) -> Vec<Header> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some(mut entry) = reader.next_entry().unwrap() {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let mut header = entry.header().clone();
        header.user = barge_archive::Digester::of(&content).to_string().into_bytes();
        all.push(header);
    }
    all
}

/// Entries of a layer.
#[derive(Default)]
pub(super) struct Tar(Vec<(Header, Vec<u8>)>);

impl Tar {
    pub(super) fn file(self, path: &str, content: &str) -> Self {
        self.header(Header::new(path, EntryKind::Regular), content.as_bytes())
    }

    pub(super) fn folder(self, path: &str) -> Self {
        self.header(Header::new(path, EntryKind::Directory), b"")
    }

    pub(super) fn header(mut self, mut header: Header, content: &[u8]) -> Self {
        header.mtime.seconds = 1_000_000;
        self.0.push((header, content.to_vec()));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (header, content) in &self.0 {
            writer.append_bytes(header, content).unwrap();
        }
        writer.finish().unwrap()
    }
}

pub(super) fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

pub(super) fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Something of every kind.
pub(super) fn everything() -> Tar {
    let mut hard = Header::new("bin/hard", EntryKind::HardLink);
    hard.link = b"bin/su".to_vec();
    let mut su = Header::new("bin/su", EntryKind::Regular);
    su.mode = 0o4711;
    (su.uid, su.gid) = (7, 8);
    su.xattrs.insert(b"user.x".to_vec(), b"y".to_vec());
    let capability = [1, 0, 0, 2, 0, 32].into_iter().chain([0; 14]).collect();
    let mut ping = Header::new("bin/ping", EntryKind::Regular);
    ping.mode = 0o755;
    ping.xattrs.insert(b"security.capability".to_vec(), capability);
    let mut device = Header::new("null", EntryKind::CharDevice);
    device.device = Device { major: 1, minor: 3 };
    let mut link = Header::new("link", EntryKind::Symlink);
    (link.link, link.uid) = (b"/bin/su".to_vec(), 5);
    // The kernel gives links all bits.
    link.mode = 0o777;
    let mut long = Header::new(
        format!("{}/{}", vec!["p".repeat(90); 3].join("/"), "f".repeat(250)),
        EntryKind::Regular,
    );
    long.mtime.seconds = 5;
    let mut tar = Tar::default()
        .folder("bin")
        .header(ping, b"icmp")
        .header(su, b"root")
        .header(hard, b"")
        .header(link, b"");
    let mut folder = String::new();
    for _ in 0..3 {
        folder.push_str(&"p".repeat(90));
        folder.push('/');
        tar = tar.folder(&folder);
    }
    tar.header(device, b"").header(Header::new("pipe", EntryKind::Fifo), b"").header(long, b"long")
}
