//! One suite for every driver: `conformance!(btrfs, needs(btrfs), Some(Kind::Btrfs), open)` makes a test of each check,
//! on a file system of that kind.
//! Long because it is a flat list of checks.

use std::collections::HashSet;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barge_archive::changes::{Change, ChangeKind};
use barge_archive::tar::{Device, EntryKind, Header, Reader, Segment, Writer};
use barge_types::ErrorKind;

use crate::testing::{Kind, LoopDisk, own_mounts};

use crate::{
    Durability, LayerId, MountOptions, ReadWriteOptions, StorageDriver, StorageError,
    StorageOptions, create_container_layers, remove_container_layers,
};

pub(crate) type Open = fn(&Path) -> crate::Result<Arc<dyn StorageDriver>>;

/// A driver in a folder of its own.
pub(crate) struct Fixture {
    pub(crate) driver: Arc<dyn StorageDriver>,
    folder: Folder,
    open: Open,
}

/// Where it is.
enum Folder {
    Temporary(tempfile::TempDir),
    Disk(LoopDisk),
}

impl Folder {
    fn path(&self) -> &Path {
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
    fn sized(open: Open, disk: Option<(Kind, u64)>) -> Self {
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
    fn has_sizes(&self) -> bool {
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
    fn reopen(&mut self) {
        self.driver = (self.open)(self.folder.path()).unwrap();
    }

    /// A layer with these entries.
    fn layer(&self, n: u16, parent: Option<u16>, tar: &Tar) {
        let parent = parent.map(id);
        self.driver.create(&id(n), parent.as_ref()).unwrap();
        self.driver.apply_diff(&id(n), parent.as_ref(), &mut &tar.bytes()[..]).unwrap();
    }

    /// An empty writable layer.
    fn writable(&self, n: u16, parent: Option<u16>) {
        self.driver
            .create_read_write(&id(n), parent.map(id).as_ref(), &ReadWriteOptions::default())
            .unwrap();
    }

    /// Runs `work` in the mounted layer.
    fn mounted<T>(&self, n: u16, work: impl FnOnce(&Path) -> T) -> T {
        let path = self.driver.mount(&id(n), &MountOptions::default()).unwrap();
        let result = work(&path);
        self.driver.unmount(&id(n)).unwrap();
        result
    }

    /// The whole tree as an archive: the same bytes, the same tree.
    fn tree(&self, n: u16) -> Vec<Header> {
        self.mounted(n, |path| {
            let mut bytes = Vec::new();
            barge_archive::pack::tree(path, &mut bytes).unwrap();
            headers(&bytes)
        })
    }

    fn diff(&self, n: u16, parent: Option<u16>) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.driver.diff(&id(n), parent.map(id).as_ref(), &mut bytes).unwrap();
        bytes
    }

    fn changes(&self, n: u16, parent: Option<u16>) -> Vec<String> {
        let changes = self.driver.changes(&id(n), parent.map(id).as_ref()).unwrap();
        changes
            .iter()
            .map(|Change { path, kind }| format!("{} {}", kind.letter(), path.display()))
            .collect()
    }

    /// Everything of the driver on disk, by name, without what is being deleted.
    fn names_on_disk(&self) -> Vec<String> {
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
fn headers(bytes: &[u8]) -> Vec<Header> {
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
struct Tar(Vec<(Header, Vec<u8>)>);

impl Tar {
    fn file(self, path: &str, content: &str) -> Self {
        self.header(Header::new(path, EntryKind::Regular), content.as_bytes())
    }

    fn folder(self, path: &str) -> Self {
        self.header(Header::new(path, EntryKind::Directory), b"")
    }

    fn header(mut self, mut header: Header, content: &[u8]) -> Self {
        header.mtime.seconds = 1_000_000;
        self.0.push((header, content.to_vec()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (header, content) in &self.0 {
            writer.append_bytes(header, content).unwrap();
        }
        writer.finish().unwrap()
    }
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn child_sees_parent_and_hides_its_changes(f: &Fixture) {
    f.layer(1, None, &Tar::default().folder("etc").file("etc/a", "one").file("b", "two"));
    f.writable(2, Some(1));
    f.mounted(2, |path| {
        assert_eq!(read(path.join("etc/a")), "one");
        std::fs::write(path.join("etc/a"), "changed").unwrap();
        std::fs::remove_file(path.join("b")).unwrap();
        std::fs::write(path.join("new"), "new").unwrap();
    });
    f.mounted(1, |path| {
        assert_eq!((read(path.join("etc/a")), path.join("new").exists()), ("one".into(), false));
    });
    f.mounted(2, |path| {
        assert_eq!(
            (names(path), read(path.join("etc/a"))),
            (vec!["etc".into(), "new".into()], "changed".into())
        );
    });
    assert_eq!(f.changes(2, Some(1)), ["D /b", "C /etc", "C /etc/a", "A /new"]);
    assert_eq!(f.driver.parent(&id(2)).unwrap(), Some(id(1)));
}

pub(crate) fn whiteouts_hide_names_below(f: &Fixture) {
    f.layer(
        1,
        None,
        &Tar::default().file("gone", "").folder("d").file("d/gone", "").file("d/kept", ""),
    );
    f.layer(2, Some(1), &Tar::default().file(".wh.gone", "").folder("d").file("d/.wh.gone", ""));
    f.writable(3, Some(2));
    f.mounted(3, |path| {
        assert_eq!((names(path), names(&path.join("d"))), (vec!["d".into()], vec!["kept".into()]));
    });
    let paths: Vec<Vec<u8>> =
        headers(&f.diff(2, Some(1))).into_iter().map(|header| header.path).collect();
    assert!(
        paths.contains(&b".wh.gone".to_vec()) && paths.contains(&b"d/.wh.gone".to_vec()),
        "{paths:?}"
    );
}

pub(crate) fn opaque_folders_hide_everything_below(f: &Fixture) {
    f.layer(
        1,
        None,
        &Tar::default().folder("d").file("d/old", "").folder("d/sub").file("d/sub/x", ""),
    );
    f.layer(2, Some(1), &Tar::default().folder("d").file("d/new", "").file("d/.wh..wh..opq", ""));
    f.writable(3, Some(2));
    f.mounted(3, |path| assert_eq!(names(&path.join("d")), ["new"]));
    // A folder removed and made again in a container hides as well.
    f.mounted(3, |path| {
        std::fs::remove_dir_all(path.join("d")).unwrap();
        std::fs::create_dir(path.join("d")).unwrap();
        std::fs::write(path.join("d/newest"), "").unwrap();
    });
    assert_eq!(f.changes(3, Some(2)), ["C /d", "D /d/new", "A /d/newest"]);
    f.layer(4, Some(2), &Tar::default());
    f.driver.apply_diff(&id(4), Some(&id(2)), &mut &f.diff(3, Some(2))[..]).unwrap();
    f.mounted(4, |path| assert_eq!(names(&path.join("d")), ["newest"]));
}

/// Something of every kind.
fn everything() -> Tar {
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

pub(crate) fn every_kind_of_file_arrives(f: &Fixture) {
    f.layer(1, None, &everything());
    f.writable(2, Some(1));
    f.mounted(2, |path| {
        let su = std::fs::metadata(path.join("bin/su")).unwrap();
        assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4711, 7, 8, 2));
        assert_eq!(su.ino(), std::fs::metadata(path.join("bin/hard")).unwrap().ino());
        let null = std::fs::metadata(path.join("null")).unwrap();
        assert!(null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3));
        let mut value = [0; 32];
        assert_eq!(
            rustix::fs::lgetxattr(path.join("bin/ping"), "security.capability", &mut value),
            Ok(20)
        );
        assert_eq!(std::fs::read_link(path.join("link")).unwrap(), Path::new("/bin/su"));
    });
    let mut want = headers(&everything().bytes());
    want.sort_by(|a, b| a.path.cmp(&b.path));
    let mut seen = f.tree(2);
    seen.sort_by(|a, b| a.path.cmp(&b.path));
    // Which of two names comes first is a matter of order.
    let comparable = |all: &[Header]| {
        let others =
            all.iter().filter(|header| !matches!(header.path.as_slice(), b"bin/su" | b"bin/hard"));
        others.cloned().collect::<Vec<_>>()
    };
    assert_eq!(comparable(&seen), comparable(&want));
}

pub(crate) fn diff_applied_again_gives_the_same_tree(f: &Fixture) {
    f.layer(1, None, &everything().folder("etc").file("etc/passwd", "root").folder("empty"));
    f.writable(2, Some(1));
    f.mounted(2, |path| {
        std::fs::remove_file(path.join("bin/ping")).unwrap();
        std::fs::remove_dir(path.join("empty")).unwrap();
        std::fs::write(path.join("empty"), "now a file").unwrap();
        std::fs::rename(path.join("etc"), path.join("moved"))
            .or_else(|_| {
                // Across layers the kernel says EXDEV, and programs copy.
                std::fs::create_dir(path.join("moved"))?;
                std::fs::copy(path.join("etc/passwd"), path.join("moved/passwd"))?;
                std::fs::remove_dir_all(path.join("etc"))
            })
            .unwrap();
        std::fs::hard_link(path.join("moved/passwd"), path.join("hard")).unwrap();
        let null = path.join("null2");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &null,
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::RUSR,
            rustix::fs::makedev(1, 5),
        )
        .unwrap();
        std::os::unix::fs::chown(&null, Some(70_000), Some(80_000)).unwrap();
    });
    let diff = f.diff(2, Some(1));
    assert_eq!(f.diff(2, Some(1)), diff, "the same tree must give the same bytes");
    f.driver.create(&id(3), Some(&id(1))).unwrap();
    f.driver.apply_diff(&id(3), Some(&id(1)), &mut &diff[..]).unwrap();
    assert_eq!(f.tree(3), f.tree(2));
    // And from nothing.
    let whole = f.diff(2, None);
    f.driver.create(&id(4), None).unwrap();
    f.driver.apply_diff(&id(4), None, &mut &whole[..]).unwrap();
    assert_eq!(f.tree(4), f.tree(2));
}

pub(crate) fn holes_stay_holes(f: &Fixture) {
    let mut writer = Writer::new(Vec::new());
    let mut header = Header::new("sparse", EntryKind::Regular);
    header.size = 1 << 30;
    let map = [Segment { offset: 1 << 20, length: 3 }, Segment { offset: 1 << 30, length: 0 }];
    writer.append_sparse(&header, &map, &mut &b"abc"[..]).unwrap();
    let bytes = writer.finish().unwrap();
    f.driver.create(&id(1), None).unwrap();
    assert_eq!(f.driver.apply_diff(&id(1), None, &mut &bytes[..]).unwrap(), 1 << 30);
    f.writable(2, Some(1));
    f.mounted(2, |path| {
        let metadata = std::fs::metadata(path.join("sparse")).unwrap();
        assert!(metadata.len() == 1 << 30 && metadata.blocks() < 100, "{}", metadata.blocks());
    });
    assert!(f.diff(1, None).len() < 20_000);
    assert_eq!(f.driver.diff_size(&id(1), None).unwrap(), 1 << 30);
}

pub(crate) fn a_hundred_and_twenty_layers_stack(f: &Fixture) {
    f.layer(1, None, &Tar::default().file("file-1", "1"));
    for n in 2..=120 {
        f.layer(
            n,
            Some(n - 1),
            &Tar::default().file(&format!("file-{n}"), "x").file("last", &n.to_string()),
        );
    }
    f.writable(200, Some(120));
    f.mounted(200, |path| {
        assert_eq!((names(path).len(), read(path.join("last"))), (121, "120".into()));
    });
}

pub(crate) fn a_parent_with_children_stays(f: &Fixture) {
    f.layer(1, None, &Tar::default());
    f.writable(2, Some(1));
    let error = f.driver.remove(&id(1)).unwrap_err();
    assert!(matches!(error, StorageError::HasChildren { children: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    f.driver.remove(&id(2)).unwrap();
    f.driver.remove(&id(1)).unwrap();
    assert_eq!(f.driver.list().unwrap(), []);
}

pub(crate) fn a_mounted_layer_stays(f: &Fixture) {
    f.layer(1, None, &Tar::default());
    f.writable(2, Some(1));
    f.driver.mount(&id(2), &MountOptions::default()).unwrap();
    let error = f.driver.remove(&id(2)).unwrap_err();
    assert!(matches!(error, StorageError::Mounted(_)), "{error}");
    f.driver.unmount(&id(2)).unwrap();
    f.driver.remove(&id(2)).unwrap();
    assert!(!f.driver.exists(&id(2)));
}

pub(crate) fn unknown_ids_are_not_found(f: &Fixture) {
    let driver = &f.driver;
    let options = MountOptions::default();
    for error in [
        driver.remove(&id(9)).unwrap_err(),
        driver.mount(&id(9), &options).unwrap_err(),
        driver.unmount(&id(9)).unwrap_err(),
        driver.metadata(&id(9)).unwrap_err(),
        driver.create(&id(1), Some(&id(9))).unwrap_err(),
        driver.diff(&id(9), None, &mut Vec::new()).unwrap_err(),
        driver.apply_diff(&id(9), None, &mut std::io::empty()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    driver.create(&id(1), None).unwrap();
    let error = driver.create(&id(1), None).unwrap_err();
    assert!(matches!(error, StorageError::LayerExists(_)), "{error}");
}

pub(crate) fn sizes_are_kept_to_or_refused(f: &Fixture) {
    f.layer(1, None, &Tar::default().file("x", "x"));
    let size = ReadWriteOptions { size: Some(8 << 20) };
    if let Err(error) = f.driver.create_read_write(&id(2), Some(&id(1)), &size) {
        assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
        if f.driver.name() == "overlay2" {
            let docker =
                "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
            assert_eq!(error.to_string(), docker);
        }
        assert!(!f.has_sizes(), "{error}");
        assert!(!f.driver.exists(&id(2)));
        return;
    }
    assert!(f.has_sizes());
    f.writable(3, Some(1));
    for _ in 0..2 {
        let error = f.mounted(2, write_as_a_container).unwrap_err();
        let code = error.raw_os_error();
        // EDQUOT or ENOSPC.
        assert!(code == Some(122) || code == Some(28), "{error}");
        f.mounted(2, |path| std::fs::remove_file(path.join("big")).unwrap());
        if f.driver.name() == "btrfs" {
            // What was deleted is given back by a later transaction.
            break;
        }
    }
    f.mounted(3, write_as_a_container).unwrap();
    for n in [2, 3] {
        f.driver.remove(&id(n)).unwrap();
    }
    f.driver.create_read_write(&id(2), Some(&id(1)), &ReadWriteOptions::default()).unwrap();
    f.mounted(2, write_as_a_container).unwrap();
}

/// Writes 32 MiB without the right to exceed ext4's quotas, which the host's root has and a container has not.
fn write_as_a_container(path: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    barge_sys::namespace::on_own_thread(|| {
        let mut sets = barge_sys::caps::get()?;
        sets.effective.0 &= !barge_sys::caps::Set::parse(["CAP_SYS_RESOURCE"]).unwrap().0;
        barge_sys::caps::set(sets)?;
        let mut file = std::fs::File::create(path.join("big"))?;
        (0..32).try_for_each(|_| {
            file.write_all(&[7; 1 << 20])?;
            file.sync_all()
        })
    })?
}

pub(crate) fn layers_applied_side_by_side_settle(f: &Fixture) {
    if !f.driver.layers_are_independent() {
        return;
    }
    let mut folder = Header::new("deep", EntryKind::Directory);
    (folder.mode, folder.uid) = (0o1777, 9);
    f.driver.create(&id(1), None).unwrap();
    f.driver.create(&id(2), Some(&id(1))).unwrap();
    let upper = Tar::default().file("deep/file", "x").bytes();
    f.driver.apply_diff(&id(2), Some(&id(1)), &mut &upper[..]).unwrap();
    let lower = Tar::default().header(folder, b"").bytes();
    f.driver.apply_diff(&id(1), None, &mut &lower[..]).unwrap();
    for _ in 0..2 {
        f.driver.settle(&id(1)).unwrap();
        f.driver.settle(&id(2)).unwrap();
    }
    f.writable(3, Some(2));
    f.mounted(3, |path| {
        let stat = std::fs::metadata(path.join("deep")).unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.mtime()), (0o1777, 9, 1_000_000));
    });
}

/// A layer that does not fit, and no room for anything: clean errors that say so, nothing left, and it works again.
pub(crate) fn a_full_disk_leaves_nothing(open: Open, kind: Option<Kind>) {
    if let Err(missing) = crate::testing::check("ext4") {
        eprintln!("skipped: {missing}");
        return;
    }
    let disk = match kind {
        None | Some(Kind::Ext4 | Kind::Ext4Quota) => (Kind::Ext4, 24),
        Some(Kind::Btrfs) => (Kind::Btrfs, 128),
        Some(Kind::Xfs | Kind::XfsQuota) => (Kind::Xfs, 300),
    };
    let f = Fixture::sized(open, Some(disk));
    f.layer(1, None, &everything());
    let before = f.names_on_disk();
    let full = |error: &StorageError| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        assert!(text.contains("No space left on device"), "{text}");
    };
    // Random bytes: btrfs compresses nothing by itself, but nobody shall.
    let noise: Vec<u8> = (0..disk.1 << 18)
        .flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .collect();
    let big = Tar::default()
        .header(
            Header::new("big", EntryKind::Regular),
            &noise[..usize::try_from(disk.1).unwrap() << 20],
        )
        .bytes();
    for _ in 0..2 {
        f.driver.create(&id(2), Some(&id(1))).unwrap();
        full(&f.driver.apply_diff(&id(2), Some(&id(1)), &mut &big[..]).unwrap_err());
        f.driver.remove(&id(2)).unwrap();
        assert_eq!(f.names_on_disk(), before);
    }
    fill_up(f.folder.path());
    let results = [
        f.driver.create(&id(3), Some(&id(1))),
        f.driver.create_filled(&id(4), Some(&id(1)), &mut |path| {
            std::fs::write(path.join("more"), &noise[..1 << 20])
                .map_err(StorageError::io("write", path))
        }),
    ];
    for (n, result) in [(3, &results[0]), (4, &results[1])] {
        match result {
            // Room for metadata is the file system's business.
            Ok(()) => f.driver.remove(&id(n)).unwrap(),
            Err(error) => full(error),
        }
        assert!(!f.driver.exists(&id(n)));
    }
    assert!(results.iter().any(Result::is_err));
    std::fs::remove_dir_all(f.folder.path().join("ballast")).unwrap();
    assert_eq!(f.names_on_disk(), before);
    // btrfs gives room back when its cleaner has come by.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let small = Tar::default().file("x", "x").bytes();
    loop {
        let applied = f
            .driver
            .create(&id(3), Some(&id(1)))
            .and_then(|()| f.driver.apply_diff(&id(3), Some(&id(1)), &mut &small[..]));
        match applied {
            Ok(_) => return,
            Err(error) if f.driver.name() == "btrfs" && std::time::Instant::now() < deadline => {
                full(&error);
                f.driver.remove(&id(3)).ok();
                f.driver.flush();
                rustix::fs::syncfs(std::fs::File::open(f.folder.path()).unwrap()).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Takes all blocks, then all inodes that can be had.
fn fill_up(root: &Path) {
    use std::io::Write as _;
    let folder = root.join("ballast");
    std::fs::create_dir(&folder).unwrap();
    rustix::fs::syncfs(std::fs::File::open(root).unwrap()).unwrap();
    let mut file = std::fs::File::create(folder.join("big")).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; size]).and_then(|()| file.sync_data()).is_ok() {}
    }
    (0..200_000).take_while(|n| std::fs::write(folder.join(n.to_string()), "x").is_ok()).count();
}

pub(crate) fn three_hundred_layers_stack(f: &Fixture) {
    if !f.driver.layers_are_independent() {
        return;
    }
    for n in 1..=300 {
        let tar = Tar::default().file(&format!("file-{n}"), "1").file("last", &n.to_string());
        f.layer(n, n.checked_sub(1).filter(|n| *n > 0), &tar);
    }
    f.writable(400, Some(300));
    f.mounted(400, |path| {
        assert_eq!((names(path).len(), read(path.join("last"))), (301, "300".into()));
        std::fs::write(path.join("file-1"), "changed").unwrap();
    });
    assert_eq!(f.changes(400, Some(300)), ["C /file-1"]);
}

pub(crate) fn mounts_are_counted(f: &Fixture) {
    f.layer(1, None, &Tar::default().file("x", "x"));
    f.writable(2, Some(1));
    let options = MountOptions::default();
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| f.driver.mount(&id(2), &options).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0]));
    for _ in 0..7 {
        f.driver.unmount(&id(2)).unwrap();
        assert_eq!(read(paths[0].join("x")), "x");
    }
    f.driver.unmount(&id(2)).unwrap();
    f.driver.unmount(&id(2)).unwrap();
    f.driver.remove(&id(2)).unwrap();
}

pub(crate) fn volatile_layers_can_be_mounted_again(f: &Fixture) {
    f.layer(1, None, &Tar::default());
    f.writable(2, Some(1));
    let options = MountOptions { durability: Durability::Volatile };
    for n in 0..2 {
        let path = f.driver.mount(&id(2), &options).unwrap();
        std::fs::write(path.join(n.to_string()), "x").unwrap();
        assert_eq!(names(&path).len(), n + 1);
        f.driver.unmount(&id(2)).unwrap();
    }
}

pub(crate) fn a_restart_finds_layers_and_mounts(f: &mut Fixture) {
    f.layer(1, None, &Tar::default().file("x", "one"));
    f.layer(2, Some(1), &Tar::default().file("y", "two"));
    f.writable(3, Some(2));
    let path = f.driver.mount(&id(3), &MountOptions::default()).unwrap();
    std::fs::write(path.join("z"), "three").unwrap();
    f.reopen();
    let mut ids = f.driver.list().unwrap();
    ids.sort();
    assert_eq!(ids, [id(1), id(2), id(3)]);
    assert_eq!(f.driver.parent(&id(3)).unwrap(), Some(id(2)));
    assert_eq!(f.driver.mount(&id(3), &MountOptions::default()).unwrap(), path);
    assert_eq!(names(&path), ["x", "y", "z"]);
    f.driver.unmount(&id(3)).unwrap();
    f.driver.remove(&id(3)).unwrap();
    assert_eq!(f.driver.remove(&id(1)).unwrap_err().kind(), ErrorKind::Conflict);
}

pub(crate) fn a_sweep_leaves_what_is_used_and_what_that_stands_on(f: &mut Fixture) {
    for (n, parent) in [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(1)), (5, None)] {
        f.layer(n, parent, &Tar::default().file("x", "x"));
    }
    create_container_layers(&*f.driver, &id(6), Some(&id(4)), &ReadWriteOptions::default())
        .unwrap();
    f.driver.mount(&id(6), &MountOptions::default()).unwrap();
    f.reopen();
    f.driver.sweep(&HashSet::from([id(2)])).unwrap();
    let mut ids = f.driver.list().unwrap();
    ids.sort();
    assert_eq!(ids, [id(1), id(2)]);
    let names = f.names_on_disk();
    for n in 3..=6 {
        assert!(!names.iter().any(|name| name.starts_with(id(n).as_str())), "{n}: {names:?}");
    }
}

pub(crate) fn removed_layers_leave_nothing(f: &Fixture) {
    f.layer(1, None, &everything());
    let before = f.names_on_disk();
    for n in 10..20 {
        create_container_layers(&*f.driver, &id(n), Some(&id(1)), &ReadWriteOptions::default())
            .unwrap();
        f.mounted(n, |path| std::fs::write(path.join("x"), "x").unwrap());
        remove_container_layers(&*f.driver, &id(n)).unwrap();
    }
    f.driver.remove(&id(1)).unwrap();
    let after = f.names_on_disk();
    assert!(after.is_empty() && !before.is_empty(), "{after:?}");
}

pub(crate) fn containers_get_their_mount_points(f: &Fixture) {
    let mut etc = Header::new("etc", EntryKind::Directory);
    etc.mode = 0o700;
    let mut link = Header::new("etc/resolv.conf", EntryKind::Symlink);
    link.link = b"/run/resolv.conf".to_vec();
    f.layer(
        1,
        None,
        &Tar::default().header(etc, b"").header(link, b"").file("etc/hostname", "image"),
    );
    let options = ReadWriteOptions::default();
    let layers: Vec<LayerId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (10..14)
            .map(|n| {
                scope.spawn(move || {
                    create_container_layers(&*f.driver, &id(n), Some(&id(1)), &options_of())
                        .unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(layers.iter().all(|layer| *layer == id(1).init()));
    create_container_layers(&*f.driver, &id(20), None, &options).unwrap();
    for n in [10, 13] {
        f.mounted(n, |path| {
            assert_eq!(names(path), [".dockerenv", "dev", "etc", "proc", "sys"]);
            assert_eq!(names(&path.join("dev")), ["console", "pts", "shm"]);
            assert_eq!(names(&path.join("etc")), ["hostname", "hosts", "mtab", "resolv.conf"]);
            // What the image has is the image's.
            assert_eq!(std::fs::metadata(path.join("etc")).unwrap().mode() & 0o7777, 0o700);
            assert_eq!(
                std::fs::read_link(path.join("etc/resolv.conf")).unwrap(),
                Path::new("/run/resolv.conf")
            );
            assert_eq!(read(path.join("etc/hostname")), "image");
        });
        assert_eq!(
            f.changes(n, Some(1)).iter().filter(|change| change.starts_with("A /dev")).count(),
            4
        );
        let init = f.driver.parent(&id(n)).unwrap().unwrap();
        assert_eq!(f.driver.changes(&id(n), Some(&init)).unwrap(), []);
    }
    f.mounted(20, |path| assert_eq!(names(path), [".dockerenv", "dev", "etc", "proc", "sys"]));
    let error = f.driver.remove(&id(1)).unwrap_err();
    assert!(matches!(error, StorageError::HasChildren { .. }), "{error}");
}

fn options_of() -> ReadWriteOptions {
    ReadWriteOptions::default()
}

pub(crate) fn a_bad_archive_is_the_senders_fault(f: &Fixture) {
    for bytes in [&b"no archive at all"[..], &[b'#'; 600][..], &everything().bytes()[..700]] {
        f.driver.create(&id(1), None).unwrap();
        let error = f.driver.apply_diff(&id(1), None, &mut &bytes[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
        f.driver.remove(&id(1)).unwrap();
    }
    assert_eq!(f.names_on_disk(), Vec::<String>::new());
}

pub(crate) fn sizes_count_each_file_once(f: &Fixture) {
    f.layer(1, None, &everything().file("hundred", &"x".repeat(100)));
    assert_eq!(f.driver.diff_size(&id(1), None).unwrap(), 100 + 4 + 4 + 4);
    f.writable(2, Some(1));
    assert_eq!(f.driver.diff_size(&id(2), Some(&id(1))).unwrap(), 0);
    f.mounted(2, |path| std::fs::write(path.join("more"), "12345").unwrap());
    assert_eq!(f.driver.diff_size(&id(2), Some(&id(1))).unwrap(), 5);
    let changes = f.driver.changes(&id(2), Some(&id(1))).unwrap();
    assert_eq!(changes, [Change { path: "/more".into(), kind: ChangeKind::Add }]);
}

/// What a process does that is killed between two of its steps.
fn crashing_work(driver: &dyn StorageDriver) -> crate::Result<()> {
    let tar = Tar::default().file("x", "x").bytes();
    driver.create(&id(2), Some(&id(1)))?;
    driver.apply_diff(&id(2), Some(&id(1)), &mut &tar[..])?;
    create_container_layers(driver, &id(3), Some(&id(2)), &ReadWriteOptions::default())?;
    let path = driver.mount(&id(3), &MountOptions::default())?;
    std::fs::write(path.join("y"), "y").map_err(StorageError::io("write", &path))?;
    driver.unmount(&id(3))?;
    driver.remove(&id(3))?;
    driver.remove(&id(2))?;
    driver.flush();
    Ok(())
}

/// A layer mounted by a process that is gone: found, readable and unmounted by the next one.
pub(crate) fn a_mount_outlives_its_process(f: &mut Fixture, child: &str) {
    f.layer(1, None, &Tar::default().file("x", "one"));
    f.writable(2, Some(1));
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", child])
        .env("BARGE_STORAGE_MOUNT", f.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    f.reopen();
    let path = f.driver.mount(&id(2), &MountOptions::default()).unwrap();
    assert_eq!((read(path.join("x")), read(path.join("y"))), ("one".into(), "two".into()));
    f.driver.unmount(&id(2)).unwrap();
    f.driver.remove(&id(2)).unwrap();
}

/// In the child: mounts, and ends.
pub(crate) fn mount_child(open: Open) {
    let Some(folder) = std::env::var_os("BARGE_STORAGE_MOUNT") else { return };
    let driver = open(Path::new(&folder)).unwrap();
    let path = driver.mount(&id(2), &MountOptions::default()).unwrap();
    std::fs::write(path.join("y"), "two").unwrap();
}

/// In the child: does the work in the folder that the environment names.
pub(crate) fn crash_child(open: Open) {
    let Some(folder) = std::env::var_os("BARGE_STORAGE_CRASH") else { return };
    crashing_work(&*open(Path::new(&folder)).unwrap()).unwrap();
}

/// Kills a child at every step in turn: whatever it left, a sweep leaves the used layer and nothing else.
pub(crate) fn a_crash_between_any_two_steps_leaves_nothing(f: &mut Fixture, child: &str) {
    f.layer(1, None, &everything());
    let want = f.tree(1);
    let clean = f.names_on_disk();
    for step in 0.. {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", child])
            .env("BARGE_STORAGE_CRASH", f.folder.path())
            .env("BARGE_STORAGE_FAULT", step.to_string())
            .output()
            .unwrap();
        f.reopen();
        f.driver.sweep(&HashSet::from([id(1)])).unwrap();
        assert_eq!(f.driver.list().unwrap(), [id(1)], "step {step}");
        let mut left = f.names_on_disk();
        let mut clean = clean.clone();
        left.sort();
        clean.sort();
        assert_eq!(left, clean, "step {step}");
        assert_eq!(f.tree(1), want, "step {step}");
        if output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("1 passed"), "{text}");
            assert!(step > 10, "only {step} steps");
            return;
        }
        // Aborted, not failed.
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(signal, Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Makes a test of every check for a driver.
macro_rules! conformance {
    ($name:ident, needs($($need:ident),*), $kind:expr, $open:expr) => {
        mod $name {
            use crate::conformance as suite;
            use crate::conformance::Fixture;
            #[allow(unused_imports, reason = "some drivers need no file system of their own")]
            use crate::testing::Kind;

            const OPEN: suite::Open = |root| Ok(std::sync::Arc::new($open(root)?));
            const KIND: Option<Kind> = $kind;

            crate::conformance::checks! {
                needs($($need),*)
                child_sees_parent_and_hides_its_changes
                whiteouts_hide_names_below
                opaque_folders_hide_everything_below
                every_kind_of_file_arrives
                diff_applied_again_gives_the_same_tree
                holes_stay_holes
                a_hundred_and_twenty_layers_stack
                three_hundred_layers_stack
                a_parent_with_children_stays
                a_mounted_layer_stays
                unknown_ids_are_not_found
                sizes_are_kept_to_or_refused
                layers_applied_side_by_side_settle
                mounts_are_counted
                volatile_layers_can_be_mounted_again
                a_restart_finds_layers_and_mounts
                a_sweep_leaves_what_is_used_and_what_that_stands_on
                removed_layers_leave_nothing
                containers_get_their_mount_points
                a_bad_archive_is_the_senders_fault
                sizes_count_each_file_once
            }

            #[test]
            fn a_crash_between_any_two_steps_leaves_nothing() {
                crate::need!($($need),*);
                let child = concat!("conformance::", stringify!($name), "::crash_child");
                let mut fixture = Fixture::new(OPEN, KIND);
                suite::a_crash_between_any_two_steps_leaves_nothing(&mut fixture, child);
            }

            #[test]
            fn a_mount_outlives_its_process() {
                crate::need!($($need),*);
                let child = concat!("conformance::", stringify!($name), "::mount_child");
                suite::a_mount_outlives_its_process(&mut Fixture::new(OPEN, KIND), child);
            }

            #[test]
            fn a_full_disk_leaves_nothing() {
                crate::need!($($need),*);
                suite::a_full_disk_leaves_nothing(OPEN, KIND);
            }

            #[test]
            #[ignore = "is the process that a crash test kills"]
            fn crash_child() {
                suite::crash_child(OPEN);
            }

            #[test]
            #[ignore = "is the process that mounts and ends"]
            fn mount_child() {
                suite::mount_child(OPEN);
            }
        }
    };
}

macro_rules! checks {
    (needs $needs:tt $($check:ident)+) => {
        $(
            #[test]
            fn $check() {
                crate::need! $needs;
                suite::$check(&mut Fixture::new(OPEN, KIND));
            }
        )+
    };
}

use checks;

use crate::drivers::btrfs::Btrfs;
use crate::drivers::fuse_overlayfs::FuseOverlayfs;
use crate::drivers::overlay2::Overlay2;
use crate::drivers::vfs::Vfs;

fn none() -> StorageOptions {
    StorageOptions::default()
}

conformance!(overlay2, needs(), None, |root| super::Overlay2::open(root, &super::none()));
conformance!(overlay2_with_user_marks, needs(), None, super::Overlay2::open_with_user_marks);
conformance!(overlay2_on_xfs, needs(xfs), Some(Kind::Xfs), |root| super::Overlay2::open(
    root,
    &super::none()
));
conformance!(overlay2_on_btrfs, needs(btrfs), Some(Kind::Btrfs), |root| super::Overlay2::open(
    root,
    &super::none()
));
conformance!(overlay2_with_quotas, needs(quotas), Some(Kind::Ext4Quota), |root| {
    super::Overlay2::open(root, &super::none())
});
conformance!(overlay2_with_xfs_quotas, needs(xfs_quotas), Some(Kind::XfsQuota), |root| {
    super::Overlay2::open(root, &super::none())
});
conformance!(fuse_overlayfs, needs(fuse), None, |root| super::FuseOverlayfs::open(
    root,
    &super::none()
));
conformance!(btrfs, needs(btrfs), Some(Kind::Btrfs), |root| super::Btrfs::open(
    root,
    &super::none()
));
conformance!(vfs, needs(), None, |root| super::Vfs::open(root, &super::none()));
conformance!(vfs_on_btrfs, needs(btrfs), Some(Kind::Btrfs), |root| super::Vfs::open(
    root,
    &super::none()
));
conformance!(vfs_with_quotas, needs(quotas), Some(Kind::Ext4Quota), |root| super::Vfs::open(
    root,
    &super::none()
));
