//! Compiled seccomp filters: one per profile and set of capabilities, compiled once, handed to shims as a file.
//!
//! Compiling Docker's profile takes milliseconds; a start takes as many. So it is never done per start or per exec.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use barge_oci::runtime::LinuxSeccomp;
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
    /// The profile of a container in the words of the runtime specification, for a runtime that compiles it itself.
    pub(crate) fn specification(security: &Security) -> Result<Option<LinuxSeccomp>> {
        let Some(profile) = profile_of(&security.seccomp)? else { return Ok(None) };
        let circumstances = Circumstances::here(security.capabilities.iter().cloned())?;
        Ok(Some(profile.resolve(&circumstances)))
    }

    /// A descriptor of the file with the filter of a container; none for one that is not confined.
    pub(crate) fn descriptor(&self, security: &Security) -> Result<Option<OwnedFd>> {
        if security.seccomp == SeccompChoice::Unconfined {
            return Ok(None);
        }
        let key = (security.seccomp.clone(), security.capabilities.clone());
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&key) {
            return duplicate(file).map(Some);
        }
        let Some(profile) = profile_of(&security.seccomp)? else { return Ok(None) };
        let circumstances = Circumstances::here(security.capabilities.iter().cloned())?;
        let filter = self.cache.get(&profile, &circumstances)?;
        let file = barge_sys::memfd::sealed("seccomp", |file| file.write_all(&filter.to_bytes()))
            .map_err(EngineError::io("make", "a file for a seccomp filter"))?;
        let copy = duplicate(&file)?;
        files.insert(key, file);
        Ok(Some(copy))
    }
}

fn profile_of(choice: &SeccompChoice) -> Result<Option<Profile>> {
    Ok(match choice {
        SeccompChoice::Unconfined => None,
        SeccompChoice::Default => Some(Profile::docker_default()),
        SeccompChoice::Profile(json) => Some(Profile::from_json(json.as_bytes())?),
    })
}

fn duplicate(file: &OwnedFd) -> Result<OwnedFd> {
    file.try_clone().map_err(EngineError::io("duplicate", "a seccomp filter's file"))
}
