//! Links: what a container is told of others on the default bridge, under names of its own (Docker's "legacy container
//! links").
//!
//! A link is kept in the record of the container that has it, by the other's id. What follows from it depends on where the
//! other is, and is worked out with each start of either: lines of `/etc/hosts`, variables, and passages where the bridge
//! keeps its containers apart. A link goes with the container it leads to.

mod environment;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use barge_api_types::HostConfig;
use barge_network::{Endpoint, hosts_file};
use barge_types::{ErrorKind, Port, RestartPolicy};

use super::container::{Container, Presence, Progress, Rest};
use super::record::{ContainerRecord, StoppedBy};
use super::settings::{LinkTo, NetworkMode, Settings, invalid};
use super::state::State;
use super::{Containers, edited, to_the_end};
use crate::blocking;
use crate::error::{EngineError, Result};

/// The only network with links of this kind.
const DEFAULT_NETWORK: &str = "bridge";
/// The largest `/etc/hosts` that is changed while its container runs, which may have made anything of it.
const LARGEST_HOSTS: u64 = 1 << 20;
/// How long a container that its restart policy starts with the daemon leaves those it is linked to. They take no such time;
/// this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a container that starts gets of those it is linked to.
#[derive(Debug, Default)]
struct Linked {
    hosts: Vec<hosts_file::LinkedHost>,
    env: Vec<String>,
}

impl Containers {
    /// The containers that links of a request lead to exist; from here on they are named by their ids. As in Docker, of two
    /// with one alias the first counts.
    pub(super) fn find_link_targets(
        &self,
        settings: &mut Settings,
        host: &mut HostConfig,
    ) -> Result<()> {
        let mut found: Vec<LinkTo> = Vec::new();
        for LinkTo { target: name, alias } in &settings.links {
            // "Not found" would be taken for a missing image.
            let refused = |error: EngineError| {
                let is_missing = error.kind() == ErrorKind::NotFound;
                let text = || format!("could not get container for {name}: {}", error.message());
                if is_missing { invalid(text()) } else { error }
            };
            let target = self.network_owner(name).map_err(refused)?;
            if target.settings().network == NetworkMode::Host {
                return Err(invalid(
                    "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
                ));
            }
            if found.iter().any(|other| other.alias == *alias) {
                tracing::warn!(
                    alias,
                    "a container is linked to once under each name: the others are left out"
                );
            } else {
                found.push(LinkTo { target: target.id.to_string(), alias: alias.clone() });
            }
        }
        host.links = found.iter().map(LinkTo::to_record).collect();
        settings.links = found;
        Ok(())
    }

    /// `/db:/web/postgres`, as `inspect` shows links.
    pub(super) fn shown_links(&self, record: &ContainerRecord, settings: &Settings) -> Vec<String> {
        let shown = |link: &LinkTo| {
            let target = self.registry.find(&link.target).ok()?;
            Some(format!("/{}:/{}/{}", target.name(), record.name, link.alias))
        };
        settings.links.iter().filter_map(shown).collect()
    }

    /// Writes the files of a container that starts, has those that are linked to it know where it is now, and says in which
    /// folder the files are and what its processes are told of those it is linked to.
    pub(super) fn write_files_and_link(
        &self,
        container: &Container,
        endpoint: Option<&Endpoint>,
    ) -> Result<(PathBuf, Vec<String>)> {
        let _order = self.order(container);
        let linked = self.linked(container, endpoint)?;
        let files = self.write_files(container, endpoint, &linked.hosts)?;
        self.open_passages(container)?;
        self.tell_parents(container, endpoint);
        Ok((files, linked.env))
    }

    /// Two ends of a link that start at once do so one after the other: what the later one says of itself is not overwritten
    /// by what the earlier one has seen before. Held by none but those with links.
    fn order(&self, container: &Container) -> Option<MutexGuard<'_, ()>> {
        let has_links = !container.settings().links.is_empty();
        (has_links || self.registry.has_parents(&container.id)).then(|| self.registry.linking())
    }

    fn linked(&self, container: &Container, endpoint: Option<&Endpoint>) -> Result<Linked> {
        let own_name = container.name();
        let mut linked = Linked::default();
        for (link, target) in self.targets(container, endpoint) {
            let name = format!("/{own_name}/{}", link.alias);
            let address = address_of(&target, &name)?;
            let record = target.record();
            let mut names = vec![record.config.hostname.clone()];
            if record.name.as_str() != link.alias {
                names.push(record.name.to_string());
            }
            linked.env.extend(environment::variables(environment::Peer {
                name: &name,
                alias: &link.alias,
                address,
                ports: exposed(&record),
                env: &record.config.env,
            }));
            linked.hosts.push(hosts_file::LinkedHost { address, alias: link.alias, names });
        }
        Ok(linked)
    }

    /// What more processes of a running container are told. Unlike in Docker, one that does not run any more keeps nobody from
    /// looking into a container that was linked to it.
    pub(super) fn linked_environment(&self, container: &Container) -> Vec<String> {
        if container.settings().links.is_empty() {
            return Vec::new();
        }
        let own_name = container.name();
        let mut all = Vec::new();
        for (link, target) in self.targets(container, container.endpoint().as_ref()) {
            let name = format!("/{own_name}/{}", link.alias);
            let Ok(address) = address_of(&target, &name) else { continue };
            let record = target.record();
            let (alias, ports, env) = (&link.alias, exposed(&record), &record.config.env);
            let peer = environment::Peer { name: &name, alias, address, ports, env };
            all.extend(environment::variables(peer));
        }
        all
    }

    /// The links of a container on the default bridge, with the containers that they lead to.
    fn targets(
        &self,
        container: &Container,
        endpoint: Option<&Endpoint>,
    ) -> Vec<(LinkTo, Arc<Container>)> {
        if endpoint.is_none_or(|endpoint| endpoint.network_name != DEFAULT_NETWORK) {
            return Vec::new();
        }
        let found = |link: &LinkTo| Some((link.clone(), self.registry.find(&link.target).ok()?));
        container.settings().links.iter().filter_map(found).collect()
    }

    /// Has a container reach what it is linked to where the bridge keeps its containers apart.
    fn open_passages(&self, container: &Container) -> Result<()> {
        for link in &container.settings().links {
            if let Ok(target) = self.registry.find(&link.target) {
                self.open_passage(container, &target)?;
            }
        }
        Ok(())
    }

    fn open_passage(&self, from: &Container, to: &Container) -> Result<()> {
        let record = to.record();
        let mut ports = exposed(&record);
        ports.extend(parsed(record.host_config.port_bindings.keys()));
        Ok(self.network.link(&from.id, &to.id, &ports)?)
    }

    /// Those that are linked to a container that starts find it at its new address. That one of them does not is no reason not
    /// to start it.
    fn tell_parents(&self, container: &Container, endpoint: Option<&Endpoint>) {
        let Some(address) = endpoint.and_then(on_default_bridge) else { return };
        for (parent, alias) in self.registry.parents(&container.id) {
            let is_there = parent.inner().endpoint.as_ref().and_then(on_default_bridge).is_some();
            if !is_there {
                continue;
            }
            let told = rewrite_hosts(&parent.folder, |text| {
                hosts_file::move_linked(text, &alias, address)
            })
            .and_then(|()| self.open_passage(&parent, container));
            if let Err(error) = told {
                tracing::warn!(container = %parent.id, target = %container.id, error = error.message(), "a container does not find one that it is linked to");
            }
        }
    }

    /// `rm --link`: the link of this name, and nothing else.
    pub(super) async fn remove_link(self: &Arc<Self>, name: &str) -> Result<()> {
        let Some((parent, alias)) = name.trim_start_matches('/').split_once('/') else {
            return Err(EngineError::Conflict(
                "Conflict, cannot remove the default link name of the container".to_owned(),
            ));
        };
        let parent = self
            .registry
            .holder(parent)
            .ok_or_else(|| EngineError::NoSuchContainer(name.to_owned()))?;
        let (this, alias, name) = (Arc::clone(self), alias.to_owned(), name.to_owned());
        to_the_end(async move {
            let _verb = parent.verb.lock().await;
            if parent.watch().borrow().presence == Presence::Removed {
                return Err(EngineError::NoSuchContainer(name));
            }
            let parent = Arc::clone(&parent);
            blocking::run(move || this.forget_link(&parent, &alias, &name)).await
        })
        .await
    }

    fn forget_link(&self, parent: &Arc<Container>, alias: &str, name: &str) -> Result<()> {
        let mut settings = (*parent.settings()).clone();
        let at = settings.links.iter().position(|link| link.alias == alias);
        let at = at.ok_or_else(|| EngineError::NoSuchContainer(name.to_owned()))?;
        let link = settings.links.remove(at);
        let mut record = (*parent.record()).clone();
        record.host_config.links = settings.links.iter().map(LinkTo::to_record).collect();
        edited::forget_link(&mut record, &parent.folder, alias);
        record.save(&parent.folder)?;
        parent.replace(record, settings);
        self.registry.forget_link(&parent.id, &link);
        let _order = self.registry.linking();
        if parent.inner().endpoint.as_ref().and_then(on_default_bridge).is_some() {
            rewrite_hosts(&parent.folder, |text| hosts_file::remove_linked(text, alias))?;
        }
        if let Ok(target) = self.registry.find(&link.target) {
            self.network.unlink(&parent.id, &target.id)?;
            // It may be linked to under another name, too.
            self.open_passages(parent)?;
        }
        Ok(())
    }

    /// After a restart of the daemon: opens the passages of what runs.
    pub(super) async fn link_again(self: &Arc<Self>) -> Result<()> {
        let this = Arc::clone(self);
        blocking::run(move || {
            for container in this.registry.all() {
                if let Err(error) = this.open_passages(&container) {
                    tracing::warn!(container = %container.id, error = error.message(), "a container does not reach those that it is linked to");
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits for those that a container is linked to and that start with the daemon as it does, for a while.
    pub(super) async fn await_targets(&self, container: &Container) {
        let links = container.settings().links.clone();
        let all = async {
            for target in links.iter().filter_map(|link| self.registry.find(&link.target).ok()) {
                let stop = target.inner().stop;
                let starts = match target.settings().restart {
                    RestartPolicy::No => false,
                    RestartPolicy::Always => true,
                    RestartPolicy::UnlessStopped | RestartPolicy::OnFailure { .. } => {
                        stop != StoppedBy::User
                    }
                };
                if starts {
                    let mut watch = target.watch();
                    let before = watch.borrow().exits;
                    let is_decided = |progress: &Progress| {
                        // A start that fails counts as an end.
                        progress.rest == Rest::InUse
                            || progress.exits != before
                            || progress.presence == Presence::Removed
                    };
                    watch.wait_for(is_decided).await.ok();
                    // Whoever starts it holds this until it runs.
                    drop(target.verb.lock().await);
                }
            }
        };
        tokio::time::timeout(PATIENCE, all).await.ok();
    }
}

/// Where the other end of a link is; it has to run.
fn address_of(target: &Container, name: &str) -> Result<Ipv4Addr> {
    let found = {
        let inner = target.inner();
        matches!(inner.state, State::Running(_)).then(|| inner.endpoint.clone())
    };
    let endpoint = found.ok_or_else(|| {
        let target = target.name();
        EngineError::Conflict(format!(
            "Cannot link to a non running container: /{target} AS {name}"
        ))
    })?;
    endpoint.as_ref().and_then(on_default_bridge).ok_or_else(|| {
        EngineError::Conflict(format!(
            "Cannot link to /{}, as it does not belong to the default network",
            target.name()
        ))
    })
}

fn on_default_bridge(endpoint: &Endpoint) -> Option<Ipv4Addr> {
    let link = endpoint.link().filter(|_| endpoint.network_name == DEFAULT_NETWORK)?;
    Some(link.address.addr())
}

fn exposed(record: &ContainerRecord) -> Vec<Port> {
    parsed(record.config.exposed_ports.keys())
}

fn parsed<'a>(ports: impl Iterator<Item = &'a String>) -> Vec<Port> {
    ports.filter_map(|port| port.parse().ok()).collect()
}

/// Changes the `hosts` of a running container in its place: what is mounted is this file, not its name.
fn rewrite_hosts(folder: &Path, change: impl FnOnce(&str) -> String) -> Result<()> {
    let path = folder.join("hosts");
    let failed = |action: &'static str| EngineError::io(action, &path);
    let mut file = File::options().read(true).write(true).open(&path).map_err(failed("open"))?;
    let mut before = Vec::new();
    let read = (&file).take(LARGEST_HOSTS + 1).read_to_end(&mut before);
    if read.map_err(failed("read"))? as u64 > LARGEST_HOSTS {
        return Err(invalid(format!("{} is too large to be changed", path.display())));
    }
    let Ok(before) = String::from_utf8(before) else {
        return Err(invalid(format!("{} is no text", path.display())));
    };
    let after = change(&before);
    if after == before {
        return Ok(());
    }
    // In this order nobody sees an empty one.
    file.rewind()
        .and_then(|()| file.write_all(after.as_bytes()))
        .and_then(|()| file.set_len(after.len() as u64))
        .map_err(failed("write"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_mounted_file_is_changed_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, "1.2.3.4\tlong-name\n").unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        rewrite_hosts(folder.path(), |text| text.replace("long-name", "x")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1.2.3.4\tx\n");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    }

    #[test]
    fn what_a_container_has_made_of_its_file_is_not_taken_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        File::create(&path).unwrap().set_len(LARGEST_HOSTS + 1).unwrap();
        rewrite_hosts(folder.path(), |_| "x".to_owned()).unwrap_err();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LARGEST_HOSTS + 1);
        std::fs::write(&path, b"\xff").unwrap();
        rewrite_hosts(folder.path(), |_| "x".to_owned()).unwrap_err();
    }
}
