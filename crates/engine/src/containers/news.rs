//! What is told of a container, and of the networks and volumes that it takes and gives back: the words and attributes
//! are dockerd's.

use std::collections::BTreeMap;
use std::time::SystemTime;

use barge_network::Endpoint;

use super::Containers;
use super::container::Container;
use super::record::{Access, MountRecord};

impl Containers {
    /// Tells that `action` happened to a container.
    pub(super) fn tell(&self, container: &Container, action: &str) {
        self.tell_with(container, action, &[]);
    }

    /// The same with more to say than who it is.
    pub(super) fn tell_with(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        let mut attributes = container.attributes();
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.tell("container", action, container.id.as_str(), attributes);
    }

    /// Tells of what happened at `moment`, while no daemon was there.
    pub(super) fn tell_late(
        &self,
        container: &Container,
        (moment, action): (SystemTime, &str),
        more: &[(&str, String)],
    ) {
        let mut attributes = container.attributes();
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.tell_of(moment, ("container", action), container.id.as_str(), attributes);
    }

    /// Tells of one of its execs.
    pub(super) fn tell_exec(&self, container: &Container, action: &str, exec_id: &str) {
        self.tell_with(container, action, &[("execID", exec_id.to_owned())]);
    }

    /// Tells that a container got its place in a network, or gave it back.
    pub(super) fn tell_endpoint(&self, action: &str, endpoint: &Endpoint) {
        let facts = [
            ("container", endpoint.container.to_string()),
            ("name", endpoint.network_name.clone()),
            ("type", self.network.driver_of(endpoint).unwrap_or_default()),
        ];
        self.events.tell("network", action, endpoint.network.as_str(), attributes(facts));
    }

    /// Tells that a volume is mounted for a container.
    pub(super) fn tell_mount(&self, container: &Container, name: &str, mount: &MountRecord) {
        let facts = [
            ("container", container.id.to_string()),
            ("destination", mount.destination.clone()),
            ("driver", self.driver_of_volume(name)),
            ("propagation", mount.propagation.clone()),
            ("read/write", (mount.access == Access::ReadWrite).to_string()),
        ];
        self.events.tell("volume", "mount", name, attributes(facts));
    }

    /// Tells that a container has let go of a volume.
    pub(super) fn tell_unmount(&self, container: &Container, name: &str) {
        let driver = self.driver_of_volume(name);
        let facts = [("container", container.id.to_string()), ("driver", driver)];
        self.events.tell("volume", "unmount", name, attributes(facts));
    }

    /// Tells that a volume was made or removed for a container.
    pub(super) fn tell_volume(&self, action: &str, (name, driver): (&str, &str)) {
        self.events.tell("volume", action, name, attributes([("driver", driver.to_owned())]));
    }

    /// One that is gone had a driver all the same, and there is one alone.
    pub(super) fn driver_of_volume(&self, name: &str) -> String {
        self.volumes.get(name).map_or_else(|_| "local".to_owned(), |volume| volume.driver)
    }
}

fn attributes<const N: usize>(facts: [(&str, String); N]) -> BTreeMap<String, String> {
    facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
