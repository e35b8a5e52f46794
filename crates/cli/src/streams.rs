//! Standard output and error: the one place that writes to them.

use std::fmt::Display;
use std::io::{self, Write as _};

use crate::error::{CliError, Result};

/// The process's own streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams;

impl Streams {
    /// Writes text as it is, in one go where possible.
    pub(crate) fn write(self, text: impl AsRef<[u8]>) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref())
            .and_then(|()| out.flush())
            .map_err(CliError::stdio("write to standard output"))
    }

    /// Writes a line.
    pub(crate) fn line(self, text: impl Display) -> Result<()> {
        self.write(format!("{text}\n"))
    }

    /// Writes a line for the person at the terminal.
    pub(crate) fn note(self, text: impl Display) {
        self.aside(format!("{text}\n"));
    }

    /// Writes text for the person at the terminal as it is.
    pub(crate) fn aside(self, text: impl AsRef<[u8]>) {
        // Nobody is left to be told when standard error is gone.
        io::stderr().write_all(text.as_ref()).ok();
    }
}
