//! What steps may have only when whoever builds agrees (`--allow`): known from the file alone, so told before the first step.

use barge_dockerfile::ast::{DeviceFlag, Instruction, Run};

use crate::error::{BuildError, Result};
use crate::request::{AllowedDevices, BuildRequest};
use crate::runner::{StepDevice, StepNetwork, StepSecurity};

/// Refuses an instruction that asks for more than it may have.
pub(crate) fn check(instruction: &Instruction, request: &BuildRequest) -> Result<()> {
    let Instruction::Run(run) = instruction else { return Ok(()) };
    security(run, request)?;
    network(run, request)?;
    devices(run, request).map(drop)
}

/// `RUN --security`.
pub(crate) fn security(run: &Run, request: &BuildRequest) -> Result<StepSecurity> {
    match run.security.as_deref() {
        None | Some("" | "sandbox") => Ok(StepSecurity::Sandbox),
        Some("insecure") if request.allows_insecure => Ok(StepSecurity::Insecure),
        Some("insecure") => Err(BuildError::Invalid(
            "security.insecure is not allowed: build with --allow security.insecure".to_owned(),
        )),
        Some(other) => Err(BuildError::Invalid(format!("security {other:?} is not valid"))),
    }
}

/// `RUN --network`. Whoever gives all steps the host's has said so.
fn network(run: &Run, request: &BuildRequest) -> Result<()> {
    let is_hosts = run.network.as_deref() == Some("host");
    if !is_hosts || request.allows_host_network || request.network == StepNetwork::Host {
        return Ok(());
    }
    Err(BuildError::Invalid(
        "network.host is not allowed: build with --allow network.host".to_owned(),
    ))
}

/// `RUN --device`. What is named in a file may be whatever the host has.
pub(crate) fn devices(run: &Run, request: &BuildRequest) -> Result<Vec<StepDevice>> {
    let device = |flag: &DeviceFlag| {
        let name = flag.name.clone();
        let is_allowed = match &request.devices {
            AllowedDevices::None => false,
            AllowedDevices::Named(names) => names.contains(&name),
            AllowedDevices::All => true,
        };
        if !is_allowed {
            return Err(BuildError::Invalid(format!(
                "device {name} is not allowed: build with --allow device={name}"
            )));
        }
        Ok(StepDevice { name, is_required: flag.is_required })
    };
    run.devices.iter().map(device).collect()
}
