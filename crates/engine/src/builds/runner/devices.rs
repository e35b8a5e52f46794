//! `RUN --device`: devices of a step by their CDI names, given to it as a container gets them.

use std::path::{Path, PathBuf};

use barge_api_types::DeviceRequest;
use barge_builder::runner::RunStep;
use barge_oci::runtime::Spec;

use crate::cdi::{Cdi, HookSupport};
use crate::error::Result;

/// What of a container's root is no part of its files.
const NO_FILES: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The devices of one step.
#[derive(Debug)]
pub(super) struct Devices<'a> {
    cdi: &'a Cdi,
    requests: Vec<DeviceRequest>,
}

impl<'a> Devices<'a> {
    /// Finds what a step asks for. One that nobody describes is left out unless it is required.
    pub(super) fn find(cdi: &'a Cdi, step: &RunStep) -> Result<Self> {
        let mut names = Vec::new();
        for device in &step.devices {
            match cdi.named(&device.name)? {
                found if found.is_empty() && device.is_required => names.push(device.name.clone()),
                found => names.extend(found),
            }
        }
        let request = |device_ids| DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids,
            ..DeviceRequest::default()
        };
        let requests = if names.is_empty() { Vec::new() } else { vec![request(names)] };
        Ok(Self { cdi, requests })
    }

    /// Gives them to a step.
    pub(super) fn add(&self, spec: &mut Spec) -> Result<()> {
        self.cdi.inject(spec, &self.requests, HookSupport::None)
    }

    /// Where files of the host are mounted for them, and whether each is a folder.
    pub(super) fn mount_points(&self) -> Result<Vec<(PathBuf, bool)>> {
        let mut alone = Spec::default();
        self.add(&mut alone)?;
        let is_in_files = |path: &Path| !NO_FILES.iter().any(|folder| path.starts_with(folder));
        let points = alone.mounts.into_iter().map(|mount| {
            let source = mount.source.unwrap_or_default();
            // What is no file of the host (tmpfs) is mounted on a folder.
            (PathBuf::from(mount.destination), !Path::new(&source).is_file())
        });
        Ok(points.filter(|(path, _)| is_in_files(path)).collect())
    }
}
