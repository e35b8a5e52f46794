//! Places where a crash is tried out: between any two steps that change what is on disk.
//!
//! In this crate's test program with `BARGE_STORAGE_FAULT=N` in its environment the N-th place aborts the process;
//! everywhere else the places are [`barge_sys::fault`]'s.

/// A place between two steps.
#[cfg(not(test))]
#[inline]
pub(crate) fn point() {
    barge_sys::fault::point("storage");
}

/// A place between two steps.
#[cfg(test)]
pub(crate) fn point() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    static PASSED: AtomicUsize = AtomicUsize::new(0);
    static ABORT_AT: LazyLock<Option<usize>> =
        LazyLock::new(|| std::env::var("BARGE_STORAGE_FAULT").ok()?.parse().ok());
    if Some(PASSED.fetch_add(1, Ordering::Relaxed)) == *ABORT_AT {
        std::process::abort();
    }
}
