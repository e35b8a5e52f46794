//! Trying again after a failure that may pass, with pauses that double, and telling about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::RetryPolicy;
use crate::error::{RegistryError, Result};

/// Something that happens on the way and that a person wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Comes once each second until it is tried again.
    Retrying {
        /// Seconds left, at least 1.
        in_seconds: u64,
        /// Why the last try failed.
        cause: String,
    },
}

/// Is told what happens.
#[derive(Clone)]
pub struct Notices(Option<Arc<dyn Fn(Notice) + Send + Sync>>);

impl Notices {
    /// Tells `listener`, which must not block.
    pub fn new(listener: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Tells nobody.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    fn tell(&self, notice: Notice) {
        if let Some(listener) = &self.0 {
            listener(notice);
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notices").field(&self.0.is_some()).finish()
    }
}

/// The tries of one operation.
pub(crate) struct Retrying {
    policy: RetryPolicy,
    notices: Notices,
    made: u32,
}

impl Retrying {
    pub(crate) const fn new(policy: RetryPolicy, notices: Notices) -> Self {
        Self { policy, notices, made: 0 }
    }

    /// Something was achieved: the next failure is the first again.
    pub(crate) const fn progressed(&mut self) {
        self.made = 0;
    }

    /// Waits until it may be tried again, or gives the error back.
    pub(crate) async fn after(&mut self, error: RegistryError) -> Result<()> {
        if !error.is_transient() || self.made >= self.policy.retries {
            return Err(error);
        }
        self.made += 1;
        let pause = match error.retry_after() {
            Some(asked) => asked.min(self.policy.longest_retry_after),
            None => self.policy.pause(self.made),
        };
        let cause = error.chain();
        tracing::debug!(cause, ?pause, retry = self.made, "trying again");
        let second = Duration::from_secs(1);
        let mut left = pause;
        loop {
            let in_seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            self.notices
                .tell(Notice::Retrying { in_seconds: in_seconds.max(1), cause: cause.clone() });
            let step = left.min(second);
            tokio::time::sleep(step).await;
            left -= step;
            if left.is_zero() {
                return Ok(());
            }
        }
    }
}
