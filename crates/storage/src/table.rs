//! The layers of a driver in memory: who stands on whom, what is mounted, who is being made.
//!
//! Lock order: a layer's own state before the table. The table is held for lookups only, never during a system call.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Result, StorageError};
use crate::layer_id::LayerId;

/// A layer; `T` is what the driver knows of it.
#[derive(Debug)]
pub(crate) struct Layer<T> {
    pub(crate) id: LayerId,
    pub(crate) parent: Option<Arc<Layer<T>>>,
    /// Layers below.
    pub(crate) depth: usize,
    pub(crate) own: T,
    state: Mutex<State>,
}

/// Whether a layer is in use.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) mounts: usize,
    /// Mounts that are only read.
    pub(crate) views: usize,
    is_removed: bool,
}

impl<T> Layer<T> {
    /// The layers below, nearest first.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(self.parent.as_deref(), |layer| layer.parent.as_deref())
    }

    /// Takes the layer's turn.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_removed { Err(StorageError::NoSuchLayer(self.id.clone())) } else { Ok(state) }
    }
}

#[derive(Debug)]
struct Inner<T> {
    layers: HashMap<LayerId, Arc<Layer<T>>>,
    children: HashMap<LayerId, usize>,
    making: HashSet<LayerId>,
}

impl<T> Inner<T> {
    fn add_child(&mut self, parent: Option<&LayerId>) {
        if let Some(parent) = parent {
            *self.children.entry(parent.clone()).or_default() += 1;
        }
    }

    fn remove_child(&mut self, parent: Option<&LayerId>) {
        let Some(parent) = parent else { return };
        if let Some(count) = self.children.get_mut(parent) {
            *count -= 1;
            if *count == 0 {
                self.children.remove(parent);
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Table<T>(Mutex<Inner<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            layers: HashMap::new(),
            children: HashMap::new(),
            making: HashSet::new(),
        }))
    }
}

impl<T> Table<T> {
    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &LayerId) -> Result<Arc<Layer<T>>> {
        self.inner().layers.get(id).cloned().ok_or_else(|| StorageError::NoSuchLayer(id.clone()))
    }

    pub(crate) fn contains(&self, id: &LayerId) -> bool {
        self.inner().layers.contains_key(id)
    }

    /// Whether the layer is there, or being made or removed.
    pub(crate) fn is_taken(&self, id: &LayerId) -> bool {
        let inner = self.inner();
        inner.layers.contains_key(id) || inner.making.contains(id)
    }

    pub(crate) fn ids(&self) -> Vec<LayerId> {
        self.inner().layers.keys().cloned().collect()
    }

    pub(crate) fn children(&self, id: &LayerId) -> usize {
        self.inner().children.get(id).copied().unwrap_or_default()
    }

    /// Takes an id and holds the parent; to be followed by [`Making::done`], or dropped.
    pub(crate) fn make(&self, id: &LayerId, parent: Option<&LayerId>) -> Result<Making<'_, T>> {
        let mut inner = self.inner();
        if inner.layers.contains_key(id) || inner.making.contains(id) {
            return Err(StorageError::LayerExists(id.clone()));
        }
        let parent = match parent {
            Some(parent) => {
                let layer = inner.layers.get(parent).cloned();
                Some(layer.ok_or_else(|| StorageError::NoSuchLayer(parent.clone()))?)
            }
            None => None,
        };
        inner.making.insert(id.clone());
        inner.add_child(parent.as_ref().map(|parent| &parent.id));
        Ok(Making { table: self, id: id.clone(), parent, is_done: false })
    }

    /// Removes a layer that is neither in use nor under another; `erase` makes it invisible on disk. The caller's check
    /// of the real mount comes with the layer's turn.
    pub(crate) fn remove(
        &self,
        layer: &Layer<T>,
        erase: impl FnOnce(&Layer<T>) -> Result<()>,
    ) -> Result<()> {
        let mut state = layer.lock()?;
        if state.mounts + state.views > 0 {
            return Err(StorageError::Mounted(layer.id.clone()));
        }
        {
            let mut inner = self.inner();
            let children = inner.children.get(&layer.id).copied().unwrap_or_default();
            if children > 0 {
                return Err(StorageError::HasChildren { id: layer.id.clone(), children });
            }
            // From here on nobody finds it, and nobody may take its id while it is being erased.
            inner.layers.remove(&layer.id);
            inner.making.insert(layer.id.clone());
        }
        let result = erase(layer);
        let mut inner = self.inner();
        inner.making.remove(&layer.id);
        inner.remove_child(layer.parent.as_ref().map(|parent| &parent.id));
        drop(inner);
        state.is_removed = true;
        result
    }

    /// Removes a layer, unless somebody has taken it into use since, or removed it.
    pub(crate) fn remove_if_unused(
        &self,
        layer: &Layer<T>,
        erase: impl FnOnce(&Layer<T>) -> Result<()>,
    ) -> Result<()> {
        match self.remove(layer, erase) {
            Err(
                StorageError::HasChildren { .. }
                | StorageError::NoSuchLayer(_)
                | StorageError::Mounted(_),
            ) => Ok(()),
            result => result,
        }
    }

    /// Removes the layer of mount points that stands on a layer, if nothing stands on it. When it is in use, the
    /// removal of the layer itself will tell.
    pub(crate) fn remove_unused_init(
        &self,
        id: &LayerId,
        erase: impl FnOnce(&Layer<T>) -> Result<()>,
    ) -> Result<()> {
        if id.is_init() || self.children(id) == 0 {
            return Ok(());
        }
        match self.get(&id.init()) {
            Ok(init) => self.remove_if_unused(&init, erase),
            Err(_) => Ok(()),
        }
    }

    /// The layers that are neither in `in_use` nor below one that is, children before parents.
    pub(crate) fn unused(&self, in_use: &HashSet<LayerId>) -> Vec<Arc<Layer<T>>> {
        let inner = self.inner();
        let mut kept = HashSet::new();
        for layer in in_use.iter().filter_map(|id| inner.layers.get(id)) {
            kept.extend(layer.parents().map(|parent| &parent.id));
            kept.insert(&layer.id);
        }
        let mut unused: Vec<_> =
            inner.layers.values().filter(|layer| !kept.contains(&layer.id)).cloned().collect();
        unused.sort_by_key(|layer| std::cmp::Reverse(layer.depth));
        unused
    }
}

/// An id that is taken while its layer is made.
pub(crate) struct Making<'a, T> {
    table: &'a Table<T>,
    id: LayerId,
    pub(crate) parent: Option<Arc<Layer<T>>>,
    is_done: bool,
}

impl<T> Making<'_, T> {
    /// Layers that will be below.
    pub(crate) fn depth(&self) -> usize {
        self.parent.as_ref().map_or(0, |parent| parent.depth + 1)
    }

    /// Shows the layer.
    pub(crate) fn done(mut self, own: T) {
        self.is_done = true;
        let layer = Layer {
            id: self.id.clone(),
            parent: self.parent.clone(),
            depth: self.depth(),
            own,
            state: Mutex::default(),
        };
        let mut inner = self.table.inner();
        inner.making.remove(&self.id);
        inner.layers.insert(self.id.clone(), Arc::new(layer));
    }
}

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut inner = self.table.inner();
            inner.making.remove(&self.id);
            inner.remove_child(self.parent.as_ref().map(|parent| &parent.id));
        }
    }
}
