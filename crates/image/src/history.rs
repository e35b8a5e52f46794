//! How an image came about, newest step first, as `docker history` shows it.

use barge_types::ImageId;

use crate::error::Result;
use crate::store::ImageStore;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image after the step, when it is here: the newest, and those that it was committed on.
    pub id: Option<ImageId>,
    /// RFC 3339.
    pub created: Option<String>,
    /// The command.
    pub created_by: String,
    /// Free text.
    pub comment: String,
    /// Bytes of the step's layer, 0 when it made none.
    pub size: u64,
    /// Names of the image.
    pub tags: Vec<String>,
}

impl ImageStore {
    /// The steps of an image, newest first.
    pub fn history(&self, name: &str) -> Result<Vec<HistoryEntry>> {
        let image = self.get(name)?;
        let state = self.read();
        let sizes = image.chain_ids.iter().map(|id| state.layers.get(id).map_or(0, |l| l.size));
        let mut sizes = sizes.collect::<Vec<u64>>().into_iter();
        let mut entries: Vec<HistoryEntry> = image
            .config
            .history
            .iter()
            .map(|step| HistoryEntry {
                id: None,
                created: step.created.clone(),
                created_by: step.created_by.clone(),
                comment: step.comment.clone(),
                size: if step.empty_layer { 0 } else { sizes.next().unwrap_or_default() },
                tags: Vec::new(),
            })
            .collect();
        entries.reverse();
        // Each step back is the image that the one before was committed on, as far as those are here.
        let mut step = Some(image.id);
        for entry in &mut entries {
            let Some(image) = step.and_then(|id| state.image(&id)) else { break };
            entry.id = Some(image.id);
            entry.tags = image.repo_tags();
            step = state.index.image(&image.id).and_then(|record| record.parent);
        }
        Ok(entries)
    }
}
