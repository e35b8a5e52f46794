//! What a shim gets handed over with the request that makes its container.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use barge_shim_api::Descriptor;

use super::Containers;
use super::settings::Security;
use crate::error::{EngineError, Result};

/// Descriptors for the shim, and what each is.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) meanings: Vec<Descriptor>,
}

impl Handed {
    pub(crate) fn add(&mut self, meaning: Descriptor, descriptor: OwnedFd) {
        self.descriptors.push(descriptor);
        self.meanings.push(meaning);
    }

    /// Adds one that we keep, too.
    pub(crate) fn copy(&mut self, meaning: Descriptor, descriptor: BorrowedFd<'_>) -> Result<()> {
        let copy = descriptor.try_clone_to_owned();
        self.add(meaning, copy.map_err(EngineError::io("duplicate", "a namespace"))?);
        Ok(())
    }
}

impl Containers {
    /// Adds what our own runtime works with.
    pub(crate) fn hand_over(&self, security: &Security, handed: &mut Handed) -> Result<()> {
        if let Some(filter) = self.seccomp.descriptor(security)? {
            handed.add(Descriptor::SeccompFilter, filter);
        }
        if let Some(bare) = &self.bare_mounts {
            handed.copy(Descriptor::BareMounts, bare.as_fd())?;
        }
        Ok(())
    }
}
