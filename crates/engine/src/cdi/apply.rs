//! What a device needs, put into a container's specification.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use barge_oci::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxResources, Mount, Spec};

use super::description::{ContainerEdits, DescribedHook, DescribedMount, DeviceNode};
use super::failed;
use crate::containers::merge_environment;
use crate::error::{EngineError, Result};

/// Whether the container's runtime runs hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookSupport {
    /// It does.
    Runs,
    /// Barge's own does not.
    None,
}

pub(super) fn apply(spec: &mut Spec, edits: &ContainerEdits, hooks: HookSupport) -> Result<()> {
    let refused =
        [("intelRdt", edits.intel_rdt.is_some()), ("netDevices", !edits.net_devices.is_empty())];
    if let Some((what, _)) = refused.iter().find(|(_, is_asked)| *is_asked) {
        return Err(failed(&format!("{what} is not supported by barge")));
    }
    if let Some(process) = &mut spec.process {
        process.env = merge_environment(std::mem::take(&mut process.env), &edits.env);
        for gid in &edits.additional_gids {
            if *gid != 0 && !process.user.additional_gids.contains(gid) {
                process.user.additional_gids.push(*gid);
            }
        }
    }
    for node in &edits.device_nodes {
        add_node(spec, node)?;
    }
    for described in &edits.mounts {
        spec.mounts.retain(|mount| mount.destination != described.container_path);
        spec.mounts.push(mount(described));
    }
    edits.hooks.iter().try_for_each(|hook| add_hook(spec, hook, hooks))
}

/// A mount comes after those that it lies in.
pub(super) fn sort_mounts(spec: &mut Spec) {
    spec.mounts.sort_by_key(|mount| mount.destination.split('/').count());
}

fn mount(described: &DescribedMount) -> Mount {
    let kind = if described.kind.is_empty() { "bind" } else { &described.kind };
    let mut options = described.options.clone();
    if kind == "bind" && !options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind")) {
        options.insert(0, "bind".to_owned());
    }
    Mount {
        destination: described.container_path.clone(),
        kind: Some(kind.to_owned()),
        source: Some(described.host_path.clone()),
        options,
        ..Mount::default()
    }
}

fn add_node(spec: &mut Spec, node: &DeviceNode) -> Result<()> {
    let device = device(node)?;
    let access = if node.permissions.is_empty() { "rwm" } else { &node.permissions };
    let Some(linux) = &mut spec.linux else { return Ok(()) };
    let rule = LinuxDeviceCgroup {
        allow: true,
        kind: Some(device.kind.clone()),
        major: Some(device.major),
        minor: Some(device.minor),
        access: Some(access.to_owned()),
    };
    linux.devices.retain(|other| other.path != device.path);
    linux.devices.push(device);
    linux.resources.get_or_insert_with(LinuxResources::default).devices.push(rule);
    Ok(())
}

/// Kind and numbers are the host's where the description has none.
fn device(node: &DeviceNode) -> Result<LinuxDevice> {
    let source = if node.host_path.is_empty() { &node.path } else { &node.host_path };
    let mut device = LinuxDevice {
        path: node.path.clone(),
        kind: node.kind.clone(),
        major: node.major,
        minor: node.minor,
        file_mode: node.file_mode,
        uid: node.uid,
        gid: node.gid,
    };
    let has_numbers = device.major != 0 || device.minor != 0;
    if device.kind.is_empty() || (!has_numbers && device.kind != "p") {
        let found = std::fs::metadata(source)
            .map_err(|error| EngineError::io("look at the device", source)(error))?;
        device.kind = match found.file_type() {
            kind if kind.is_char_device() => "c",
            kind if kind.is_block_device() => "b",
            kind if kind.is_fifo() => "p",
            _ => return Err(failed(&format!("{source} is not a device node"))),
        }
        .to_owned();
        device.major = i64::from(rustix::fs::major(found.rdev()));
        device.minor = i64::from(rustix::fs::minor(found.rdev()));
        device.file_mode = device.file_mode.or(Some(found.mode() & 0o7777));
    }
    Ok(device)
}

fn add_hook(spec: &mut Spec, described: &DescribedHook, support: HookSupport) -> Result<()> {
    let DescribedHook { hook_name, hook } = described;
    if support == HookSupport::None {
        return Err(failed(&format!(
            "hook {hook_name} ({}) is not supported by barge's own runtime: use --runtime runc",
            hook.path
        )));
    }
    let hooks = spec.hooks.get_or_insert_default();
    let list = match hook_name.as_str() {
        "prestart" => &mut hooks.prestart,
        "createRuntime" => &mut hooks.create_runtime,
        "createContainer" => &mut hooks.create_container,
        "startContainer" => &mut hooks.start_container,
        "poststart" => &mut hooks.poststart,
        "poststop" => &mut hooks.poststop,
        name => return Err(failed(&format!("unknown hook {name:?}"))),
    };
    list.push(hook.clone());
    Ok(())
}
