//! What a test was at when it failed: for tests that do the same in many places.

/// Says so when the test fails before this is dropped.
#[derive(Debug)]
pub struct Context(String);

impl Context {
    /// From here on.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was {}", self.0);
        }
    }
}
