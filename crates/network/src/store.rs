//! Records on disk: networks below the data root, endpoints of running containers below the exec root.
//!
//! A network's id must survive a power cut and is written with everything that takes. An endpoint does not outlive a
//! reboot anyway: its record is written under another name and renamed, so that a killed daemon leaves no half of it,
//! and nothing is waited for.

use std::fs;
use std::path::{Path, PathBuf};

use barge_sys::durable::{self, Damaged, Durability};
use barge_types::{ContainerId, NetworkId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::Endpoint;
use crate::error::{NetworkError, Result};
use crate::network::NetworkRecord;

/// The folders with the records.
#[derive(Debug)]
pub(crate) struct FileStore {
    networks: PathBuf,
    endpoints: PathBuf,
}

/// Records of one kind, and what was found in place of some.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) records: Vec<T>,
    pub(crate) damaged: Vec<Damaged>,
}

impl FileStore {
    /// Opens the folders, making them where needed, and removes what was being written when a daemon was killed.
    pub(crate) fn open(data_root: &Path, exec_root: &Path) -> Result<Self> {
        let store =
            Self { networks: data_root.join("networks"), endpoints: exec_root.join("endpoints") };
        for folder in [&store.networks, &store.endpoints] {
            fs::create_dir_all(folder).map_err(NetworkError::io("create", folder))?;
            durable::sweep(folder).map_err(NetworkError::io("sweep", folder))?;
        }
        Ok(store)
    }

    pub(crate) fn networks(&self) -> Result<Loaded<NetworkRecord>> {
        load_all(&self.networks)
    }

    pub(crate) fn endpoints(&self) -> Result<Loaded<Endpoint>> {
        load_all(&self.endpoints)
    }

    pub(crate) fn save_network(&self, record: &NetworkRecord) -> Result<()> {
        save(&self.networks, record.id.as_str(), record, Durability::Durable)
    }

    pub(crate) fn remove_network(&self, id: &NetworkId) -> Result<()> {
        remove(&self.networks.join(format!("{id}.json")))
    }

    pub(crate) fn save_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        save(&self.endpoints, endpoint.container.as_str(), endpoint, Durability::Lazy)
    }

    pub(crate) fn remove_endpoint(&self, container: &ContainerId) -> Result<()> {
        remove(&self.endpoints.join(format!("{container}.json")))
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|list| list.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(NetworkError::io("list", folder))
}

/// Reads every record. One that makes no sense keeps nobody from the others: it is set aside.
fn load_all<T: DeserializeOwned>(folder: &Path) -> Result<Loaded<T>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut loaded = Loaded { records: Vec::new(), damaged: Vec::new() };
    for path in paths {
        let bytes = fs::read(&path).map_err(NetworkError::io("read", &path))?;
        match serde_json::from_slice(&bytes) {
            Ok(record) => loaded.records.push(record),
            Err(error) => {
                let kept =
                    durable::set_aside(&path).map_err(NetworkError::io("set aside", &path))?;
                let cause = format!("{}: {error}", path.display());
                loaded.damaged.push(Damaged { kept, cause });
            }
        }
    }
    Ok(loaded)
}

fn save(folder: &Path, name: &str, value: &impl Serialize, durability: Durability) -> Result<()> {
    let path = folder.join(format!("{name}.json"));
    let bytes = serde_json::to_vec(value)
        .map_err(|source| NetworkError::Record { path: path.clone(), source })?;
    durable::write(&path, &bytes, durability).map_err(NetworkError::io("write", &path))
}

fn remove(path: &Path) -> Result<()> {
    durable::remove(path).map_err(NetworkError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Attachment, EndpointId};

    fn endpoint() -> Endpoint {
        Endpoint {
            id: EndpointId::from_bytes([1; 32]),
            network: NetworkId::from_bytes([2; 32]),
            network_name: "none".to_owned(),
            container: ContainerId::from_bytes([3; 32]),
            container_name: "web".to_owned(),
            attachment: Attachment::Null,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            FileStore::open(&folder.path().join("data"), &folder.path().join("exec")).unwrap();
        store.save_endpoint(&endpoint()).unwrap();
        assert_eq!(store.endpoints().unwrap().records, [endpoint()]);
        store.remove_endpoint(&endpoint().container).unwrap();
        store.remove_endpoint(&endpoint().container).unwrap();
        assert!(store.endpoints().unwrap().records.is_empty());
    }

    #[test]
    fn half_a_record_is_swept_and_a_broken_one_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let open = || FileStore::open(folder.path(), folder.path());
        let store = open().unwrap();
        fs::write(store.endpoints.join(".tmp-half.json"), "{").unwrap();
        open().unwrap();
        assert!(entries(&store.endpoints).unwrap().is_empty());
        fs::write(store.endpoints.join("broken.json"), "{").unwrap();
        store.save_endpoint(&endpoint()).unwrap();
        let loaded = store.endpoints().unwrap();
        assert_eq!(loaded.records, [endpoint()]);
        assert_eq!(loaded.damaged.len(), 1);
        assert!(loaded.damaged[0].cause.contains("broken.json"), "{loaded:?}");
        assert_eq!(fs::read_to_string(&loaded.damaged[0].kept).unwrap(), "{");
        assert!(store.endpoints().unwrap().damaged.is_empty(), "reported once");
    }
}
