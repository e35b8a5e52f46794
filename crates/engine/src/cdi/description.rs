//! A vendor's file, as the Container Device Interface's specification has it (versions 0.3 to 1.0).

use barge_oci::runtime::Hook;
use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    #[serde(rename = "cdiVersion")]
    version: String,
    /// `vendor.com/class`
    pub(super) kind: String,
    pub(super) devices: Vec<DescribedDevice>,
    /// What all of its devices need.
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

/// One device.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribedDevice {
    pub(super) name: String,
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

/// What is changed in a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerEdits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<DeviceNode>,
    pub(super) mounts: Vec<DescribedMount>,
    pub(super) hooks: Vec<DescribedHook>,
    pub(super) additional_gids: Vec<u32>,
    pub(super) intel_rdt: Option<serde_json::Value>,
    pub(super) net_devices: Vec<serde_json::Value>,
}

/// A device node; what is absent is taken from the host's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeviceNode {
    pub(super) path: String,
    pub(super) host_path: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) major: i64,
    pub(super) minor: i64,
    pub(super) file_mode: Option<u32>,
    /// Of `rwm`.
    pub(super) permissions: String,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// A mount.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DescribedMount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    pub(super) options: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// A program that the runtime is to run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribedHook {
    pub(super) hook_name: String,
    #[serde(flatten)]
    pub(super) hook: Hook,
}

/// What a description is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Yaml,
}

impl Description {
    /// Reads and checks a file; or what is wrong with it.
    pub(super) fn parse(text: &[u8], form: Form) -> Result<Self, String> {
        let description: Self = match form {
            Form::Json => serde_json::from_slice(text).map_err(|error| error.to_string())?,
            // What follows its first line is a picture of the file.
            Form::Yaml => serde_saphyr::from_slice(text)
                .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?,
        };
        let is_known =
            description.version.starts_with("0.") || description.version.starts_with("1.");
        if !is_known {
            return Err(format!("invalid version {:?}", description.version));
        }
        let is_kind = description.kind.split_once('/').is_some_and(|(vendor, class)| {
            is_name(vendor) && is_name(class) && !class.contains('/')
        });
        if !is_kind {
            return Err(format!("invalid kind {:?}: expected vendor/class", description.kind));
        }
        let wrong = description.devices.iter().find(|device| !is_device(&device.name));
        if let Some(device) = wrong {
            return Err(format!("invalid device name {:?}", device.name));
        }
        let all = description.devices.iter().map(|device| &device.container_edits);
        for edits in all.chain([&description.container_edits]) {
            edits.check()?;
        }
        Ok(description)
    }
}

impl ContainerEdits {
    fn check(&self) -> Result<(), String> {
        if let Some(node) = self.device_nodes.iter().find(|node| !node.path.starts_with('/')) {
            return Err(format!("invalid device node: path {:?} is not absolute", node.path));
        }
        let is_access = |text: &str| text.bytes().all(|letter| b"rwm".contains(&letter));
        if let Some(node) = self.device_nodes.iter().find(|node| !is_access(&node.permissions)) {
            return Err(format!(
                "device {}: invalid permissions {:?}",
                node.path, node.permissions
            ));
        }
        let is_mount = |mount: &&DescribedMount| {
            !mount.host_path.is_empty() && mount.container_path.starts_with('/')
        };
        if let Some(mount) = self.mounts.iter().find(|mount| !is_mount(mount)) {
            return Err(format!(
                "invalid mount of {:?} at {:?}",
                mount.host_path, mount.container_path
            ));
        }
        match self.env.iter().find(|variable| !variable.contains('=')) {
            Some(variable) => Err(format!("invalid environment variable {variable:?}")),
            None => Ok(()),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.ends_with(|letter: char| letter.is_ascii_alphanumeric())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

fn is_device(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && text.ends_with(|letter: char| letter.is_ascii_alphanumeric())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter))
}
