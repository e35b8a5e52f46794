//! Compiled filters by what they were compiled from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Circumstances, Filter, Profile, compile, error::Result};

/// How many filters are kept. A host has few profiles and few sets of capabilities; beyond that all are dropped.
const MOST: usize = 64;

/// Filters that were compiled before. Shared by reference; a miss compiles outside the lock.
#[derive(Debug, Default)]
pub struct FilterCache {
    filters: Mutex<Filters>,
}

/// In two steps, so that neither part of the key is copied to look it up.
type Filters = HashMap<Profile, HashMap<Circumstances, Arc<Filter>>>;

impl FilterCache {
    /// The filter of a profile for one container.
    pub fn get(&self, profile: &Profile, circumstances: &Circumstances) -> Result<Arc<Filter>> {
        let known = |filters: &Filters| {
            let filter = filters.get(profile)?.get(circumstances)?;
            Some(Arc::clone(filter))
        };
        if let Some(filter) = known(&self.lock()) {
            return Ok(filter);
        }
        let filter = Arc::new(compile(&profile.resolve(circumstances))?);
        let mut filters = self.lock();
        if filters.values().map(HashMap::len).sum::<usize>() >= MOST {
            filters.clear();
        }
        filters
            .entry(profile.clone())
            .or_default()
            .insert(circumstances.clone(), Arc::clone(&filter));
        Ok(filter)
    }

    /// A panic elsewhere leaves the map whole: every change to it is one insertion.
    fn lock(&self) -> MutexGuard<'_, Filters> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_compiled_once_per_set_of_capabilities() {
        let cache = FilterCache::default();
        let profile = Profile::docker_default();
        let plain = Circumstances::here(["CAP_CHOWN"]).unwrap();
        let admin = Circumstances::here(["CAP_CHOWN", "CAP_SYS_ADMIN"]).unwrap();
        let first = cache.get(&profile, &plain).unwrap();
        let again = cache.get(&Profile::docker_default(), &plain).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(cache.get(&profile, &admin).unwrap(), first);
    }
}
