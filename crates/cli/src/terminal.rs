//! The terminal: raw mode that is given back on every way out, and the window's size.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

/// The settings to give back, where a panic hook can find them: a release build aborts without
/// unwinding.
static COOKED: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode of standard input, for as long as this lives.
#[derive(Debug)]
pub(crate) struct RawMode(());

/// A window's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) height: u16,
    pub(crate) width: u16,
}

impl RawMode {
    /// Every key goes through as it is, also Ctrl-C.
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                next(panic);
            }));
        });
        let cooked = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = cooked.clone();
        raw.make_raw();
        *COOKED.lock().unwrap_or_else(PoisonError::into_inner) = Some(cooked);
        let entered = Self(());
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(entered)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let cooked = COOKED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(cooked) = cooked {
        // A terminal that is gone needs no settings.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &cooked).ok();
    }
}

/// Standard input byte by byte and without echo, for as long as this lives: a password is typed.
#[derive(Debug)]
pub(crate) struct Hidden(());

impl Hidden {
    /// What is typed is not shown; also Ctrl-C is a byte, so that nothing ends us before the
    /// terminal is given back.
    pub(crate) fn enter() -> io::Result<Self> {
        let cooked = tcgetattr(rustix::stdio::stdin())?;
        let mut hidden = cooked.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        *COOKED.lock().unwrap_or_else(PoisonError::into_inner) = Some(cooked);
        let entered = Self(());
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &hidden)?;
        Ok(entered)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    isatty(rustix::stdio::stdin())
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    isatty(rustix::stdio::stdout())
}

/// The window's size, when standard output is in one.
pub(crate) fn size() -> Option<Size> {
    size_of(rustix::stdio::stdout())
}

/// The window's size, when standard error is in one.
pub(crate) fn stderr_size() -> Option<Size> {
    size_of(rustix::stdio::stderr())
}

fn size_of(stream: BorrowedFd<'_>) -> Option<Size> {
    let size = tcgetwinsize(stream).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(Size { height: size.ws_row, width: size.ws_col })
}
