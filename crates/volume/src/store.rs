//! The store: which volumes there are and who uses them.
//!
//! Records and users are in memory, so that a container's start asks no disk. Users are not
//! recorded: the engine says them again after a restart, from its own records.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barge_sys::durable::Damaged;
use barge_types::ContainerId;

use crate::copy_up::copy_up;
use crate::driver::{Scope, VolumeDriver};
use crate::drivers::Local;
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::record::{Records, VolumeRecord};

/// Docker's mark of a volume that nobody named.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";
/// The driver that is meant when none is said.
const DEFAULT_DRIVER: &str = "local";

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// Who keeps it.
    pub driver: String,
    /// Where it can be reached.
    pub scope: Scope,
    /// The folder with its files.
    pub mountpoint: PathBuf,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Containers that use it.
    pub users: BTreeSet<ContainerId>,
}

impl Volume {
    /// Whether nobody named it.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS_LABEL)
    }
}

/// How to make a volume.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Its name; absent or empty makes an anonymous one.
    pub name: Option<String>,
    /// Who keeps it; absent or empty is `local`.
    pub driver: Option<String>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What a pruning removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names.
    pub names: Vec<VolumeName>,
    /// Bytes.
    pub reclaimed: u64,
}

#[derive(Debug)]
struct Entry {
    record: VolumeRecord,
    users: BTreeSet<ContainerId>,
    /// Held while image content is copied into the volume.
    filling: Arc<Mutex<()>>,
}

impl Entry {
    fn new(record: VolumeRecord) -> Self {
        Self { record, users: BTreeSet::new(), filling: Arc::default() }
    }
}

/// The volumes of a data root.
#[derive(Debug)]
pub struct VolumeStore {
    records: Records,
    drivers: BTreeMap<String, Box<dyn VolumeDriver>>,
    volumes: Mutex<BTreeMap<VolumeName, Entry>>,
    /// Held while volumes are made or removed.
    changing: Mutex<()>,
    damaged: Vec<Damaged>,
}

impl VolumeStore {
    /// Opens the volumes below a data root: what drivers have is a volume, with or without a
    /// record; a record without a volume is what a killed process left.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = root.join("volumes");
        let local: Box<dyn VolumeDriver> = Box::new(Local::open(&folder)?);
        let records = Records::open(&folder)?;
        let (mut known, damaged) = records.load()?;
        let drivers = BTreeMap::from([(local.name().to_owned(), local)]);
        let mut volumes = BTreeMap::new();
        for driver in drivers.values() {
            for name in driver.list()? {
                let record = match known.remove(&name) {
                    Some(record) => record,
                    None => VolumeRecord::new(driver.name(), time_of(&driver.path(&name))),
                };
                volumes.insert(name, Entry::new(record));
            }
        }
        for (name, record) in known {
            // The volume of a driver that is not there now may come back with it.
            if drivers.contains_key(&record.driver) {
                records.remove(&name)?;
            }
        }
        Ok(Self {
            records,
            drivers,
            volumes: Mutex::new(volumes),
            changing: Mutex::default(),
            damaged,
        })
    }

    /// Records that made no sense when they were read; they were set aside, and their volumes have none.
    #[must_use]
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    fn volumes(&self) -> MutexGuard<'_, BTreeMap<VolumeName, Entry>> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self, name: &VolumeName, entry: &Entry) -> Option<Volume> {
        let driver = self.drivers.get(&entry.record.driver)?;
        Some(Volume {
            name: name.clone(),
            driver: entry.record.driver.clone(),
            scope: driver.scope(),
            mountpoint: driver.path(name),
            created: entry.record.created.clone(),
            labels: entry.record.labels.clone(),
            options: entry.record.options.clone(),
            users: entry.users.clone(),
        })
    }

    /// The words of the drivers.
    pub fn drivers(&self) -> impl Iterator<Item = &str> {
        self.drivers.keys().map(String::as_str)
    }

    /// Makes a volume, or returns the one that has the name already.
    pub fn create(&self, options: &CreateOptions) -> Result<Volume> {
        let (name, labels) = match options.name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => (name.parse()?, options.labels.clone()),
            None => {
                let mut labels = options.labels.clone();
                labels.insert(ANONYMOUS_LABEL.to_owned(), String::new());
                (anonymous_name()?, labels)
            }
        };
        let wanted = options.driver.as_deref().filter(|driver| !driver.is_empty());
        let _changing = self.changing();
        if let Ok(volume) = self.get(name.as_str()) {
            return match wanted {
                Some(driver) if driver != volume.driver => {
                    Err(VolumeError::NameTaken { name: name.to_string(), driver: volume.driver })
                }
                _ => Ok(volume),
            };
        }
        let driver = self.driver(&name, wanted.unwrap_or(DEFAULT_DRIVER))?;
        let mut record = VolumeRecord::new(driver.name(), jiff::Timestamp::now().to_string());
        record.labels = labels;
        record.options.clone_from(&options.options);
        driver.create(&name, &options.options)?;
        if let Err(error) = self.records.save(&name, &record) {
            // The first error is the one to tell; an empty volume without a record does no harm.
            driver.remove(&name).ok();
            return Err(error);
        }
        self.volumes().insert(name.clone(), Entry::new(record));
        self.get(name.as_str())
    }

    fn driver(&self, name: &VolumeName, word: &str) -> Result<&dyn VolumeDriver> {
        let driver = self.drivers.get(word).map(Box::as_ref);
        driver.ok_or_else(|| VolumeError::NoSuchDriver {
            name: name.to_string(),
            driver: word.to_owned(),
        })
    }

    fn driver_of(&self, name: &VolumeName) -> Result<&dyn VolumeDriver> {
        let word = self.with_entry(name, |entry| entry.record.driver.clone())?;
        self.driver(name, &word)
    }

    fn with_entry<T>(&self, name: &VolumeName, f: impl FnOnce(&mut Entry) -> T) -> Result<T> {
        let mut volumes = self.volumes();
        let entry = volumes.get_mut(name);
        entry.map(f).ok_or_else(|| VolumeError::NoSuchVolume(name.to_string()))
    }

    /// The volume of a name.
    pub fn get(&self, name: &str) -> Result<Volume> {
        let missing = || VolumeError::NoSuchVolume(name.to_owned());
        let parsed: VolumeName = name.parse().map_err(|_| missing())?;
        let volumes = self.volumes();
        let entry = volumes.get(&parsed).ok_or_else(missing)?;
        self.shown(&parsed, entry).ok_or_else(missing)
    }

    /// All volumes, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Volume> {
        self.volumes().iter().filter_map(|(name, entry)| self.shown(name, entry)).collect()
    }

    /// Notes that a container uses a volume: from then on it cannot be removed.
    pub fn acquire(&self, name: &VolumeName, container: &ContainerId) -> Result<()> {
        self.with_entry(name, |entry| entry.users.insert(container.clone())).map(drop)
    }

    /// Notes that a container does not use a volume any more.
    pub fn release(&self, name: &VolumeName, container: &ContainerId) {
        if let Some(entry) = self.volumes().get_mut(name) {
            entry.users.remove(container);
        }
    }

    /// Makes a volume's files available to a running container and tells where.
    pub fn mount(&self, name: &VolumeName, container: &ContainerId) -> Result<PathBuf> {
        self.driver_of(name)?.mount(name, container.as_str())
    }

    /// Takes a container's mount back.
    pub fn unmount(&self, name: &VolumeName, container: &ContainerId) -> Result<()> {
        self.driver_of(name)?.unmount(name, container.as_str())
    }

    /// Fills an empty, mounted volume with what a container's root file system has at `path`. Two
    /// containers that start with one new volume wait for each other.
    pub fn copy_up(&self, name: &VolumeName, rootfs: &Path, path: &Path) -> Result<()> {
        let filling = self.with_entry(name, |entry| Arc::clone(&entry.filling))?;
        let target = self.driver_of(name)?.path(name);
        let _filling = filling.lock().unwrap_or_else(PoisonError::into_inner);
        copy_up(rootfs, path, &target)
    }

    /// Removes a volume that no container uses.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _changing = self.changing();
        let volume = self.get(name)?;
        self.remove_unused(&volume.name)
    }

    fn remove_unused(&self, name: &VolumeName) -> Result<()> {
        let driver = self.driver_of(name)?;
        let entry = {
            let mut volumes = self.volumes();
            match volumes.get(name) {
                None => return Err(VolumeError::NoSuchVolume(name.to_string())),
                Some(entry) if !entry.users.is_empty() => {
                    return Err(VolumeError::InUse {
                        name: name.to_string(),
                        users: entry.users.iter().map(ToString::to_string).collect(),
                    });
                }
                // Out of sight first: nobody acquires what is being removed.
                Some(_) => volumes.remove(name),
            }
        };
        let done = driver.remove(name);
        if done.is_err() && driver.exists(name).unwrap_or(true) {
            if let Some(entry) = entry {
                self.volumes().insert(name.clone(), entry);
            }
            return done;
        }
        self.records.remove(name)?;
        done
    }

    /// Removes volumes that no container uses and that `is_meant` picks.
    pub fn prune(&self, is_meant: &dyn Fn(&Volume) -> bool) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for volume in self.list() {
            if !volume.users.is_empty() || !is_meant(&volume) {
                continue;
            }
            let size = self.size(&volume.name)?;
            let _changing = self.changing();
            match self.remove_unused(&volume.name) {
                Ok(()) => {
                    pruned.names.push(volume.name);
                    pruned.reclaimed += size;
                }
                // Taken or gone meanwhile.
                Err(VolumeError::InUse { .. } | VolumeError::NoSuchVolume(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    /// Bytes of a volume's files; a file with several names counts once.
    pub fn size(&self, name: &VolumeName) -> Result<u64> {
        let mut seen = HashSet::new();
        let mut folders = vec![self.driver_of(name)?.path(name)];
        let mut sum = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(VolumeError::io("list", &folder))? {
                let entry = entry.map_err(VolumeError::io("list", &folder))?;
                // What goes away meanwhile has no size.
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if seen.insert((metadata.dev(), metadata.ino())) {
                    sum += metadata.len();
                }
            }
        }
        Ok(sum)
    }
}

fn anonymous_name() -> Result<VolumeName> {
    let hex = barge_sys::random::hex::<32>();
    hex.map_err(VolumeError::io("name a volume in", Path::new("volumes")))?.parse()
}

/// When a folder was last changed, for volumes whose record is lost.
fn time_of(path: &Path) -> String {
    let time = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let time = time.and_then(|time| jiff::Timestamp::try_from(time).ok());
    time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests;
