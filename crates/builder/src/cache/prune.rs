//! Giving layers of the cache up: the least recently used first, never what is held or what another one stands on.

use std::collections::{BTreeMap, HashMap, HashSet};

use barge_storage::{LayerId, StorageDriver};

use super::record::{Record, now};
use super::{Cache, State};
use crate::builder::{CacheEntry, PruneOptions};
use crate::error::{BuildError, Result};

/// Filters that there are.
const FILTERS: &[&str] =
    &["description", "id", "inuse", "mutable", "parents", "private", "shared", "type"];

/// Whether an entry fits what was asked for.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    options: &'a PruneOptions,
    now: i64,
}

impl<'a> Choice<'a> {
    /// Refuses filters that there are not.
    pub(crate) fn parse(options: &'a PruneOptions) -> Result<Self> {
        for (name, values) in &options.filters {
            if !FILTERS.contains(&name.as_str()) {
                return Err(BuildError::Invalid(format!("invalid filter '{name}'")));
            }
            let is_word = ["inuse", "mutable", "private", "shared"].contains(&name.as_str());
            let wrong = values.iter().find(|value| is_word && truth(value).is_none());
            if let Some(value) = wrong {
                return Err(BuildError::Invalid(format!("invalid filter '{name}={value}'")));
            }
        }
        Ok(Self { options, now: now() })
    }

    /// Whether an entry may go.
    pub(crate) fn fits(&self, entry: &CacheEntry) -> bool {
        if entry.in_use || (entry.shared && !self.options.all) {
            return false;
        }
        let touched = entry.last_used.unwrap_or(entry.created);
        let age = u128::try_from(self.now.saturating_sub(touched)).unwrap_or(0);
        if self.options.unused_for.is_some_and(|least| age < least.as_millis()) {
            return false;
        }
        fits_filters(&self.options.filters, entry)
    }
}

fn truth(value: &str) -> Option<bool> {
    match value {
        "" | "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}

fn fits_filters(filters: &BTreeMap<String, Vec<String>>, entry: &CacheEntry) -> bool {
    let is = |value: &String, fact: bool| truth(value) == Some(fact);
    filters.iter().all(|(name, values)| {
        values.iter().any(|value| match name.as_str() {
            "description" => entry.description.contains(value.as_str()),
            "id" => entry.id.starts_with(value.as_str()),
            "parents" => entry.parents.iter().any(|parent| parent.starts_with(value.as_str())),
            "type" => entry.kind == value,
            "inuse" => is(value, entry.in_use),
            "shared" => is(value, entry.shared),
            "private" => is(value, !entry.shared),
            "mutable" => is(value, entry.kind == super::mounts::KIND),
            _ => false,
        })
    })
}

impl Cache {
    /// What there is, oldest use first. Sizes that are not known are counted.
    pub(crate) fn entries(
        &self,
        storage: &dyn StorageDriver,
        is_shared: &dyn Fn(&LayerId) -> bool,
    ) -> Vec<CacheEntry> {
        self.measure(storage);
        let state = self.lock();
        let mut records: Vec<&Record> = state.records.values().collect();
        records.sort_by_key(|record| (record.touched(), record.created));
        let entry = |record: &Record| {
            let id = &record.id.0;
            CacheEntry {
                id: id.to_string(),
                parents: record.parent.iter().map(|parent| parent.0.to_string()).collect(),
                kind: "regular",
                description: record.description.clone(),
                in_use: state.held.contains_key(id),
                shared: is_shared(id),
                size: record.size.unwrap_or(0),
                created: record.created,
                last_used: record.last_used,
                usage_count: record.uses,
            }
        };
        records.into_iter().map(entry).collect()
    }

    /// Counts the bytes of layers of which that is not known.
    fn measure(&self, storage: &dyn StorageDriver) {
        let unknown: Vec<Record> = {
            let state = self.lock();
            state.records.values().filter(|record| record.size.is_none()).cloned().collect()
        };
        for record in unknown {
            let parent = record.parent.as_ref().map(|parent| &parent.0);
            // One that goes just now has no size to be told.
            let Ok(size) = storage.diff_size(&record.id.0, parent) else { continue };
            let mut state = self.lock();
            if let Some(known) = state.records.get_mut(&record.id.0) {
                known.size = Some(size);
                state.touched.insert(record.id.0.clone());
            }
        }
    }

    /// Forgets a layer unless it is held or another one of the cache stands on it; gives its record.
    pub(crate) fn take(&self, id: &LayerId) -> Result<Option<Record>> {
        let record = {
            let mut state = self.lock();
            if !state.is_free(id) {
                return Ok(None);
            }
            let Some(record) = state.records.remove(id) else { return Ok(None) };
            state.touched.remove(id);
            state.by_key.retain(|_, named| named != id);
            if !state.by_key.contains_key(&record.key) {
                state.find_another(&record);
            }
            record
        };
        Record::remove(&self.folder, id)?;
        barge_sys::fault::point("builder: cache record removed");
        Ok(Some(record))
    }

    /// Knows a layer again that could not be removed.
    pub(crate) fn put_back(&self, record: Record) -> Result<()> {
        record.save(&self.folder)?;
        let mut state = self.lock();
        let id = record.id.0.clone();
        state.by_key.entry(record.key).or_insert_with(|| id.clone());
        state.records.insert(id, record);
        Ok(())
    }
}

impl State {
    fn is_free(&self, id: &LayerId) -> bool {
        let is_parent =
            |record: &Record| record.parent.as_ref().is_some_and(|below| below.0 == *id);
        !self.held.contains_key(id) && !self.records.values().any(is_parent)
    }

    /// An older layer of the same key is found again.
    fn find_another(&mut self, gone: &Record) {
        let same = self.records.values().filter(|record| record.key == gone.key);
        if let Some(record) = same.max_by_key(|record| record.created) {
            self.by_key.insert(gone.key, record.id.0.clone());
        }
    }
}

/// Which entries have to go so that what stays is within bounds. A layer was of use when one that stands on it was, and
/// goes after that.
pub(crate) fn over(entries: &[CacheEntry], allowed: u64) -> HashSet<String> {
    let mut youngest_first: Vec<&CacheEntry> = entries.iter().collect();
    youngest_first.sort_by_key(|entry| std::cmp::Reverse(entry.created));
    let touched = |entry: &CacheEntry| entry.last_used.unwrap_or(entry.created);
    let mut used: HashMap<&str, i64> =
        entries.iter().map(|entry| (entry.id.as_str(), touched(entry))).collect();
    for entry in &youngest_first {
        let above = used.get(entry.id.as_str()).copied().unwrap_or_default();
        for parent in &entry.parents {
            if let Some(below) = used.get_mut(parent.as_str()) {
                *below = above.max(*below);
            }
        }
    }
    // A stable sort: of what was used together, the youngest first.
    youngest_first.sort_by_key(|entry| used.get(entry.id.as_str()).copied().unwrap_or_default());
    let mut total: u64 = entries.iter().map(|entry| entry.size).sum();
    let mut going = HashSet::new();
    for entry in youngest_first {
        if total <= allowed {
            break;
        }
        total = total.saturating_sub(entry.size);
        going.insert(entry.id.clone());
    }
    going
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, parent: Option<&str>, times: (i64, i64)) -> CacheEntry {
        CacheEntry {
            id: id.to_owned(),
            parents: parent.into_iter().map(str::to_owned).collect(),
            kind: "regular",
            description: String::new(),
            in_use: false,
            shared: false,
            size: 10,
            created: times.0,
            last_used: Some(times.1),
            usage_count: 1,
        }
    }

    fn going(entries: &[CacheEntry], allowed: u64) -> Vec<String> {
        let mut going: Vec<String> = over(entries, allowed).into_iter().collect();
        going.sort();
        going
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let entries =
            [entry("a", None, (1, 9)), entry("b", None, (2, 3)), entry("c", None, (3, 4))];
        assert_eq!(going(&entries, 30), [""; 0]);
        assert_eq!(going(&entries, 29), ["b"]);
        assert_eq!(going(&entries, 10), ["b", "c"]);
    }

    #[test]
    fn a_layer_goes_after_those_that_stand_on_it() {
        let entries = [
            entry("low", None, (1, 5)),
            entry("top", Some("low"), (2, 6)),
            entry("x", None, (3, 7)),
        ];
        assert_eq!(going(&entries, 20), ["top"]);
        assert_eq!(going(&entries, 10), ["low", "top"]);
    }

    #[test]
    fn filters_that_there_are_not_are_refused() {
        let options = |name: &str, value: &str| PruneOptions {
            filters: [(name.to_owned(), vec![value.to_owned()])].into(),
            ..PruneOptions::default()
        };
        assert!(Choice::parse(&options("nonsense", "")).is_err());
        assert!(Choice::parse(&options("shared", "perhaps")).is_err());
        let by_type = options("type", "exec.cachemount");
        assert!(!Choice::parse(&by_type).unwrap().fits(&entry("a", None, (1, 1))));
        let by_id = options("id", "a");
        assert!(Choice::parse(&by_id).unwrap().fits(&entry("abc", None, (1, 1))));
    }

    #[test]
    fn what_is_shared_goes_only_with_all() {
        let shared = CacheEntry { shared: true, ..entry("a", None, (1, 1)) };
        assert!(!Choice::parse(&PruneOptions::default()).unwrap().fits(&shared));
        let all = PruneOptions { all: true, ..PruneOptions::default() };
        assert!(Choice::parse(&all).unwrap().fits(&shared));
    }
}
