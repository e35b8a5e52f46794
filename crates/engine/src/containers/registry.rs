//! All containers by id, by name, by the name of a link and by the beginning of an id. Looking one up costs the same however many there are.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use barge_types::{ContainerId, ContainerName};

use super::container::Container;
use super::settings::LinkTo;
use crate::error::{EngineError, Result};

/// All containers.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    maps: RwLock<Maps>,
    linking: Mutex<()>,
}

#[derive(Debug, Default)]
struct Maps {
    containers: BTreeMap<String, Arc<Container>>,
    names: HashMap<String, ContainerId>,
    /// Who is linked to a container, by its id, and what it is called there.
    parents: HashMap<String, Vec<(ContainerId, String)>>,
}

impl Maps {
    /// Where a link leads.
    fn linked(&self, parent: &str, alias: &str) -> Option<Arc<Container>> {
        let parent = self.containers.get(self.names.get(parent)?.as_str())?;
        let settings = parent.settings();
        let link = settings.links.iter().find(|link| link.alias == alias)?;
        self.containers.get(&link.target).cloned()
    }

    fn forget_link(&mut self, parent: &ContainerId, link: &LinkTo) {
        if let Some(parents) = self.parents.get_mut(&link.target) {
            parents.retain(|(id, alias)| id != parent || *alias != link.alias);
            if parents.is_empty() {
                self.parents.remove(&link.target);
            }
        }
    }
}

/// A name that is taken for a container that is being made; given back when that fails.
#[derive(Debug)]
pub(crate) struct ReservedName<'a> {
    registry: &'a Registry,
    name: ContainerName,
    id: ContainerId,
    is_kept: bool,
}

impl Registry {
    /// Finds by whole id, then by name or by the name of a link (`web/db`), then by the beginning of an id.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Container>> {
        let missing = || EngineError::NoSuchContainer(text.to_owned());
        let key = text.strip_prefix('/').unwrap_or(text);
        if key.is_empty() {
            return Err(missing());
        }
        let maps = self.read();
        if let Some(container) = maps.containers.get(key) {
            return Ok(Arc::clone(container));
        }
        if let Some(id) = maps.names.get(key) {
            return maps.containers.get(id.as_str()).cloned().ok_or_else(missing);
        }
        if let Some((parent, alias)) = key.split_once('/') {
            return maps.linked(parent, alias).ok_or_else(missing);
        }
        let from = (Bound::Included(key), Bound::Unbounded);
        let mut found =
            maps.containers.range::<str, _>(from).take_while(|(id, _)| id.starts_with(key));
        match (found.next(), found.next()) {
            (Some((_, container)), None) => Ok(Arc::clone(container)),
            (Some(_), Some(_)) => Err(EngineError::AmbiguousId(text.to_owned())),
            (None, _) => Err(missing()),
        }
    }

    /// Takes a name, so that two who create at once cannot both have it.
    pub(crate) fn reserve(
        &self,
        name: &ContainerName,
        id: &ContainerId,
    ) -> Result<ReservedName<'_>> {
        let mut maps = self.write();
        if let Some(holder) = maps.names.get(name.as_str()) {
            return Err(EngineError::NameInUse { name: name.to_string(), id: holder.to_string() });
        }
        maps.names.insert(name.to_string(), id.clone());
        Ok(ReservedName { registry: self, name: name.clone(), id: id.clone(), is_kept: false })
    }

    /// The container that has exactly this name.
    pub(crate) fn holder(&self, name: &str) -> Option<Arc<Container>> {
        let maps = self.read();
        let id = maps.names.get(name.trim_start_matches('/'))?;
        maps.containers.get(id.as_str()).cloned()
    }

    /// Makes a container known, under a name that was reserved for it or that a record gives it.
    pub(crate) fn insert(&self, container: Arc<Container>) {
        let mut maps = self.write();
        maps.names.insert(container.name().to_string(), container.id.clone());
        for LinkTo { target, alias } in &container.settings().links {
            let parents = maps.parents.entry(target.clone()).or_default();
            parents.push((container.id.clone(), alias.clone()));
        }
        maps.containers.insert(container.id.to_string(), container);
    }

    /// Who is linked to a container, with what it is called there.
    pub(crate) fn parents(&self, id: &ContainerId) -> Vec<(Arc<Container>, String)> {
        let maps = self.read();
        let parents = maps.parents.get(id.as_str()).into_iter().flatten();
        let known = parents.filter_map(|(parent, alias)| {
            Some((Arc::clone(maps.containers.get(parent.as_str())?), alias.clone()))
        });
        known.collect()
    }

    /// Whether anybody is linked to a container.
    pub(crate) fn has_parents(&self, id: &ContainerId) -> bool {
        self.read().parents.contains_key(id.as_str())
    }

    /// The names of a container: its own and those of links to it.
    pub(crate) fn names(&self, container: &Container) -> Vec<String> {
        let mut names = vec![format!("/{}", container.name())];
        for (parent, alias) in self.parents(&container.id) {
            names.push(format!("/{}/{alias}", parent.name()));
        }
        names.sort();
        names
    }

    /// Forgets that a container is linked to another.
    pub(crate) fn forget_link(&self, parent: &ContainerId, link: &LinkTo) {
        self.write().forget_link(parent, link);
    }

    /// Held while one end of a link looks at the other to act on what it sees.
    pub(crate) fn linking(&self) -> MutexGuard<'_, ()> {
        self.linking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a container and its name.
    pub(crate) fn remove(&self, id: &ContainerId) {
        let mut maps = self.write();
        if let Some(container) = maps.containers.remove(id.as_str()) {
            for link in &container.settings().links {
                maps.forget_link(id, link);
            }
        }
        maps.parents.remove(id.as_str());
        maps.names.retain(|_, holder| holder != id);
    }

    /// Gives back a name that a container had before it was renamed.
    pub(crate) fn forget_name(&self, name: &ContainerName, id: &ContainerId) {
        let mut maps = self.write();
        if maps.names.get(name.as_str()) == Some(id) {
            maps.names.remove(name.as_str());
        }
    }

    /// All, in no order that means anything.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        self.read().containers.values().cloned().collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReservedName<'_> {
    /// The name stays with the container.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for ReservedName<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let mut maps = self.registry.write();
            if maps.names.get(self.name.as_str()) == Some(&self.id) {
                maps.names.remove(self.name.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_and_given_back() {
        let registry = Registry::default();
        let name: ContainerName = "web".parse().unwrap();
        let id = ContainerId::from_bytes([1; 32]);
        let held = registry.reserve(&name, &id).unwrap();
        let error = registry.reserve(&name, &id).unwrap_err();
        assert!(
            error.to_string().starts_with(
                "Conflict. The container name \"/web\" is already in use by container"
            )
        );
        drop(held);
        registry.reserve(&name, &id).unwrap().keep();
        registry.reserve(&name, &id).unwrap_err();
    }

    #[test]
    fn nothing_is_found_by_nothing() {
        let registry = Registry::default();
        assert_eq!(registry.find("").unwrap_err().to_string(), "No such container: ");
        assert_eq!(registry.find("abc").unwrap_err().to_string(), "No such container: abc");
    }
}
