//! One suite for every driver: `conformance!(btrfs, needs(btrfs), Some(Kind::Btrfs), open)` makes a test of each check,
//! on a file system of that kind.
//! Long because it is a flat list of checks.

mod built;
mod faults;
mod fixture;

use std::collections::HashSet;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use barge_archive::changes::{Change, ChangeKind};
use barge_archive::tar::{EntryKind, Header, Segment, Writer};
use barge_types::ErrorKind;

use crate::{
    Durability, LayerId, MountOptions, ReadWriteOptions, StorageError, StorageOptions,
    create_container_layers, remove_container_layers,
};

pub(crate) use built::{
    a_view_is_only_read_and_keeps_its_layer, a_written_layer_is_a_layer_as_any_other,
    times_after_the_latest_are_told_as_that, views_end_with_their_process,
};
pub(crate) use faults::{
    a_crash_between_any_two_steps_leaves_nothing, a_full_disk_leaves_nothing,
    a_mount_outlives_its_process, crash_child, mount_child,
};
pub(crate) use fixture::{Fixture, Open};
use fixture::{Tar, everything, headers, id, names, read};

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
    let options = MountOptions { durability: Durability::Volatile, ..MountOptions::default() };
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
                a_written_layer_is_a_layer_as_any_other
                a_view_is_only_read_and_keeps_its_layer
                times_after_the_latest_are_told_as_that
                views_end_with_their_process
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
