//! The last strokes of a specification, when it is known who makes the container: devices by name, and what a runtime that
//! is not ours has to find in it.

use std::path::Path;

use barge_oci::runtime::Spec;
use barge_shim_api::OtherRuntime;

use super::container::Container;
use super::{Containers, spec};
use crate::cdi::HookSupport;
use crate::error::Result;
use crate::seccomp::SeccompFilters;

impl Containers {
    /// Completes a specification for our own runtime, or for `other`.
    pub(super) fn finish_spec(
        &self,
        spec: &mut Spec,
        container: &Container,
        (rootfs, other): (&Path, Option<&OtherRuntime>),
    ) -> Result<()> {
        let record = container.record();
        let hooks = if other.is_some() { HookSupport::Runs } else { HookSupport::None };
        self.cdi.inject(spec, &record.host_config.resources.device_requests, hooks)?;
        if other.is_none() {
            return Ok(());
        }
        let has_init = record.host_config.init == Some(true);
        let init = has_init.then_some(self.programs.runtime.as_path());
        let seccomp = SeccompFilters::specification(&container.settings().security)?;
        spec::complete_for_other(spec, (rootfs, init), seccomp)
    }
}
