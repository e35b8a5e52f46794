//! One host for the tests of a subject: it lives as long as one of them uses it.
//!
//! A test program has no last line where a host could be removed, so the last user removes it; the next one starts
//! another.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{HostOptions, TestHost};

/// The place where tests find their common host: a `static` of their module.
#[derive(Debug)]
pub struct Sharing {
    host: Mutex<Weak<TestHost>>,
}

impl Sharing {
    /// Without a host.
    #[must_use]
    pub const fn new() -> Self {
        Self { host: Mutex::new(Weak::new()) }
    }

    /// The host that is there, or a new one, with the image `busybox`.
    #[must_use]
    pub fn host(&self) -> SharedHost {
        let mut place = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = place.upgrade() {
            return SharedHost(host);
        }
        let host = Arc::new(TestHost::with(HostOptions::default()));
        host.busybox();
        *place = Arc::downgrade(&host);
        SharedHost(host)
    }
}

impl Default for Sharing {
    fn default() -> Self {
        Self::new()
    }
}

/// A host that other tests use too: no restart, no assertion about all containers.
#[derive(Debug)]
pub struct SharedHost(Arc<TestHost>);

impl Deref for SharedHost {
    type Target = TestHost;

    fn deref(&self) -> &TestHost {
        &self.0
    }
}

impl Drop for SharedHost {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}
