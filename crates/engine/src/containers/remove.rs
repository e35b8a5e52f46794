//! `rm`: nothing of a container is left: no process, mount, address, cgroup, layer or file.

use std::sync::Arc;
use std::time::Duration;

use barge_storage::LayerId;
use barge_sys::fault;
use tokio::sync::MutexGuard;

use super::container::{Container, Presence};
use super::record::{MountSource, Origin};
use super::state::{Removal, RemovalProgress, State};
use super::{Containers, to_the_end};
use crate::blocking;
use crate::error::{EngineError, Result};

/// How to remove.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Also when it runs: it is killed.
    pub force: bool,
    /// With its anonymous volumes.
    pub volumes: bool,
    /// Only the link of this name (`web/db`).
    pub link: bool,
}

impl Containers {
    /// Removes a container.
    pub async fn remove(self: &Arc<Self>, name: &str, options: RemoveOptions) -> Result<()> {
        let container = self.registry.find(name)?;
        if options.link {
            return self.remove_link(name).await;
        }
        let this = Arc::clone(self);
        to_the_end(async move {
            let _verb = match container.verb.try_lock() {
                Ok(verb) => verb,
                Err(_) => {
                    // What is under way may wait for what is killed here.
                    if options.force {
                        container.end_by_user();
                        this.kill_and_wait(&container).await?;
                    }
                    lock_for_removal(&container, options).await
                }
            };
            if container.watch().borrow().presence == Presence::Removed {
                return Err(EngineError::NoSuchContainer(container.id.to_string()));
            }
            this.end_before_removal(&container, options).await?;
            container.settled().await?;
            // A container that goes with its end may have gone while we waited.
            if container.watch().borrow().presence == Presence::Removed {
                return Ok(());
            }
            this.remove_locked(&container, options.volumes).await
        })
        .await
    }

    async fn end_before_removal(
        &self,
        container: &Container,
        options: RemoveOptions,
    ) -> Result<()> {
        match container.state() {
            State::Running(_) if options.force => {
                container.end_by_user();
                self.kill_and_wait(container).await
            }
            State::Running(_) => Err(EngineError::Conflict(format!(
                "cannot remove container \"/{}\": container is {}: stop the container before removing or force remove",
                container.name(),
                container.state().word()
            ))),
            State::Restarting(_) if !options.force => Err(EngineError::Conflict(format!(
                "cannot remove container \"/{}\": container is restarting: stop the container before removing or force remove",
                container.name()
            ))),
            State::Restarting(ended) => {
                container.decide_anyway(|_| State::Exited(ended));
                Ok(())
            }
            State::Created(_) | State::Exited(_) | State::Removing(_) => Ok(()),
        }
    }

    /// Removes a container that has ended and goes with its end; its anonymous volumes go too.
    pub(super) async fn remove_ended(self: &Arc<Self>, container: &Arc<Container>) {
        if let Err(error) = self.remove_locked(container, true).await {
            tracing::error!(container = %container.id, error = error.message(), "cannot remove the container after its end");
            container.advance(|progress| progress.presence = Presence::Stuck);
        }
    }

    /// The record goes first: without it, what is left is swept at the next start.
    async fn remove_locked(
        self: &Arc<Self>,
        container: &Arc<Container>,
        volumes: bool,
    ) -> Result<()> {
        let ended = container.state().ended();
        let removal = |progress| State::Removing(Removal { ended, progress });
        container.inner().state = removal(RemovalProgress::UnderWay);
        let attributes = container.attributes();
        let (this, target) = (Arc::clone(self), Arc::clone(container));
        let removed = blocking::run(move || this.remove_from_disk(&target, volumes)).await;
        if let Err(error) = removed {
            container.inner().state = removal(RemovalProgress::Failed);
            return Err(error);
        }
        self.registry.remove(&container.id);
        self.forget_execs(container);
        container.inner().streams.clear();
        self.drop_layers_of_lost_image(container).await;
        container.advance(|progress| progress.presence = Presence::Removed);
        let left: Vec<LayerId> =
            container.layers().into_iter().filter(|layer| self.storage.exists(layer)).collect();
        if !left.is_empty() {
            // Something was reading them. From now on that takes them along, unless it has ended just before.
            let this = Arc::clone(self);
            blocking::run(move || {
                this.remove_layers(left.iter());
                Ok(())
            })
            .await?;
        }
        self.events.tell("container", "destroy", container.id.as_str(), attributes);
        Ok(())
    }

    /// An image that was forced away left its layers to its containers: they go with the last of those.
    async fn drop_layers_of_lost_image(self: &Arc<Self>, container: &Container) {
        let record = container.record();
        if record.images().all(|image| self.images.image(&image).is_ok()) {
            return;
        }
        let this = Arc::clone(self);
        let swept = blocking::run(move || Ok(this.images.sweep_layers(&*this)?)).await;
        if let Err(error) = swept {
            tracing::warn!(container = %container.id, error = error.message(), "cannot remove the layers of an image that is gone: they are swept at the next start");
        }
    }

    pub(super) fn remove_from_disk(&self, container: &Container, volumes: bool) -> Result<()> {
        let folder = &container.folder;
        // Out of sight with one step, so that a crash leaves a container or none.
        let leaving = self.folder.join(format!("{}.removing", container.id));
        match std::fs::rename(folder, &leaving) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(EngineError::io("remove", folder)(error));
            }
            Ok(()) | Err(_) => {}
        }
        fault::point("rm: out of sight");
        self.groups.forget(&container.id);
        self.remove_layers(container.layers().iter());
        fault::point("rm: layer removed");
        self.leave_volumes(container, volumes);
        fault::point("rm: volumes left");
        // The container is gone with the rename; what cannot be removed of it is swept at the next start.
        if let Err(error) = std::fs::remove_dir_all(&leaving)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %leaving.display(), %error, "cannot remove the folder of a removed container");
        }
        Ok(())
    }

    /// The container's volumes are no longer in use by it; those that nobody named go when they are asked to.
    fn leave_volumes(&self, container: &Container, volumes: bool) {
        for mount in &container.record().mounts {
            let MountSource::Volume { name, origin, .. } = &mount.source else {
                continue;
            };
            match name.parse() {
                Ok(name) => self.volumes.release(&name, &container.id),
                Err(_) => continue,
            }
            if !volumes || *origin != Origin::Anonymous {
                continue;
            }
            let driver = self.driver_of_volume(name);
            match self.volumes.remove(name) {
                Ok(()) => self.tell_volume("destroy", (name, &driver)),
                Err(error) => {
                    tracing::warn!(volume = name, %error, "cannot remove the volume of a removed container");
                }
            }
        }
    }
}

/// How long a forced removal leaves a start that is under way its time.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Waits for the verb that is under way. A start that hangs is broken off for a forced removal: its shim is killed, and
/// the start takes back what it did.
async fn lock_for_removal(container: &Container, options: RemoveOptions) -> MutexGuard<'_, ()> {
    if options.force
        && let Ok(verb) = tokio::time::timeout(START_PATIENCE, container.verb.lock()).await
    {
        return verb;
    }
    let starting = container.inner().starting.clone().filter(|_| options.force);
    if let Some(shim) = starting {
        tracing::warn!(container = %container.id, "a start that hangs is broken off to remove the container");
        shim.kill();
    }
    container.verb.lock().await
}
