//! A remote driver with a copy of what it sends, so that `logs` works with every driver (Docker's
//! dual logging).

use crate::driver::{Congestion, LogDriver};
use crate::drivers::Local;
use crate::error::LogError;
use crate::message::Message;

/// Two drivers of which the first gives the name.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) remote: Box<dyn LogDriver>,
    pub(crate) cache: Local,
}

impl LogDriver for Cached {
    fn name(&self) -> &'static str {
        self.remote.name()
    }

    fn log(&mut self, message: &Message<'_>) {
        self.cache.log(message);
        self.remote.log(message);
    }

    /// What the disk refuses goes to the remote all the same.
    fn flush(&mut self) -> Result<(), LogError> {
        let cached = self.cache.flush();
        self.remote.flush().and(cached)
    }

    fn congestion(&self) -> Option<Congestion<'_>> {
        self.remote.congestion()
    }

    fn woken(&mut self) {
        self.remote.woken();
    }

    fn close(&mut self) {
        self.remote.close();
        self.cache.close();
    }
}
