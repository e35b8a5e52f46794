//! No backend: the administrator writes the rules (`--iptables=false`).

use crate::backend::{FirewallBackend, Passage, Publication, Ruleset};
use crate::error::Result;

/// Writes no rules. Containers are reached and reach out by what routes and rules the host has of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct None;

impl FirewallBackend for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn replace(&self, _rules: &Ruleset) -> Result<()> {
        Ok(())
    }

    fn publish(&self, _ports: &[Publication]) -> Result<()> {
        Ok(())
    }

    fn withdraw(&self, _ports: &[Publication]) -> Result<()> {
        Ok(())
    }

    fn admit(&self, _passages: &[Passage]) -> Result<()> {
        Ok(())
    }

    fn shut(&self, _passages: &[Passage]) -> Result<()> {
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        Ok(())
    }
}
