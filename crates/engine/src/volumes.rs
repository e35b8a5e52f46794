//! Volumes as the API shows them.

use std::sync::Arc;

use barge_api_types::{
    Filters, Volume as VolumeView, VolumeCreateRequest, VolumeListResponse, VolumeUsage,
    VolumesPruneResponse,
};
use barge_volume::{CreateOptions, Volume, VolumeStore};

use crate::blocking;
use crate::error::{EngineError, Result};
use crate::events::Events;

/// The service that has the volumes.
#[derive(Debug)]
pub struct Volumes {
    pub(crate) store: Arc<VolumeStore>,
    pub(crate) events: Arc<Events>,
}

/// Whether `rm` may fail because there is no such volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is an error.
    Refuse,
    /// It is fine.
    Ignore,
}

impl Volumes {
    /// The volumes that the filters let through.
    pub async fn list(&self, filters: Filters) -> Result<VolumeListResponse> {
        filters
            .check_keys(&["dangling", "driver", "label", "name"])
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        let dangling =
            filters.flag("dangling").map_err(|error| EngineError::Invalid(error.to_string()))?;
        let volumes = self.store.list().into_iter().filter(|volume| {
            let name = volume.name.as_str();
            dangling.is_none_or(|dangling| dangling == volume.users.is_empty())
                && filters.matches("driver", &volume.driver)
                && filters.matches_labels("label", &volume.labels)
                && (!filters.contains("name")
                    || filters.values("name").any(|wanted| name.contains(wanted)))
        });
        Ok(VolumeListResponse {
            volumes: volumes.map(|volume| to_wire(&volume)).collect(),
            warnings: Vec::new(),
        })
    }

    /// Everything that is known of a volume.
    pub async fn inspect(&self, name: &str) -> Result<VolumeView> {
        Ok(to_wire(&self.store.get(name)?))
    }

    /// Makes a volume, or finds the one of that name.
    pub async fn create(self: &Arc<Self>, request: VolumeCreateRequest) -> Result<VolumeView> {
        if request.cluster_volume_spec.is_some() {
            return Err(EngineError::NotImplemented(
                "cluster volumes are not supported by barge".to_owned(),
            ));
        }
        let this = Arc::clone(self);
        blocking::run(move || {
            let options = CreateOptions {
                name: Some(request.name).filter(|name| !name.is_empty()),
                driver: Some(request.driver).filter(|driver| !driver.is_empty()),
                options: request.driver_opts,
                labels: request.labels,
            };
            let volume = this.store.create(&options)?;
            this.tell("create", &volume);
            Ok(to_wire(&volume))
        })
        .await
    }

    /// Removes a volume that no container uses.
    pub async fn remove(self: &Arc<Self>, name: &str, missing: Missing) -> Result<()> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        blocking::run(move || {
            let volume = match this.store.get(&name) {
                Err(error)
                    if error.kind() == barge_types::ErrorKind::NotFound
                        && missing == Missing::Ignore =>
                {
                    return Ok(());
                }
                found => found?,
            };
            this.store.remove(&name)?;
            this.tell("destroy", &volume);
            Ok(())
        })
        .await
    }

    /// Removes volumes that no container uses: those without a name, or all with the filter `all`.
    pub async fn prune(self: &Arc<Self>, filters: Filters) -> Result<VolumesPruneResponse> {
        let invalid = |error: barge_api_types::FilterError| EngineError::Invalid(error.to_string());
        filters.check_keys(&["all", "label", "label!"]).map_err(invalid)?;
        let all = filters.flag("all").map_err(invalid)?.unwrap_or(false);
        let this = Arc::clone(self);
        blocking::run(move || {
            let is_meant = |volume: &Volume| {
                let is_excluded =
                    filters.contains("label!") && filters.matches_labels("label!", &volume.labels);
                (all || volume.is_anonymous())
                    && filters.matches_labels("label", &volume.labels)
                    && !is_excluded
            };
            let pruned = this.store.prune(&is_meant)?;
            let facts = [("reclaimed".to_owned(), pruned.reclaimed.to_string())];
            this.events.tell("volume", "prune", "", facts.into());
            Ok(VolumesPruneResponse {
                volumes_deleted: pruned.names.iter().map(ToString::to_string).collect(),
                space_reclaimed: pruned.reclaimed,
            })
        })
        .await
    }

    /// Every volume with its size and the number of its users.
    pub(crate) fn usage(&self) -> Result<Vec<VolumeView>> {
        let with_usage = |volume: Volume| {
            let size = self.store.size(&volume.name)?;
            let usage = VolumeUsage {
                ref_count: i64::try_from(volume.users.len()).unwrap_or(i64::MAX),
                size: i64::try_from(size).unwrap_or(i64::MAX),
            };
            Ok(VolumeView { usage_data: Some(usage), ..to_wire(&volume) })
        };
        self.store.list().into_iter().map(with_usage).collect()
    }

    fn tell(&self, action: &str, volume: &Volume) {
        let attributes = [("driver".to_owned(), volume.driver.clone())].into();
        self.events.tell("volume", action, volume.name.as_str(), attributes);
    }
}

fn to_wire(volume: &Volume) -> VolumeView {
    VolumeView {
        created_at: volume.created.clone(),
        driver: volume.driver.clone(),
        labels: volume.labels.clone(),
        mountpoint: volume.mountpoint.display().to_string(),
        name: volume.name.to_string(),
        options: volume.options.clone(),
        scope: volume.scope.as_str().to_owned(),
        ..VolumeView::default()
    }
}
