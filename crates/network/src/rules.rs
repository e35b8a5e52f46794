//! The rules that should be there, and the backend that keeps them so.
//!
//! What should be there is remembered, so that a table that someone else removed (`nft flush ruleset`, a restart of the
//! distribution's firewall) is there again, complete, with the next port that is published.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use barge_firewall::{FirewallBackend, NetworkRules, Passage, Publication, Ruleset};

use crate::error::{NetworkError, Result};

/// All rules of one daemon.
#[derive(Debug)]
pub(crate) struct Rules {
    backend: Box<dyn FirewallBackend>,
    wanted: Mutex<Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    networks: Vec<NetworkRules>,
    ports: HashSet<Publication>,
    passages: HashSet<Passage>,
}

impl Wanted {
    fn to_ruleset(&self) -> Ruleset {
        Ruleset {
            networks: self.networks.clone(),
            ports: self.ports.iter().copied().collect(),
            passages: self.passages.iter().copied().collect(),
        }
    }
}

impl Rules {
    pub(crate) fn new(backend: Box<dyn FirewallBackend>) -> Self {
        Self { backend, wanted: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the rules exactly these.
    pub(crate) fn replace(
        &self,
        networks: Vec<NetworkRules>,
        ports: Vec<Publication>,
    ) -> Result<()> {
        let mut wanted = self.lock();
        *wanted = Wanted { networks, ports: ports.into_iter().collect(), passages: HashSet::new() };
        self.backend
            .replace(&wanted.to_ruleset())
            .map_err(NetworkError::firewall("set up the firewall"))
    }

    /// Publishes ports.
    pub(crate) fn publish(&self, ports: &[Publication]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        let mut wanted = self.lock();
        wanted.ports.extend(ports);
        let done = match self.backend.publish(ports) {
            Err(error) if error.is_absent() => self.backend.replace(&wanted.to_ruleset()),
            done => done,
        };
        if done.is_err() {
            wanted.ports.retain(|port| !ports.contains(port));
        }
        done.map_err(NetworkError::firewall("publish ports"))
    }

    /// Withdraws ports.
    pub(crate) fn withdraw(&self, ports: &[Publication]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        let mut wanted = self.lock();
        for port in ports {
            wanted.ports.remove(port);
        }
        self.backend.withdraw(ports).map_err(NetworkError::firewall("withdraw ports"))
    }

    /// Lets one container reach ports of another.
    pub(crate) fn admit(&self, passages: &[Passage]) -> Result<()> {
        let mut wanted = self.lock();
        let new: Vec<Passage> = passages
            .iter()
            .filter(|passage| !wanted.passages.contains(*passage))
            .copied()
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        wanted.passages.extend(&new);
        let done = match self.backend.admit(&new) {
            Err(error) if error.is_absent() => self.backend.replace(&wanted.to_ruleset()),
            done => done,
        };
        if done.is_err() {
            wanted.passages.retain(|passage| !new.contains(passage));
        }
        done.map_err(NetworkError::firewall("let linked containers reach each other"))
    }

    /// Closes the passages from one container to another.
    pub(crate) fn shut(&self, from: Ipv4Addr, to: Ipv4Addr) -> Result<()> {
        self.shut_where(|passage| passage.from == from && passage.to == to)
    }

    /// Closes the passages from and to a container.
    pub(crate) fn shut_all_of(&self, address: Ipv4Addr) -> Result<()> {
        self.shut_where(|passage| passage.from == address || passage.to == address)
    }

    fn shut_where(&self, is_shut: impl Fn(&Passage) -> bool) -> Result<()> {
        let mut wanted = self.lock();
        let gone: Vec<Passage> =
            wanted.passages.iter().filter(|passage| is_shut(passage)).copied().collect();
        if gone.is_empty() {
            return Ok(());
        }
        wanted.passages.retain(|passage| !gone.contains(passage));
        self.backend.shut(&gone).map_err(NetworkError::firewall("keep containers apart again"))
    }

    /// Removes everything.
    pub(crate) fn clear(&self) -> Result<()> {
        *self.lock() = Wanted::default();
        self.backend.clear().map_err(NetworkError::firewall("remove the firewall's rules"))
    }

    /// Whether anybody redirects packets.
    pub(crate) fn are_written(&self) -> bool {
        self.backend.name() != "none"
    }
}
