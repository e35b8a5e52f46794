//! Devices by the names of the Container Device Interface (`vendor.com/class=name`), which vendors describe in files:
//! what a container needs to use one (nodes, mounts, variables, groups).
//!
//! The files, in JSON or YAML, are read when a container that wants a device starts: there is nothing to be reloaded.
//! `--gpus` is a question for a device of class `gpu`.

mod apply;
mod description;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use barge_api_types::DeviceRequest;
use barge_oci::runtime::Spec;

pub(crate) use apply::HookSupport;
use description::{ContainerEdits, Description, Form};

use crate::error::{EngineError, Result};

/// Where vendors put their files unless the daemon is told otherwise; the later ones win.
pub(crate) const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The vendors whose GPUs are tried first, in this order.
const GPU_VENDORS: [&str; 2] = ["nvidia.com", "amd.com"];

/// The folders of descriptions.
#[derive(Clone, Debug)]
pub(crate) struct Cdi {
    folders: Vec<PathBuf>,
}

/// Everything that is described, by full name; and what each kind wants for all of its devices.
#[derive(Debug, Default)]
struct Known {
    devices: BTreeMap<String, Device>,
}

#[derive(Debug)]
struct Device {
    /// The folder it was found in: a later one wins, the same one twice is a mistake of the vendor's.
    folder: usize,
    is_ambiguous: bool,
    own: ContainerEdits,
    common: ContainerEdits,
}

impl Cdi {
    pub(crate) fn new(folders: &[String]) -> Self {
        let folders = folders.iter().filter(|folder| !folder.is_empty()).map(PathBuf::from);
        Self { folders: folders.collect() }
    }

    /// The folders, for `info`.
    pub(crate) fn folders(&self) -> Vec<String> {
        self.folders.iter().map(|folder| folder.display().to_string()).collect()
    }

    /// Gives a container the devices that it asks for.
    pub(crate) fn inject(
        &self,
        spec: &mut Spec,
        requests: &[DeviceRequest],
        hooks: HookSupport,
    ) -> Result<()> {
        if requests.is_empty() {
            return Ok(());
        }
        let known = self.read()?;
        let mut names = Vec::new();
        for request in requests {
            names.extend(known.names(request)?);
        }
        let unknown: Vec<&str> = names
            .iter()
            .filter(|name| known.devices.get(*name).is_none_or(|device| device.is_ambiguous))
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            return Err(failed(&format!("unresolvable CDI devices {}", unknown.join(", "))));
        }
        let mut common: Vec<&ContainerEdits> = Vec::new();
        for device in names.iter().filter_map(|name| known.devices.get(name)) {
            // Once for all devices of a description.
            if !common.contains(&&device.common) {
                apply::apply(spec, &device.common, hooks)?;
                common.push(&device.common);
            }
            apply::apply(spec, &device.own, hooks)?;
        }
        apply::sort_mounts(spec);
        Ok(())
    }

    /// The full names that one of a Dockerfile means: itself, all of its class (`vendor/class=*`), or any one of it
    /// (`vendor/class`), as in BuildKit; none for what nobody describes.
    pub(crate) fn named(&self, name: &str) -> Result<Vec<String>> {
        let known = self.read()?;
        let (class, device) = name.split_once('=').unwrap_or((name, ""));
        let of_class = known.devices.keys().filter(|known| {
            known.split_once('=').is_some_and(|(kind, own)| {
                kind == class && (matches!(device, "" | "*") || own == device)
            })
        });
        let most = if device == "*" { usize::MAX } else { 1 };
        Ok(of_class.take(most).cloned().collect())
    }

    fn read(&self) -> Result<Known> {
        let mut known = Known::default();
        for (number, folder) in self.folders.iter().enumerate() {
            let entries = match fs::read_dir(folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(EngineError::io("read", folder)(error)),
            };
            let mut paths = Vec::new();
            for entry in entries {
                paths.push(entry.map_err(EngineError::io("read", folder))?.path());
            }
            paths.sort();
            for path in paths {
                known.add(&path, number)?;
            }
        }
        Ok(known)
    }
}

/// Refuses what no file could answer; said when a container is created.
pub(crate) fn check(requests: &[DeviceRequest]) -> Result<()> {
    let wrong = requests.iter().find(|request| {
        let is_gpu =
            wants_gpu(request) && matches!(request.driver.as_str(), "" | "cdi" | "nvidia" | "amd");
        request.driver != "cdi" && !is_gpu
    });
    match wrong {
        None => Ok(()),
        Some(request) => Err(no_driver(request)),
    }
}

fn wants_gpu(request: &DeviceRequest) -> bool {
    request.capabilities.iter().flatten().any(|capability| capability == "gpu")
}

/// Docker's words.
fn no_driver(request: &DeviceRequest) -> EngineError {
    let sets: Vec<String> =
        request.capabilities.iter().map(|set| format!("[{}]", set.join(" "))).collect();
    EngineError::Invalid(format!(
        "could not select device driver \"{}\" with capabilities: [{}]",
        request.driver,
        sets.join(" ")
    ))
}

pub(crate) fn failed(text: &str) -> EngineError {
    EngineError::Invalid(format!("CDI device injection failed: {text}"))
}

impl Known {
    fn add(&mut self, path: &Path, folder: usize) -> Result<()> {
        let wrong = |text: String| failed(&format!("{}: {text}", path.display()));
        let form = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Form::Json,
            Some("yaml" | "yml") => Form::Yaml,
            _ => return Ok(()),
        };
        let text = fs::read(path).map_err(EngineError::io("read", path))?;
        let description = Description::parse(&text, form).map_err(wrong)?;
        for device in description.devices {
            let name = format!("{}={}", description.kind, device.name);
            let known = self.devices.get(&name);
            if known.is_some_and(|known| known.folder > folder) {
                continue;
            }
            let is_ambiguous = known.is_some_and(|known| known.folder == folder);
            self.devices.insert(
                name,
                Device {
                    folder,
                    is_ambiguous,
                    own: device.container_edits,
                    common: description.container_edits.clone(),
                },
            );
        }
        Ok(())
    }

    /// The full names that a request means.
    fn names(&self, request: &DeviceRequest) -> Result<Vec<String>> {
        if request.driver == "cdi" && !wants_gpu(request) {
            return Ok(request.device_ids.clone());
        }
        let kind = self.gpu_kind(&request.driver).ok_or_else(|| no_driver(request))?;
        let ids = match (request.device_ids.is_empty(), request.count) {
            (false, _) => request.device_ids.clone(),
            (true, -1) => vec!["all".to_owned()],
            (true, count) => (0..count).map(|number| number.to_string()).collect(),
        };
        Ok(ids
            .into_iter()
            .map(|id| if id.contains('=') { id } else { format!("{kind}={id}") })
            .collect())
    }

    /// The kind of GPUs that are here: those of the vendor that is asked for, or of a known one, or the only one.
    fn gpu_kind(&self, driver: &str) -> Option<String> {
        let mut kinds: Vec<&str> = self
            .devices
            .keys()
            .filter_map(|name| name.split('=').next())
            .filter(|kind| kind.ends_with("/gpu"))
            .collect();
        kinds.dedup();
        let vendor = |vendor: &str| kinds.iter().find(|kind| kind.starts_with(vendor)).copied();
        let found = match driver {
            "nvidia" | "amd" => vendor(&format!("{driver}.com/")),
            _ => {
                let only = match kinds.as_slice() {
                    [only] => Some(*only),
                    _ => None,
                };
                GPU_VENDORS.iter().find_map(|name| vendor(name)).or(only)
            }
        };
        found.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests;
