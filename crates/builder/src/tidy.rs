//! What the cache gives up: when asked, and by itself when it has become too large.

use std::collections::HashSet;
use std::path::Path;
use std::sync::PoisonError;

use barge_image::{ImageUsage, Removal, User};
use barge_storage::LayerId;
use barge_types::{Digest, ImageId};

use crate::builder::{CacheEntry, Floors, PruneOptions, Pruned};
use crate::cache::{Cache, Choice, over};
use crate::error::{BuildError, Result};
use crate::execute::Shop;

/// The cache is at most so large by itself, whatever the disk: 20 GiB.
const MOST: u64 = 20 << 30;
/// And at most this part of the disk.
const PART: u64 = 10;

impl Shop {
    /// Gives up what nothing uses.
    ///
    /// # Errors
    /// A filter that does not exist; a disk that fails.
    pub(crate) fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        let choice = Choice::parse(options)?;
        // One at a time: a layer must not go before another that stands on it has gone.
        let _tidying = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = self.entries();
        let chosen: Vec<CacheEntry> =
            entries.iter().filter(|entry| choice.fits(entry)).cloned().collect();
        let total: u64 = entries.iter().map(|entry| entry.size).sum();
        let Some(allowed) = allowed(&options.floors, total, &self.parts.folder) else {
            return self.give_up(&chosen);
        };
        let others = total - chosen.iter().map(|entry| entry.size).sum::<u64>();
        let going = over(&chosen, allowed.saturating_sub(others));
        let going: Vec<CacheEntry> =
            chosen.into_iter().filter(|entry| going.contains(&entry.id)).collect();
        self.give_up(&going)
    }

    /// What the cache holds, oldest use first.
    pub(crate) fn entries(&self) -> Vec<CacheEntry> {
        let of_images = self.layers_of_images();
        let storage = self.parts.storage.as_ref();
        let mut entries = self.cache.entries(storage, &|id| of_images.contains(id));
        entries.extend(self.mounts.entries());
        entries.extend(self.downloads.entries());
        entries.sort_by_key(|entry| (entry.last_used.unwrap_or(entry.created), entry.created));
        entries
    }

    /// Layers that only the cache has, no image.
    pub(crate) fn own_layers(&self) -> HashSet<LayerId> {
        let of_images = self.layers_of_images();
        let own = self.cache.own_layers().into_iter();
        own.filter(|layer| !of_images.contains(layer)).collect()
    }

    /// Layers that images stand on. The store keeps records also of those that only the cache still holds.
    fn layers_of_images(&self) -> HashSet<LayerId> {
        let images = &self.parts.images;
        let chains: HashSet<Digest> =
            images.list().into_iter().flat_map(|image| image.chain_ids).collect();
        chains.iter().filter_map(|chain| Some(images.layer(chain)?.cache_id)).collect()
    }

    /// Keeps the cache within its bounds, unless somebody does that already.
    pub(crate) fn tidy(&self) {
        if let Ok(_tidying) = self.tidying.try_lock() {
            self.keep_within_bounds(default_cap(&self.parts.folder));
            // Sizes that were counted; what is not written is counted again.
            self.cache.save().ok();
        }
    }

    /// Removes what was used least recently until the cache is not larger than allowed.
    pub(crate) fn keep_within_bounds(&self, allowed: u64) {
        let entries = self.entries();
        let total: u64 = entries.iter().map(|entry| entry.size).sum();
        if total <= allowed {
            return;
        }
        let going = over(&entries, allowed);
        let going: Vec<CacheEntry> =
            entries.into_iter().filter(|entry| going.contains(&entry.id)).collect();
        // The next build tries again.
        self.give_up(&going).ok();
    }

    /// Removes entries, those that stand on others first, as far as nothing holds them; and what of removed images only they
    /// stood on.
    fn give_up(&self, entries: &[CacheEntry]) -> Result<Pruned> {
        let mut pruned = self.give_up_entries(entries)?;
        if pruned.ids.is_empty() {
            return Ok(pruned);
        }
        let images = &self.parts.images;
        let own: HashSet<LayerId> =
            entries.iter().filter_map(|entry| entry.id.parse().ok()).collect();
        let before = images.bytes_of_layers(&own);
        let usage = Composed { cache: &self.cache, containers: self.parts.usage.as_ref() };
        images.sweep_layers(&usage).map_err(BuildError::image("remove layers"))?;
        pruned.space += before.saturating_sub(images.bytes_of_layers(&own));
        Ok(pruned)
    }

    fn give_up_entries(&self, entries: &[CacheEntry]) -> Result<Pruned> {
        let mut left: Vec<&CacheEntry> = entries.iter().collect();
        let mut pruned = Pruned::default();
        loop {
            let before = left.len();
            let mut still = Vec::new();
            for entry in left {
                if self.give_up_one(entry)? {
                    pruned.ids.push(entry.id.clone());
                    pruned.space += if entry.shared { 0 } else { entry.size };
                } else {
                    still.push(entry);
                }
            }
            left = still;
            if left.is_empty() || left.len() == before {
                return Ok(pruned);
            }
        }
    }

    /// Removes an image that nobody is to see; its layers stay as long as the cache has them.
    pub(crate) fn remove_image(&self, id: &ImageId) -> Result<()> {
        let usage = Composed { cache: &self.cache, containers: self.parts.usage.as_ref() };
        let removed = self.parts.images.remove(&id.to_string(), Removal::Force, &usage);
        removed.map(drop).map_err(BuildError::image("remove an image that was handed out"))
    }

    fn give_up_one(&self, entry: &CacheEntry) -> Result<bool> {
        if entry.kind == crate::cache::mounts::KIND {
            return self.mounts.remove(&entry.id);
        }
        if entry.kind == crate::cache::downloads::KIND {
            return self.downloads.remove(&entry.id).map(|()| true);
        }
        let id: LayerId = entry.id.parse().map_err(BuildError::storage("name a layer"))?;
        let Some(record) = self.cache.take(&id)? else { return Ok(false) };
        let parts = &self.parts;
        let usage = Composed { cache: &self.cache, containers: parts.usage.as_ref() };
        let gone = parts
            .images
            .release(std::slice::from_ref(&id), &usage)
            .map_err(BuildError::image("remove a layer"))?;
        if gone.contains(&id) || parts.images.layers().iter().any(|layer| layer.cache_id == id) {
            return Ok(true);
        }
        // Somebody looks at it just now: it goes the next time.
        self.cache.put_back(record)?;
        Ok(false)
    }
}

/// Containers and the cache.
struct Composed<'a> {
    cache: &'a Cache,
    containers: &'a (dyn ImageUsage + Send + Sync),
}

impl ImageUsage for Composed<'_> {
    fn users(&self, image: &ImageId) -> Vec<User> {
        self.containers.users(image)
    }

    fn layers_in_use(&self) -> HashSet<LayerId> {
        let mut layers = self.containers.layers_in_use();
        layers.extend(self.cache.layers());
        layers
    }
}

/// How large the cache may be without being told: a tenth of the disk that it is on, at most 20 GiB.
fn default_cap(folder: &Path) -> u64 {
    let disk = rustix::fs::statvfs(folder);
    disk.map_or(MOST, |disk| cap_of(disk.f_blocks.saturating_mul(disk.f_frsize)))
}

fn cap_of(disk: u64) -> u64 {
    (disk / PART).min(MOST)
}

/// How much may stay; nothing when all that was chosen goes.
fn allowed(floors: &Floors, total: u64, folder: &Path) -> Option<u64> {
    let Floors { reserved, max_used, min_free } = *floors;
    if reserved == 0 && max_used == 0 && min_free == 0 {
        return None;
    }
    let mut allowed = if max_used == 0 && min_free == 0 { reserved } else { u64::MAX };
    if max_used > 0 {
        allowed = max_used;
    }
    if min_free > 0 {
        let free = rustix::fs::statvfs(folder)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        allowed = allowed.min(total.saturating_sub(min_free.saturating_sub(free)));
    }
    Some(allowed.max(reserved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_takes_a_tenth_of_a_disk_and_never_more_than_twenty_gibibytes() {
        assert_eq!(cap_of(50 << 30), 5 << 30);
        assert_eq!(cap_of(200 << 30), 20 << 30);
        assert_eq!(cap_of(4 << 40), 20 << 30);
    }

    #[test]
    fn what_is_reserved_stays_whatever_else_is_asked_for() {
        let here = Path::new("/");
        let floors = |reserved, max_used| Floors { reserved, max_used, min_free: 0 };
        assert_eq!(allowed(&floors(0, 0), 10, here), None);
        assert_eq!(allowed(&floors(3, 0), 10, here), Some(3));
        assert_eq!(allowed(&floors(3, 5), 10, here), Some(5));
        assert_eq!(allowed(&floors(7, 5), 10, here), Some(7));
        let never = Floors { min_free: u64::MAX, ..Floors::default() };
        assert_eq!(allowed(&never, 10, here), Some(0));
    }
}
