//! Processes that are killed, and disks that are full.

use std::collections::HashSet;
use std::path::Path;

use barge_archive::tar::{EntryKind, Header};

use super::fixture::{Fixture, Open, Tar, everything, id, read};
use crate::testing::Kind;
use crate::{MountOptions, ReadWriteOptions, StorageDriver, StorageError, create_container_layers};

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
