//! `none`: output goes to attached streams only.

use std::collections::BTreeMap;

use crate::driver::{LogDriver, Message};
use crate::error::LogError;

/// The driver `none`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Nothing {
    pub(crate) const NAME: &'static str = "none";

    /// `none` takes any option, as in Docker: people set `max-size` for every container in
    /// `daemon.json`.
    pub(crate) fn check(_options: &BTreeMap<String, String>) -> Result<(), LogError> {
        Ok(())
    }
}

impl LogDriver for Nothing {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn log(&mut self, _message: &Message<'_>) {}

    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}
