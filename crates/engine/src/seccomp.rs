//! Compiled seccomp filters: one per profile and set of capabilities, compiled once, handed to shims as a file.
//!
//! Compiling Docker's profile takes milliseconds; a start takes as many. So it is never done per start or per exec.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use barge_seccomp::{Circumstances, FilterCache, Profile};

use crate::containers::{SeccompChoice, Security};
use crate::error::{EngineError, Result};

/// The daemon's filters.
#[derive(Debug, Default)]
pub(crate) struct SeccompFilters {
    cache: FilterCache,
    /// Sealed files with a filter's instructions, by what they were compiled from.
    files: Mutex<HashMap<(SeccompChoice, Vec<String>), OwnedFd>>,
}

impl SeccompFilters {
    /// A descriptor of the file with the filter of a container; none for one that is not confined.
    pub(crate) fn descriptor(&self, security: &Security) -> Result<Option<OwnedFd>> {
        let profile = match &security.seccomp {
            SeccompChoice::Unconfined => return Ok(None),
            SeccompChoice::Default => None,
            SeccompChoice::Profile(json) => Some(json),
        };
        let key = (security.seccomp.clone(), security.capabilities.clone());
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&key) {
            return duplicate(file).map(Some);
        }
        let profile = match profile {
            None => Profile::docker_default(),
            Some(json) => Profile::from_json(json.as_bytes())?,
        };
        let circumstances = Circumstances::here(security.capabilities.iter().cloned())?;
        let filter = self.cache.get(&profile, &circumstances)?;
        let file = barge_sys::memfd::sealed("seccomp", |file| file.write_all(&filter.to_bytes()))
            .map_err(EngineError::io("make", "a file for a seccomp filter"))?;
        let copy = duplicate(&file)?;
        files.insert(key, file);
        Ok(Some(copy))
    }
}

fn duplicate(file: &OwnedFd) -> Result<OwnedFd> {
    file.try_clone().map_err(EngineError::io("duplicate", "a seccomp filter's file"))
}
