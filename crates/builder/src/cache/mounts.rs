//! Cache mounts: folders that outlive builds, one for each id.
//!
//! A folder is `<builds>/mounts/<digest of the id>/data`; with `private` sharing there are numbered ones beside it. Who
//! uses them at the moment is known in memory only: after a crash nobody does.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use barge_dockerfile::ast::Sharing;
use barge_sys::durable::{self, Durability};
use barge_types::Digest;
use serde::{Deserialize, Serialize};

use super::LOOK;
use super::record::now;
use crate::builder::CacheEntry;
use crate::error::{BuildError, Result};
use crate::runner::Cancel;

/// Docker's word for such an entry.
pub(crate) const KIND: &str = "exec.cachemount";

/// Who uses a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    /// So many who share it.
    Shared(usize),
    /// One.
    Alone,
}

/// What is known of a folder, beside it as `mount.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct MountRecord {
    /// `id=`.
    id: String,
    created: i64,
    last_used: Option<i64>,
    uses: u64,
}

/// All cache mounts.
#[derive(Debug)]
pub(crate) struct CacheMounts {
    folder: PathBuf,
    users: Mutex<HashMap<String, User>>,
    changed: Condvar,
}

/// A folder in use; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldMount {
    mounts: Arc<CacheMounts>,
    name: String,
    /// What is mounted.
    pub(crate) data: PathBuf,
    /// Whether nobody used it before: it is to be filled and to get its owner.
    pub(crate) is_new: bool,
}

impl Drop for HeldMount {
    fn drop(&mut self) {
        let mut users = self.mounts.lock();
        match users.get_mut(&self.name) {
            Some(User::Shared(count)) if *count > 1 => *count -= 1,
            Some(User::Shared(_) | User::Alone) | None => {
                users.remove(&self.name);
            }
        }
        drop(users);
        self.mounts.changed.notify_all();
    }
}

impl HeldMount {
    /// Whether it is a folder of this key's name, a private one beside it too.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.name.starts_with(name)
    }

    /// Marks a new folder as filled: without this it is filled anew the next time.
    pub(crate) fn filled(&mut self, id: &str) -> Result<()> {
        let created = now();
        self.mounts.save(
            &self.name,
            &MountRecord { id: id.to_owned(), created, last_used: None, uses: 0 },
        )?;
        self.is_new = false;
        Ok(())
    }
}

/// What came of asking for a mount that nobody uses.
#[derive(Debug)]
pub(crate) enum Idle {
    /// It is there.
    Held(HeldMount),
    /// Somebody uses it now.
    Used,
    /// There is none that is filled.
    Gone,
}

impl CacheMounts {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(BuildError::io("create", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            users: Mutex::new(HashMap::new()),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of an id, waiting for it where it is not to be shared.
    pub(crate) fn hold(
        self: &Arc<Self>,
        key: &Digest,
        sharing: Sharing,
        cancel: &Cancel,
    ) -> Result<HeldMount> {
        let mut users = self.lock();
        let name = loop {
            if cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            if let Some(name) = take(&mut users, &key.hex(), sharing) {
                break name;
            }
            let woken = self.changed.wait_timeout(users, LOOK);
            users = woken.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(users);
        let data = self.folder.join(&name).join("data");
        let held = HeldMount { mounts: Arc::clone(self), name, data, is_new: false };
        self.prepare(held)
    }

    fn prepare(&self, mut held: HeldMount) -> Result<HeldMount> {
        match self.load(&held.name) {
            Some(mut record) if held.data.is_dir() => {
                record.last_used = Some(now());
                record.uses += 1;
                self.save(&held.name, &record)?;
            }
            Some(_) | None => {
                // Half filled by one that was killed.
                if held.data.exists() {
                    fs::remove_dir_all(&held.data).map_err(BuildError::io("remove", &held.data))?;
                }
                fs::create_dir_all(&held.data).map_err(BuildError::io("create", &held.data))?;
                held.is_new = true;
            }
        }
        Ok(held)
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("mount.json")
    }

    fn load(&self, name: &str) -> Option<MountRecord> {
        serde_json::from_slice(&fs::read(self.record_path(name)).ok()?).ok()
    }

    fn save(&self, name: &str, record: &MountRecord) -> Result<()> {
        let path = self.record_path(name);
        let bytes = serde_json::to_vec(record)
            .map_err(std::io::Error::other)
            .map_err(BuildError::io("write", &path))?;
        durable::write(&path, &bytes, Durability::Lazy).map_err(BuildError::io("write", &path))
    }

    /// The folder of a name for somebody who reads it: nobody writes to it or removes it meanwhile.
    pub(crate) fn idle(self: &Arc<Self>, name: &str) -> Idle {
        {
            let mut users = self.lock();
            if users.contains_key(name) {
                return Idle::Used;
            }
            users.insert(name.to_owned(), User::Alone);
        }
        let data = self.folder.join(name).join("data");
        let held =
            HeldMount { mounts: Arc::clone(self), name: name.to_owned(), data, is_new: false };
        if self.load(name).is_some() { Idle::Held(held) } else { Idle::Gone }
    }

    /// What there is.
    pub(crate) fn entries(&self) -> Vec<CacheEntry> {
        let Ok(names) = fs::read_dir(&self.folder) else { return Vec::new() };
        let names = names.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| self.entry(&name)).collect()
    }

    fn entry(&self, name: &str) -> Option<CacheEntry> {
        let record = self.load(name)?;
        Some(CacheEntry {
            id: name.to_owned(),
            parents: Vec::new(),
            kind: KIND,
            description: format!("cached mount {}", record.id),
            in_use: self.lock().contains_key(name),
            shared: false,
            size: size_of(&self.folder.join(name).join("data")),
            created: record.created,
            last_used: record.last_used,
            usage_count: record.uses,
        })
    }

    /// Removes a folder unless somebody uses it; says whether it did.
    pub(crate) fn remove(&self, name: &str) -> Result<bool> {
        {
            let mut users = self.lock();
            if users.contains_key(name) {
                return Ok(false);
            }
            // Whoever wants it now waits until it is gone.
            users.insert(name.to_owned(), User::Alone);
        }
        let path = self.folder.join(name);
        // The record first: without it, what is left is filled anew.
        let removed = durable::remove(&self.record_path(name))
            .and_then(|()| fs::remove_dir_all(&path))
            .map_err(BuildError::io("remove", &path));
        self.lock().remove(name);
        self.changed.notify_all();
        removed.map(|()| true)
    }
}

/// Takes a folder for one more user, or says that there is none to be had now.
fn take(users: &mut HashMap<String, User>, name: &str, sharing: Sharing) -> Option<String> {
    let (name, user) = match (sharing, users.get(name)) {
        (Sharing::Shared, None) => (name.to_owned(), User::Shared(1)),
        (Sharing::Shared, Some(User::Shared(count))) => (name.to_owned(), User::Shared(count + 1)),
        (Sharing::Shared, Some(User::Alone)) | (Sharing::Locked, Some(_)) => return None,
        (Sharing::Locked | Sharing::Private, None) => (name.to_owned(), User::Alone),
        (Sharing::Private, Some(_)) => {
            let beside = (2_u32..).map(|number| format!("{name}-{number}"));
            (beside.into_iter().find(|name| !users.contains_key(name))?, User::Alone)
        }
    };
    users.insert(name.clone(), user);
    Some(name)
}

/// Bytes that the files below a folder take on the disk.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut folders = vec![folder.to_owned()];
    let mut sum = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                sum += metadata.blocks() * 512;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> (tempfile::TempDir, Arc<CacheMounts>) {
        let folder = tempfile::tempdir().unwrap();
        let mounts = Arc::new(CacheMounts::open(folder.path()).unwrap());
        (folder, mounts)
    }

    fn hold(mounts: &Arc<CacheMounts>, sharing: Sharing) -> HeldMount {
        mounts.hold(&Digest::from_bytes([1; 32]), sharing, &Cancel::default()).unwrap()
    }

    #[test]
    fn shared_ones_are_the_same_and_private_ones_are_not() {
        let (_folder, mounts) = mounts();
        let one = hold(&mounts, Sharing::Shared);
        let two = hold(&mounts, Sharing::Shared);
        let own = hold(&mounts, Sharing::Private);
        assert_eq!(one.data, two.data);
        assert_ne!(one.data, own.data);
        drop((one, two, own));
        let first = mounts.folder.join(Digest::from_bytes([1; 32]).hex()).join("data");
        assert_eq!(hold(&mounts, Sharing::Private).data, first);
    }

    #[test]
    fn a_locked_one_is_waited_for() {
        let (_folder, mounts) = mounts();
        let first = hold(&mounts, Sharing::Locked);
        let other = Arc::clone(&mounts);
        let waiting = std::thread::spawn(move || hold(&other, Sharing::Locked).data.clone());
        let data = first.data.clone();
        drop(first);
        assert_eq!(waiting.join().unwrap(), data);
    }

    #[test]
    fn who_waits_can_be_cancelled() {
        let (_folder, mounts) = mounts();
        let _first = hold(&mounts, Sharing::Locked);
        let cancel = Cancel::default();
        cancel.cancel();
        let held = mounts.hold(&Digest::from_bytes([1; 32]), Sharing::Locked, &cancel);
        assert!(matches!(held, Err(BuildError::Cancelled)));
    }

    #[test]
    fn one_in_use_is_not_removed_and_one_that_was_not_filled_begins_anew() {
        let (_folder, mounts) = mounts();
        let mut held = hold(&mounts, Sharing::Shared);
        assert!(held.is_new);
        fs::write(held.data.join("half"), "").unwrap();
        drop(held);
        held = hold(&mounts, Sharing::Shared);
        assert!(held.is_new && !held.data.join("half").exists());
        held.filled("id").unwrap();
        let name = Digest::from_bytes([1; 32]).hex();
        assert!(!mounts.remove(&name).unwrap());
        drop(held);
        assert!(!hold(&mounts, Sharing::Shared).is_new);
        assert_eq!(mounts.entries()[0].usage_count, 1);
        assert!(mounts.remove(&name).unwrap());
        assert!(mounts.entries().is_empty());
    }
}
