//! What builds ask of a driver: a layer that was written to becomes one that others stand on, is packed, and is read.

use std::os::unix::fs::MetadataExt as _;

use barge_archive::pack::{Holes, PackOptions};

use super::fixture::{Fixture, everything, headers, id, names, read};
use crate::{Durability, LayerId, MountOptions, ReadWriteOptions, StorageDriver, StorageError};

/// A layer of files, and one on it that a step wrote.
fn built(f: &Fixture) {
    f.layer(
        1,
        None,
        &everything()
            .folder("etc")
            .file("etc/passwd", "root")
            .file("etc/gone", "")
            .file("gone", ""),
    );
    f.driver.create_read_write(&id(2), Some(&id(1)), &ReadWriteOptions::default()).unwrap();
    let options = MountOptions { durability: Durability::Volatile, ..MountOptions::default() };
    let path = f.driver.mount(&id(2), &options).unwrap();
    std::fs::remove_file(path.join("gone")).unwrap();
    std::fs::remove_dir_all(path.join("etc")).unwrap();
    std::fs::create_dir(path.join("etc")).unwrap();
    std::fs::write(path.join("etc/group"), "wheel").unwrap();
    std::fs::create_dir_all(path.join("new/deep")).unwrap();
    std::fs::write(path.join("new/deep/file"), "new").unwrap();
    std::fs::hard_link(path.join("new/deep/file"), path.join("new/name")).unwrap();
    std::fs::rename(path.join("bin/ping"), path.join("bin/pong")).unwrap();
    f.driver.unmount(&id(2)).unwrap();
}

fn packed(driver: &dyn StorageDriver, layer: &LayerId, options: &PackOptions) -> (Vec<u8>, u64) {
    let parent = driver.parent(layer).unwrap();
    let mut bytes = Vec::new();
    let packed = driver.pack(layer, parent.as_ref(), options, &mut bytes).unwrap();
    assert!(!packed.has_holes);
    (bytes, packed.bytes)
}

pub(crate) fn a_written_layer_is_a_layer_as_any_other(f: &Fixture) {
    built(f);
    let driver = &*f.driver;
    let options = PackOptions::default();
    let (bytes, size) = packed(driver, &id(2), &options);
    f.writable(3, Some(2));
    f.mounted(3, |path| {
        assert_eq!(names(&path.join("etc")), ["group"]);
        assert!(!path.join("gone").exists() && !path.join("bin/ping").exists());
        std::fs::write(path.join("etc/group"), "changed").unwrap();
        std::fs::remove_file(path.join("new/name")).unwrap();
        // A child that is mounted changes nothing below it.
        assert_eq!(packed(driver, &id(2), &options), (bytes.clone(), size));
    });
    driver.sync().unwrap();
    assert_eq!(packed(driver, &id(2), &options), (bytes.clone(), size));
    assert_eq!(f.changes(3, Some(2)), ["C /etc", "C /etc/group", "C /new", "D /new/name"]);
    // What another driver makes of it is the same tree with the same size.
    f.driver.create(&id(4), Some(&id(1))).unwrap();
    assert_eq!(driver.apply_diff(&id(4), Some(&id(1)), &mut &bytes[..]).unwrap(), size);
    assert_eq!(f.tree(4), f.tree(2));
    let error = driver.remove(&id(2)).unwrap_err();
    assert!(matches!(error, StorageError::HasChildren { .. }), "{error}");
}

pub(crate) fn a_view_is_only_read_and_keeps_its_layer(f: &Fixture) {
    built(f);
    let driver = &*f.driver;
    f.writable(3, Some(2));
    let child = driver.mount(&id(3), &MountOptions::default()).unwrap();
    let views: Vec<_> = (0..3).map(|_| driver.mount_read_only(&id(2)).unwrap()).collect();
    assert!(views.iter().all(|view| *view == views[0]));
    let view = &views[0];
    assert_eq!(names(&view.join("etc")), ["group"]);
    assert!(!view.join("gone").exists());
    let file = std::fs::metadata(view.join("new/deep/file")).unwrap();
    assert_eq!((file.nlink(), read(view.join("new/name"))), (2, "new".into()));
    std::fs::write(child.join("etc/group"), "changed").unwrap();
    assert_eq!(read(view.join("etc/group")), "wheel");
    if driver.layers_are_independent() {
        let error = std::fs::write(view.join("x"), "").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    }
    driver.unmount(&id(3)).unwrap();
    driver.remove(&id(3)).unwrap();
    for _ in &views {
        let error = driver.remove(&id(2)).unwrap_err();
        assert!(matches!(error, StorageError::Mounted(_)), "{error}");
        driver.unmount_read_only(&id(2)).unwrap();
    }
    driver.unmount_read_only(&id(2)).unwrap();
    // The lowest one is a folder as it is.
    assert_eq!(read(driver.mount_read_only(&id(1)).unwrap().join("etc/passwd")), "root");
    driver.unmount_read_only(&id(1)).unwrap();
    driver.remove(&id(2)).unwrap();
    driver.remove(&id(1)).unwrap();
    assert_eq!(f.names_on_disk(), Vec::<String>::new());
}

pub(crate) fn times_after_the_latest_are_told_as_that(f: &Fixture) {
    built(f);
    let driver = &*f.driver;
    let latest = 1_000_000;
    let options = PackOptions { latest: Some(latest), holes: Holes::Filled };
    let (bytes, _) = packed(driver, &id(2), &options);
    assert_eq!(packed(driver, &id(2), &options).0, bytes);
    let times: Vec<i64> = headers(&bytes).iter().map(|header| header.mtime.seconds).collect();
    assert!(times.len() > 5 && times.iter().all(|time| *time <= latest), "{times:?}");
    let plain = headers(&packed(driver, &id(2), &PackOptions::default()).0);
    assert!(plain.iter().any(|header| header.mtime.seconds > latest));
    // The same work on the same files, some other time and place.
    driver.remove(&id(2)).unwrap();
    driver.remove(&id(1)).unwrap();
    built(f);
    assert_eq!(packed(driver, &id(2), &options).0, bytes);
}

pub(crate) fn views_end_with_their_process(f: &mut Fixture) {
    built(f);
    let view = f.driver.mount_read_only(&id(2)).unwrap();
    f.reopen();
    f.driver.sweep(&[id(2)].into()).unwrap();
    let is_left = f.driver.layers_are_independent() && view.join("etc").exists();
    assert!(!is_left, "{}", view.display());
    assert_eq!(names(&f.driver.mount_read_only(&id(2)).unwrap().join("etc")), ["group"]);
    // And one that is swept with its layer.
    f.reopen();
    f.driver.sweep(&[id(1)].into()).unwrap();
    assert_eq!(f.driver.list().unwrap(), [id(1)]);
    assert!(!view.exists());
}
