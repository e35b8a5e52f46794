//! What steps made, found again by what they were made from; across builds, at the same time and across restarts.
//!
//! There is one record for each layer. Several layers may have the same key (a build without cache makes its own): the
//! newest is the one that is found. What somebody holds is never given up, and neither is what others stand on.

pub(crate) mod downloads;
pub(crate) mod key;
pub(crate) mod mounts;
mod prune;
mod record;
pub(crate) mod remote;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barge_storage::{LayerId, StorageDriver};
use barge_types::Digest;

use crate::error::{BuildError, Result};
use crate::runner::Cancel;
pub(crate) use prune::{Choice, over};
use record::Record;
pub(crate) use record::{NewRecord, now};

/// How often somebody who waits looks whether the build was cancelled.
const LOOK: Duration = Duration::from_millis(50);
/// How many archives of a layer are remembered.
const ARCHIVES: usize = 6;

/// Whether what is there is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Yes.
    Yes,
    /// No: `--no-cache`.
    No,
}

#[derive(Debug, Default)]
struct State {
    records: HashMap<LayerId, Record>,
    by_key: HashMap<Digest, LayerId>,
    /// How often each layer is held by something under way.
    held: HashMap<LayerId, usize>,
    /// Keys that somebody is making.
    flights: HashSet<Digest>,
    /// Records that changed in memory only.
    touched: HashSet<LayerId>,
    /// Whether layers were made since somebody asked.
    has_grown: bool,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    boot: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// What came of looking for a key.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is there.
    Found(HeldLayer),
    /// Whoever asked is to make it.
    Mine(Flight),
}

/// A layer of the cache that stays as long as this lives.
#[derive(Debug)]
pub(crate) struct HeldLayer {
    cache: Arc<Cache>,
    /// The layer.
    pub(crate) id: LayerId,
    /// When it was made, in milliseconds since the epoch.
    pub(crate) created: i64,
}

impl Drop for HeldLayer {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        if let Some(count) = state.held.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.id);
            }
        }
    }
}

/// The right to make what a key names; others wait until it is dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    cache: Arc<Cache>,
    key: Digest,
    /// Whether others wait for this one.
    is_known: bool,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.is_known {
            self.cache.lock().flights.remove(&self.key);
            self.cache.changed.notify_all();
        }
    }
}

impl Flight {
    /// Keeps what was made.
    pub(crate) fn finish(self, new: NewRecord) -> Result<HeldLayer> {
        let id = new.id.clone();
        let record = Record::new(self.key, new, &self.cache.boot);
        let created = record.created;
        record.save(&self.cache.folder)?;
        barge_sys::fault::point("builder: cache record");
        let mut state = self.cache.lock();
        state.has_grown = true;
        state.by_key.insert(self.key, id.clone());
        state.records.insert(id.clone(), record);
        *state.held.entry(id.clone()).or_default() += 1;
        drop(state);
        Ok(HeldLayer { cache: Arc::clone(&self.cache), id, created })
    }
}

impl Cache {
    /// Reads what is there; what lost its layer is forgotten.
    pub(crate) fn open(folder: &Path, storage: &dyn StorageDriver) -> Result<Self> {
        let boot = record::boot();
        let mut loaded = record::load(folder, &boot)?;
        loaded.sort_by_key(|record| record.created);
        let mut state = State::default();
        for record in loaded {
            let id = record.id.0.clone();
            if storage.exists(&id) {
                for key in [record.key].iter().chain(&record.aliases) {
                    state.by_key.insert(*key, id.clone());
                }
                state.records.insert(id, record);
            } else {
                Record::remove(folder, &id)?;
            }
        }
        let state = Mutex::new(state);
        Ok(Self { folder: folder.to_owned(), boot, state, changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for what a key names. When somebody is making it, waits for that.
    pub(crate) fn claim(
        self: &Arc<Self>,
        key: Digest,
        reuse: Reuse,
        cancel: &Cancel,
    ) -> Result<Claim> {
        let mut state = self.lock();
        if reuse == Reuse::No {
            let is_known = state.flights.insert(key);
            return Ok(Claim::Mine(Flight { cache: Arc::clone(self), key, is_known }));
        }
        loop {
            if cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            if let Some(id) = state.by_key.get(&key).cloned() {
                return Ok(Claim::Found(self.use_one(&mut state, id)));
            }
            if state.flights.insert(key) {
                return Ok(Claim::Mine(Flight { cache: Arc::clone(self), key, is_known: true }));
            }
            let woken = self.changed.wait_timeout(state, LOOK);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A layer by another word for its key; with the key.
    pub(crate) fn find_alias(self: &Arc<Self>, alias: &Digest) -> Option<(HeldLayer, Digest)> {
        let mut state = self.lock();
        let id = state.by_key.get(alias).cloned()?;
        let key = state.records.get(&id)?.key;
        Some((self.use_one(&mut state, id), key))
    }

    /// Gives a layer another word for its key.
    pub(crate) fn alias(&self, alias: Digest, id: &LayerId) {
        let mut state = self.lock();
        let Some(record) = state.records.get_mut(id) else { return };
        if !record.aliases.contains(&alias) {
            record.aliases.push(alias);
            state.touched.insert(id.clone());
        }
        state.by_key.insert(alias, id.clone());
    }

    /// Whether a key's layer is there, without use of it.
    pub(crate) fn has(&self, key: &Digest) -> bool {
        self.lock().by_key.contains_key(key)
    }

    fn use_one(self: &Arc<Self>, state: &mut State, id: LayerId) -> HeldLayer {
        let created = state.records.get_mut(&id).map(|record| {
            record.last_used = Some(now());
            record.uses += 1;
            record.created
        });
        state.touched.insert(id.clone());
        *state.held.entry(id.clone()).or_default() += 1;
        HeldLayer { cache: Arc::clone(self), id, created: created.unwrap_or_else(now) }
    }

    /// All words for what a layer was made from, its key first, and the instruction.
    pub(crate) fn words_for(&self, id: &LayerId) -> Option<(Vec<Digest>, String)> {
        let state = self.lock();
        let record = state.records.get(id)?;
        let keys = std::iter::once(record.key).chain(record.aliases.iter().copied());
        Some((keys.collect(), record.description.clone()))
    }

    /// The digest of a layer's archive, when it is known.
    pub(crate) fn diff_id(&self, id: &LayerId) -> Option<Digest> {
        self.lock().records.get(id).and_then(|record| record.diff_id)
    }

    /// Its archives in caches that are elsewhere, as far as they are known.
    pub(crate) fn archives(&self, id: &LayerId) -> Vec<Digest> {
        self.lock().records.get(id).map_or_else(Vec::new, |record| record.archives.clone())
    }

    /// Takes note of an archive of a layer.
    pub(crate) fn archived(&self, id: &LayerId, archive: Digest) {
        let mut state = self.lock();
        let Some(record) = state.records.get_mut(id) else { return };
        if !record.archives.contains(&archive) {
            record.archives.push(archive);
            // One for each compression, and a few whose caches are gone.
            let surplus = record.archives.len().saturating_sub(ARCHIVES);
            record.archives.drain(..surplus);
            state.touched.insert(id.clone());
        }
    }

    /// Takes note of what became known of a layer when it became part of an image.
    pub(crate) fn adopted(&self, id: &LayerId, diff_id: Digest, size: u64) {
        let mut state = self.lock();
        let Some(record) = state.records.get_mut(id) else { return };
        if record.diff_id != Some(diff_id) {
            record.diff_id = Some(diff_id);
            record.size = Some(size);
            state.touched.insert(id.clone());
        }
    }

    /// The files of a layer got to the disk.
    pub(crate) fn is_on_disk(&self, id: &LayerId) {
        let mut state = self.lock();
        let Some(record) = state.records.get_mut(id) else { return };
        if !record.is_on_disk {
            record.is_on_disk = true;
            state.touched.insert(id.clone());
        }
    }

    /// Whether layers were made since the last time.
    pub(crate) fn has_grown(&self) -> bool {
        std::mem::take(&mut self.lock().has_grown)
    }

    /// Writes what changed in memory only.
    pub(crate) fn save(&self) -> Result<()> {
        let records: Vec<Record> = {
            let mut state = self.lock();
            let touched = std::mem::take(&mut state.touched);
            touched.iter().filter_map(|id| state.records.get(id).cloned()).collect()
        };
        records.iter().try_for_each(|record| record.save(&self.folder))
    }

    /// Every layer of the cache.
    pub(crate) fn own_layers(&self) -> HashSet<LayerId> {
        self.lock().records.keys().cloned().collect()
    }

    /// Every layer of the cache, with what each was made on.
    pub(crate) fn layers(&self) -> HashSet<LayerId> {
        let state = self.lock();
        let own = state.records.keys().cloned();
        let below = state.records.values().filter_map(|record| record.parent.as_ref());
        own.chain(below.map(|parent| parent.0.clone())).collect()
    }
}
