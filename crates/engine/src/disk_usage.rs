//! `system df`: what takes how much of the disk.
//!
//! Bytes are those of the content of files, each counted once however many names it has, as `du --apparent-size` counts
//! them without folders. Layers of images are not walked: what one holds never changes and is in its record.

use std::collections::HashSet;
use std::sync::Arc;

use barge_api_types::{ContentUsage, DiskUsage};
use barge_image::ImageStore;
use barge_types::ImageId;

use crate::blocking;
use crate::containers::ListOptions;
use crate::error::Result;
use crate::images::ImageListOptions;
use crate::system::System;

/// What can be asked for by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKind {
    /// Images, their layers and what is kept of them to be pushed.
    Images,
    /// The containers' own layers.
    Containers,
    /// Volumes.
    Volumes,
    /// What builds keep for the next ones.
    BuildCache,
    /// The containers' logs.
    Logs,
}

impl DiskKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Images, Self::Containers, Self::Volumes, Self::BuildCache, Self::Logs];

    /// The kind of a word of the API: Docker's, and `log`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "image" => Some(Self::Images),
            "container" => Some(Self::Containers),
            "volume" => Some(Self::Volumes),
            "build-cache" => Some(Self::BuildCache),
            "log" => Some(Self::Logs),
            _ => None,
        }
    }
}

impl System {
    /// What takes how much of the disk, of these kinds.
    pub async fn disk_usage(self: &Arc<Self>, kinds: &[DiskKind]) -> Result<DiskUsage> {
        let mut usage = DiskUsage::default();
        let asks = |kind: DiskKind| kinds.contains(&kind);
        if asks(DiskKind::Images) {
            let options = ImageListOptions { shared_size: true, ..ImageListOptions::default() };
            usage.images = Some(self.images.list(options).await?);
        }
        if asks(DiskKind::Containers) {
            let options = ListOptions { all: true, size: true, ..ListOptions::default() };
            usage.containers = Some(self.containers.list(options).await?);
        }
        let (this, kinds) = (Arc::clone(self), kinds.to_vec());
        blocking::run(move || {
            if kinds.contains(&DiskKind::Images) {
                // What the cache alone has is counted there.
                let of_cache = this.builds.own_layers();
                usage.layers_size = signed(this.images.bytes_of_layers(&of_cache));
                let images = usage.images.iter().flatten();
                let in_use = images.filter(|image| image.containers != 0);
                let in_use = in_use.filter_map(|image| image.id.parse().ok()).collect();
                usage.content_usage = Some(content_usage(&this.images.store, &in_use)?);
            }
            if kinds.contains(&DiskKind::BuildCache) {
                let records = this.builds.records();
                usage.builder_size = records.iter().map(|record| record.size).sum();
                let records = records.iter().filter_map(|record| serde_json::to_value(record).ok());
                usage.build_cache = Some(records.collect());
            }
            if kinds.contains(&DiskKind::Volumes) {
                usage.volumes = Some(this.volumes.usage()?);
            }
            if kinds.contains(&DiskKind::Logs) {
                usage.logs_usage = Some(this.containers.logs_usage()?);
            }
            Ok(usage)
        })
        .await
    }
}

fn content_usage(store: &ImageStore, in_use: &HashSet<ImageId>) -> Result<ContentUsage> {
    let usage = store.content().usage()?;
    let used = store.bytes_kept_for(in_use);
    Ok(ContentUsage {
        reclaimable: signed(usage.bytes.saturating_sub(used) + usage.bytes_of_parts),
        total_count: signed(usage.blobs),
        total_size: signed(usage.bytes),
        partial_count: signed(usage.parts),
        partial_size: signed(usage.bytes_of_parts),
    })
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
