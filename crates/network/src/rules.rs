//! The rules that should be there, and the backend that keeps them so.
//!
//! What should be there is remembered, so that a table that someone else removed (`nft flush ruleset`, a restart of the
//! distribution's firewall) is there again, complete, with the next port that is published.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use barge_firewall::{FirewallBackend, NetworkRules, Publication, Ruleset};

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
}

impl Wanted {
    fn to_ruleset(&self) -> Ruleset {
        Ruleset { networks: self.networks.clone(), ports: self.ports.iter().copied().collect() }
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
        *wanted = Wanted { networks, ports: ports.into_iter().collect() };
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
