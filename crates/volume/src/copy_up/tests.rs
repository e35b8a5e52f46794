//! What an image has arrives in the volume as it was, and nothing else does.

use super::*;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

struct Ground {
    _folder: tempfile::TempDir,
    rootfs: PathBuf,
    target: PathBuf,
}

fn ground() -> Ground {
    let folder = tempfile::tempdir().unwrap();
    let (rootfs, target) = (folder.path().join("rootfs"), folder.path().join("vol"));
    fs::create_dir_all(rootfs.join("data")).unwrap();
    fs::create_dir(&target).unwrap();
    Ground { _folder: folder, rootfs, target }
}

impl Ground {
    fn copy(&self, path: &str) -> Result<()> {
        copy_up(&self.rootfs, Path::new(path), &self.target)
    }
}

#[test]
fn files_keep_owner_mode_time_and_attributes() {
    let ground = ground();
    let file = ground.rootfs.join("data/file");
    fs::write(&file, "content").unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(5678)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6751)).unwrap();
    xattr::lset(&file, OsStr::new("user.note"), b"hi").unwrap();
    // cap_net_raw+ep, version 2
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::lset(&file, OsStr::new("security.capability"), &capability).unwrap();
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_000_000_000_123_456_789);
    File::open(&file).unwrap().set_modified(past).unwrap();
    ground.copy("/data").unwrap();
    let copy = ground.target.join("file");
    let metadata = fs::metadata(&copy).unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"content");
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 5678));
    assert_eq!(metadata.mode() & 0o7777, 0o6751);
    assert_eq!(metadata.modified().unwrap(), past);
    assert_eq!(xattr::lget(&copy, OsStr::new("user.note")).unwrap().unwrap(), b"hi");
    let got = xattr::lget(&copy, OsStr::new("security.capability")).unwrap();
    assert_eq!(got.unwrap(), capability);
}

#[test]
fn the_folder_itself_gives_owner_and_mode_even_when_it_is_empty() {
    let ground = ground();
    let data = ground.rootfs.join("data");
    std::os::unix::fs::chown(&data, Some(999), Some(998)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o1770)).unwrap();
    ground.copy("data").unwrap();
    let metadata = fs::metadata(&ground.target).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (999, 998, 0o1770));
}

#[test]
fn links_stay_links() {
    let ground = ground();
    let data = ground.rootfs.join("data");
    fs::create_dir(data.join("sub")).unwrap();
    fs::write(data.join("one"), "x").unwrap();
    fs::hard_link(data.join("one"), data.join("sub/two")).unwrap();
    symlink("/etc/shadow", data.join("sub/soft")).unwrap();
    std::os::unix::fs::lchown(data.join("sub/soft"), Some(7), Some(8)).unwrap();
    ground.copy("/data").unwrap();
    let inode = |name: &str| fs::metadata(ground.target.join(name)).unwrap().ino();
    assert_eq!(inode("one"), inode("sub/two"));
    assert_ne!(inode("one"), fs::metadata(data.join("one")).unwrap().ino());
    let soft = ground.target.join("sub/soft");
    assert_eq!(fs::read_link(&soft).unwrap(), Path::new("/etc/shadow"));
    assert_eq!(fs::symlink_metadata(&soft).unwrap().uid(), 7);
}

#[test]
fn pipes_and_devices_are_made_again() {
    let ground = ground();
    let make = |name: &str, kind, device| {
        let path = ground.rootfs.join("data").join(name);
        rustix::fs::mknodat(CWD, &path, kind, Mode::RUSR, device).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
    };
    make("pipe", FileType::Fifo, 0);
    make("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    ground.copy("/data").unwrap();
    assert!(fs::metadata(ground.target.join("pipe")).unwrap().file_type().is_fifo());
    let null = fs::metadata(ground.target.join("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o777), (rustix::fs::makedev(1, 3), 0o622));
}

#[test]
fn a_path_that_is_a_link_is_followed_inside_the_root() {
    let ground = ground();
    fs::write(ground.rootfs.join("data/inside"), "x").unwrap();
    symlink("/data", ground.rootfs.join("link")).unwrap();
    ground.copy("/link").unwrap();
    assert!(ground.target.join("inside").exists());
}

#[test]
fn a_link_out_of_the_root_leads_nowhere() {
    let ground = ground();
    symlink("../../../../../../etc", ground.rootfs.join("out")).unwrap();
    ground.copy("/out").unwrap();
    assert_eq!(fs::read_dir(&ground.target).unwrap().count(), 0);
}

#[test]
fn a_volume_with_files_is_left_alone() {
    let ground = ground();
    fs::write(ground.rootfs.join("data/new"), "x").unwrap();
    fs::write(ground.target.join("old"), "x").unwrap();
    ground.copy("/data").unwrap();
    assert!(!ground.target.join("new").exists());
}

#[test]
fn what_is_no_folder_fills_nothing() {
    let ground = ground();
    fs::write(ground.rootfs.join("file"), "x").unwrap();
    ground.copy("/file").unwrap();
    ground.copy("/missing/deeper").unwrap();
    assert_eq!(fs::read_dir(&ground.target).unwrap().count(), 0);
}

#[test]
fn a_copy_that_fails_leaves_the_volume_empty() {
    let ground = ground();
    fs::write(ground.rootfs.join("data/file"), "x").unwrap();
    let mut deep = ground.rootfs.join("data");
    for _ in 0..=DEPTH {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    assert!(ground.copy("/data").is_err());
    assert_eq!(fs::read_dir(&ground.target).unwrap().count(), 0);
}
