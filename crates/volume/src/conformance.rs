//! What every volume driver does, as one suite: `conformance!(word, |root: &Path| -> Result<Box<dyn
//! VolumeDriver>>)`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::driver::VolumeDriver;
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;

pub(crate) type Open = dyn Fn(&Path) -> Result<Box<dyn VolumeDriver>>;

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn in_folder(open: &Open, check: impl FnOnce(&Path, Box<dyn VolumeDriver>)) {
    let root = tempfile::tempdir().unwrap();
    check(root.path(), open(root.path()).unwrap());
}

pub(crate) fn a_new_volume_is_empty_and_listed(open: &Open) {
    in_folder(open, |_, driver| {
        driver.create(&name("bb"), &BTreeMap::new()).unwrap();
        driver.create(&name("aa"), &BTreeMap::new()).unwrap();
        assert_eq!(driver.list().unwrap(), [name("aa"), name("bb")]);
        assert!(driver.exists(&name("aa")).unwrap());
        assert!(!driver.exists(&name("cc")).unwrap());
        let path = driver.mount(&name("aa"), "user").unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        driver.unmount(&name("aa"), "user").unwrap();
    });
}

pub(crate) fn creating_again_keeps_the_files(open: &Open) {
    in_folder(open, |_, driver| {
        driver.create(&name("vol"), &BTreeMap::new()).unwrap();
        let path = driver.mount(&name("vol"), "user").unwrap();
        fs::write(path.join("file"), "x").unwrap();
        driver.create(&name("vol"), &BTreeMap::new()).unwrap();
        assert!(path.join("file").exists());
        driver.unmount(&name("vol"), "user").unwrap();
    });
}

pub(crate) fn files_outlive_unmounting_and_the_daemon(open: &Open) {
    in_folder(open, |root, driver| {
        driver.create(&name("vol"), &BTreeMap::new()).unwrap();
        let path = driver.mount(&name("vol"), "user").unwrap();
        fs::write(path.join("file"), "x").unwrap();
        driver.unmount(&name("vol"), "user").unwrap();
        let driver = open(root).unwrap();
        assert_eq!(driver.list().unwrap(), [name("vol")]);
        let path = driver.mount(&name("vol"), "other").unwrap();
        assert_eq!(fs::read(path.join("file")).unwrap(), b"x");
        driver.unmount(&name("vol"), "other").unwrap();
    });
}

pub(crate) fn removing_takes_the_files_and_nothing_behind_links(open: &Open) {
    in_folder(open, |_, driver| {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        driver.create(&name("vol"), &BTreeMap::new()).unwrap();
        let path = driver.mount(&name("vol"), "user").unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path(), path.join("folder/link")).unwrap();
        driver.unmount(&name("vol"), "user").unwrap();
        driver.remove(&name("vol")).unwrap();
        assert!(!driver.exists(&name("vol")).unwrap());
        assert!(driver.list().unwrap().is_empty());
        assert!(outside.path().join("kept").exists());
    });
}

pub(crate) fn removing_and_unmounting_what_is_not_there_is_no_error(open: &Open) {
    in_folder(open, |_, driver| {
        driver.remove(&name("none")).unwrap();
        driver.unmount(&name("none"), "user").unwrap();
    });
}

pub(crate) fn mounting_what_is_not_there_is_an_error(open: &Open) {
    in_folder(open, |_, driver| {
        let error = driver.mount(&name("none"), "user").unwrap_err();
        assert!(matches!(error, VolumeError::NoSuchVolume(_)), "{error}");
    });
}

pub(crate) fn one_user_may_mount_twice(open: &Open) {
    in_folder(open, |_, driver| {
        driver.create(&name("vol"), &BTreeMap::new()).unwrap();
        let first = driver.mount(&name("vol"), "user").unwrap();
        assert_eq!(driver.mount(&name("vol"), "user").unwrap(), first);
        assert_eq!(driver.path(&name("vol")), first);
        driver.unmount(&name("vol"), "user").unwrap();
    });
}

macro_rules! conformance {
    ($driver:ident, $open:expr) => {
        mod $driver {
            use super::*;
            conformance!(@each $open;
                a_new_volume_is_empty_and_listed
                creating_again_keeps_the_files
                files_outlive_unmounting_and_the_daemon
                removing_takes_the_files_and_nothing_behind_links
                removing_and_unmounting_what_is_not_there_is_no_error
                mounting_what_is_not_there_is_an_error
                one_user_may_mount_twice
            );
        }
    };
    (@each $open:expr; $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::conformance::$check(&$open);
            }
        )*
    };
}
