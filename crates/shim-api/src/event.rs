//! What the shim tells without being asked, to every connection that sent `Subscribe`.

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The container's first process is gone; `exit.json` is on disk, and what the process had
    /// written is in the log. Output may still be on its way to slow clients, and others who hold
    /// its pipes may still write: the end of the connection says that all is done.
    Exit(Exit),
    /// A process started by `Exec` is gone; its output may still be on its way.
    ExecExit {
        /// The exec's id.
        exec_id: String,
        /// How it ended.
        exit: Exit,
    },
    /// The kernel killed a process of the container for want of memory. The container may go on.
    /// Noticed when the first process, an exec or an orphan ends; it comes before the event of that
    /// end.
    Oom,
}
