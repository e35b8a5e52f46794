//! What the shim tells without being asked, to every connection that sent `Subscribe`.

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The container's first process is gone; `exit.json` is on disk. Its output may still be on its way to the
    /// attached streams and to the log: the end of the connection says that it is done.
    Exit(Exit),
    /// A process started by `Exec` is gone; its output may still be on its way.
    ExecExit {
        /// The exec's id.
        exec_id: String,
        /// How it ended.
        exit: Exit,
    },
    /// The kernel killed a process of the container for want of memory. The container may go on. Noticed when the
    /// first process, an exec or an orphan ends; it comes before the event of that end.
    Oom,
}
