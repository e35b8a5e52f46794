//! A profile as Docker's `--security-opt seccomp=FILE` reads it: rules that may depend on the container's
//! capabilities, the machine and the kernel. [`Profile::resolve`] decides those and leaves what the runtime
//! specification knows.

use std::{collections::BTreeSet, fmt, str::FromStr};

use barge_oci::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction, SeccompArch};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Result, SeccompError};

/// A profile. What is absent in the JSON, or `null`, is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// For calls that no rule names.
    pub default_action: SeccompAction,
    /// errno of the default action; absent is EPERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// Architectures; the older form of `arch_map`, and refused together with it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<SeccompArch>,
    /// What else to filter on a machine of some architecture.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub arch_map: Vec<ArchMap>,
    /// `SECCOMP_FILTER_FLAG_…`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Socket that gets the notification descriptor.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub listener_path: String,
    /// Sent along with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub listener_metadata: String,
    /// The rules.
    #[serde(default, deserialize_with = "null_as_default")]
    pub syscalls: Vec<Rule>,
}

/// An architecture and those that its machines also run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchMap {
    /// The machine's.
    pub architecture: SeccompArch,
    /// Also run by it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub sub_architectures: Vec<SeccompArch>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Names of system calls.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// One name; the older form of `names`, and refused together with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What happens.
    pub action: SeccompAction,
    /// errno of the action; absent is EPERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions on the arguments.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<LinuxSeccompArg>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The rule holds only where all of this is so.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub includes: Condition,
    /// The rule does not hold where any of this is so.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub excludes: Condition,
}

/// When a rule holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Capabilities of the container.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<String>,
    /// Machines, in Go's names (`amd64`).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<String>,
    /// Oldest kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_kernel: Option<KernelVersion>,
}

/// Version of a kernel: `4.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion(pub u32, pub u32);

impl FromStr for KernelVersion {
    type Err = SeccompError;

    /// Reads `4.8` as well as a release, `6.18.44-generic`.
    fn from_str(text: &str) -> Result<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err(SeccompError::KernelVersion(text.to_owned())),
        }
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Serialize for KernelVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KernelVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What rules may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Circumstances {
    /// The container's bounding set, as `CAP_SYS_ADMIN`.
    pub capabilities: BTreeSet<String>,
    /// The kernel that runs.
    pub kernel: KernelVersion,
}

impl Circumstances {
    /// These capabilities on the kernel of this machine.
    pub fn here(capabilities: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_err(SeccompError::KernelRelease)?;
        Ok(Self {
            capabilities: capabilities.into_iter().map(Into::into).collect(),
            kernel: release.trim().parse()?,
        })
    }
}

impl Profile {
    /// Reads a profile.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let profile: Self = serde_json::from_slice(json).map_err(SeccompError::Json)?;
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(SeccompError::ArchitecturesTwice);
        }
        for rule in &profile.syscalls {
            if !rule.name.is_empty() && !rule.names.is_empty() {
                return Err(SeccompError::NamesTwice(rule.name.clone()));
            }
        }
        Ok(profile)
    }

    /// What holds for one container, in the words of the runtime specification.
    pub fn resolve(&self, circumstances: &Circumstances) -> LinuxSeccomp {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        LinuxSeccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures: self.resolve_architectures(),
            flags: self.flags.clone(),
            listener_path: text(&self.listener_path),
            listener_metadata: text(&self.listener_metadata),
            syscalls: self
                .syscalls
                .iter()
                .filter(|rule| rule.holds(circumstances))
                .map(Rule::resolve)
                .collect(),
        }
    }

    fn resolve_architectures(&self) -> Vec<SeccompArch> {
        match self.arch_map.iter().find(|entry| entry.architecture == NATIVE) {
            Some(entry) => std::iter::once(entry.architecture)
                .chain(entry.sub_architectures.iter().copied())
                .collect(),
            None => self.architectures.clone(),
        }
    }
}

impl Rule {
    fn holds(&self, circumstances: &Circumstances) -> bool {
        let has = |capability: &String| circumstances.capabilities.contains(capability);
        let here = |machine: &String| machine == MACHINE;
        let (only, never) = (&self.includes, &self.excludes);
        only.caps.iter().all(has)
            && (only.arches.is_empty() || only.arches.iter().any(here))
            && only.min_kernel.is_none_or(|oldest| circumstances.kernel >= oldest)
            && !never.caps.iter().any(has)
            && !never.arches.iter().any(here)
            && never.min_kernel.is_none_or(|oldest| circumstances.kernel < oldest)
    }

    fn resolve(&self) -> LinuxSyscall {
        let names = if self.name.is_empty() { self.names.clone() } else { vec![self.name.clone()] };
        LinuxSyscall {
            names,
            action: self.action,
            errno_ret: self.errno_ret,
            args: self.args.clone(),
        }
    }
}

/// This program's architecture.
#[cfg(target_arch = "x86_64")]
pub(crate) const NATIVE: SeccompArch = SeccompArch::X8664;
#[cfg(target_arch = "x86_64")]
const MACHINE: &str = "amd64";
/// This program's architecture.
#[cfg(target_arch = "aarch64")]
pub(crate) const NATIVE: SeccompArch = SeccompArch::Aarch64;
#[cfg(target_arch = "aarch64")]
const MACHINE: &str = "arm64";

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Go writes an empty list as `null`.
fn null_as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
