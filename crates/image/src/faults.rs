//! Points at which a test makes the process "die": the call stops with an error and no clean-up
//! runs, which leaves the disk as `kill -9` would. Outside this crate's tests they are [`barge_sys::fault`]'s.

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "the test build's points fail")]
pub(crate) fn point(name: &'static str) -> std::io::Result<()> {
    barge_sys::fault::point(name);
    Ok(())
}

#[cfg(not(test))]
pub(crate) const fn is_dead() -> bool {
    false
}

#[cfg(test)]
pub(crate) use armed::{arm, is_dead, point, revive};

#[cfg(test)]
mod armed {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
        static DEAD: Cell<bool> = const { Cell::new(false) };
    }

    /// Lets `points` points pass and dies at the next.
    pub(crate) fn arm(points: usize) {
        LEFT.set(Some(points));
        DEAD.set(false);
    }

    /// A new process: returns whether the old one had died.
    pub(crate) fn revive() -> bool {
        LEFT.set(None);
        DEAD.replace(false)
    }

    pub(crate) fn is_dead() -> bool {
        DEAD.get()
    }

    pub(crate) fn point(name: &'static str) -> io::Result<()> {
        if DEAD.get() {
            return Err(io::Error::other("dead"));
        }
        match LEFT.get() {
            Some(0) => {
                DEAD.set(true);
                Err(io::Error::other(format!("killed at {name}")))
            }
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
