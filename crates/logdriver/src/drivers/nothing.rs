//! `none`: output goes to attached streams only.

use crate::driver::LogDriver;
use crate::error::LogError;
use crate::message::Message;

/// The driver `none`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Nothing {
    pub(crate) const NAME: &'static str = "none";
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
