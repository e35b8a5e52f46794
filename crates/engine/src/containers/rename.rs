//! `rename`.

use std::sync::Arc;

use barge_types::ContainerName;

use super::container::Presence;
use super::settings::invalid;
use super::{Containers, to_the_end};
use crate::blocking;
use crate::error::{EngineError, Result};

impl Containers {
    /// Gives a container another name.
    pub async fn rename(self: &Arc<Self>, name: &str, new_name: &str) -> Result<()> {
        let container = self.registry.find(name)?;
        if new_name.is_empty() {
            return Err(invalid("Neither old nor new names may be empty"));
        }
        let refused = |error| EngineError::NewName { source: Box::new(error) };
        // With the slash that dockerd shows.
        let new_name: ContainerName =
            format!("/{}", new_name.strip_prefix('/').unwrap_or(new_name))
                .parse()
                .map_err(|error| refused(invalid(format!("{error}"))))?;
        let this = Arc::clone(self);
        to_the_end(async move {
            let _verb = container.verb.lock().await;
            if container.watch().borrow().presence == Presence::Removed {
                return Err(EngineError::NoSuchContainer(container.id.to_string()));
            }
            let old_name = container.name();
            if old_name == new_name {
                return Err(invalid("Renaming a container with the same name as its current name"));
            }
            let reserved = this.registry.reserve(&new_name, &container.id).map_err(refused)?;
            let mut record = (*container.record()).clone();
            record.name = new_name;
            let record = Arc::new(record);
            let (saved, folder) = (Arc::clone(&record), container.folder.clone());
            blocking::run(move || saved.save(&folder)).await?;
            container.inner().record = record;
            reserved.keep();
            this.registry.forget_name(&old_name, &container.id);
            this.tell_with(&container, "rename", &[("oldName", format!("/{old_name}"))]);
            Ok(())
        })
        .await
    }
}
