//! The exit status of a container, on disk before anyone is told.

use std::path::Path;
use std::time::SystemTime;

use barge_shim_api::{EXIT_FILE, Exit, ExitRecord, UnixTime};
use barge_sys::durable::{self, Durability};
use barge_sys::pidfd;

use crate::error::ShimError;

/// How a process ended, as it is told to clients.
pub(crate) fn exit_of(status: pidfd::Exit) -> Exit {
    let signal = match status {
        pidfd::Exit::Code(_) => None,
        pidfd::Exit::Signal(signal) => u8::try_from(signal).ok(),
    };
    Exit {
        // Codes are a byte, and signals less than 128.
        code: u8::try_from(status.shell_code()).unwrap_or(u8::MAX),
        signal,
        oom_killed: false,
        at: UnixTime::from(SystemTime::now()),
    }
}

/// Writes `exit.json`, which is whole whenever it is there. The folder does not survive a reboot,
/// and so there is nothing to wait for the disk for.
pub(crate) fn record(state_dir: &Path, record: &ExitRecord) -> Result<(), ShimError> {
    let path = state_dir.join(EXIT_FILE);
    let text = serde_json::to_vec(record).map_err(|source| ShimError::Record { source })?;
    durable::write(&path, &text, Durability::Lazy).map_err(ShimError::io("write", &path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_signal_is_told_with_its_number() {
        let exit = exit_of(pidfd::Exit::Signal(9));
        assert_eq!((exit.code, exit.signal), (137, Some(9)));
        let exit = exit_of(pidfd::Exit::Code(3));
        assert_eq!((exit.code, exit.signal), (3, None));
    }

    #[test]
    fn a_record_replaces_the_one_before_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = ExitRecord {
            version: ExitRecord::VERSION,
            id: "c".to_owned(),
            pid: 7,
            started_at: None,
            exit: exit_of(pidfd::Exit::Code(1)),
        };
        record(folder.path(), &written).unwrap();
        written.pid = 8;
        record(folder.path(), &written).unwrap();
        let text = fs::read_to_string(folder.path().join(EXIT_FILE)).unwrap();
        assert_eq!(serde_json::from_str::<ExitRecord>(&text).unwrap(), written);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
