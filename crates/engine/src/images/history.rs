//! `history`: how an image came about.

use std::sync::Arc;

use barge_api_types::ImageHistoryItem;

use super::Images;
use crate::error::Result;
use crate::{blocking, time};

impl Images {
    /// The steps, the last first.
    pub async fn history(self: &Arc<Self>, name: &str) -> Result<Vec<ImageHistoryItem>> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        blocking::run(move || {
            let entries = this.store.history(&name)?;
            let item = |entry: barge_image::HistoryEntry| ImageHistoryItem {
                comment: entry.comment,
                created: entry
                    .created
                    .as_deref()
                    .and_then(time::from_rfc3339)
                    .map_or(0, time::unix_seconds),
                created_by: entry.created_by,
                id: entry.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
                size: i64::try_from(entry.size).unwrap_or(i64::MAX),
                tags: entry.tags,
            };
            Ok(entries.into_iter().map(item).collect())
        })
        .await
    }
}
