//! The cache: what it holds, and giving up what nothing needs.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barge_api_types::{BuildCacheRecord, BuildPruneResponse, Filters};
use barge_builder::{CacheEntry, Floors, PruneOptions};
use barge_storage::LayerId;

use super::Builds;
use crate::error::{EngineError, Result};
use crate::{blocking, time};

/// What of the cache is to go.
#[derive(Clone, Debug, Default)]
pub struct BuildPruneRequest {
    /// Also what images stand on.
    pub all: bool,
    /// Bytes that stay in any case.
    pub reserved_space: u64,
    /// Bytes that stay at most; no limit when 0.
    pub max_used_space: u64,
    /// Bytes that are to be free on the disk.
    pub min_free_space: u64,
    /// Docker's.
    pub filters: Filters,
}

/// The filters of Docker's builder.
const FILTERS: [&str; 11] = [
    "description",
    "id",
    "inuse",
    "label",
    "label!",
    "parents",
    "private",
    "shared",
    "type",
    "unused-for",
    "until",
];
/// What `system prune` asks of everything: nothing in the cache has labels.
const LABELS: [&str; 2] = ["label", "label!"];

impl Builds {
    /// Gives up what nothing uses.
    pub async fn prune(self: &Arc<Self>, request: BuildPruneRequest) -> Result<BuildPruneResponse> {
        let options = options(&request)?;
        if request.filters.values("label").next().is_some() {
            return Ok(BuildPruneResponse::default());
        }
        let this = Arc::clone(self);
        blocking::run(move || {
            let pruned = this.builder.prune(&options)?;
            let reclaimed = BTreeMap::from([("reclaimed".to_owned(), pruned.space.to_string())]);
            this.events.tell("builder", "prune", "", reclaimed);
            Ok(BuildPruneResponse { caches_deleted: pruned.ids, space_reclaimed: pruned.space })
        })
        .await
    }

    /// Layers that only the cache has, no image.
    pub(crate) fn own_layers(&self) -> HashSet<LayerId> {
        self.builder.own_layers()
    }

    /// What the cache holds, for `system df`.
    pub(crate) fn records(&self) -> Vec<BuildCacheRecord> {
        self.builder.entries().into_iter().map(record).collect()
    }
}

fn options(request: &BuildPruneRequest) -> Result<PruneOptions> {
    let invalid = |error: &dyn std::fmt::Display| EngineError::Invalid(error.to_string());
    request.filters.check_keys(&FILTERS).map_err(|error| invalid(&error))?;
    let mut unused_for = None;
    for key in ["until", "unused-for"] {
        for value in request.filters.values(key) {
            unused_for = Some(age(value).ok_or_else(|| {
                invalid(&format!("{key:?} filter expects a duration (e.g., '24h'): {value:?}"))
            })?);
        }
    }
    let mut filters = BTreeMap::<String, Vec<String>>::new();
    let is_own = |key: &&str| !matches!(*key, "until" | "unused-for") && !LABELS.contains(key);
    for key in FILTERS.into_iter().filter(is_own) {
        let values: Vec<String> = request.filters.values(key).map(str::to_owned).collect();
        if !values.is_empty() {
            filters.insert(key.to_owned(), values);
        }
    }
    Ok(PruneOptions {
        all: request.all,
        unused_for,
        filters,
        floors: Floors {
            reserved: request.reserved_space,
            max_used: request.max_used_space,
            min_free: request.min_free_space,
        },
    })
}

/// How long ago a duration or a moment is.
fn age(text: &str) -> Option<Duration> {
    let moment = time::parse(text)?;
    Some(SystemTime::now().duration_since(moment).unwrap_or_default())
}

fn record(entry: CacheEntry) -> BuildCacheRecord {
    let moment = |milliseconds: i64| {
        jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default().to_string()
    };
    BuildCacheRecord {
        id: entry.id,
        parent: entry.parents.first().cloned().unwrap_or_default(),
        parents: entry.parents,
        kind: entry.kind.to_owned(),
        description: entry.description,
        in_use: entry.in_use,
        shared: entry.shared,
        size: i64::try_from(entry.size).unwrap_or(i64::MAX),
        created_at: moment(entry.created),
        last_used_at: entry.last_used.map(moment),
        usage_count: i64::try_from(entry.usage_count).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(filters: &str) -> Result<PruneOptions> {
        let filters = Filters::parse(filters).unwrap();
        options(&BuildPruneRequest { filters, ..BuildPruneRequest::default() })
    }

    #[test]
    fn filters_are_dockers() {
        let options = parsed(r#"{"until":["24h"],"id":["a"],"inuse":["true"]}"#).unwrap();
        let age = options.unused_for.unwrap();
        assert!(age >= Duration::from_secs(86_400) && age < Duration::from_secs(87_000));
        assert_eq!(options.filters["id"], ["a"]);
        assert!(parsed(r#"{"label!":["a"]}"#).unwrap().filters.is_empty());
        let error = |filters| parsed(filters).unwrap_err().to_string();
        assert_eq!(error(r#"{"colour":["red"]}"#), "invalid filter 'colour'");
        assert!(error(r#"{"until":["soon"]}"#).contains("soon"));
    }
}
