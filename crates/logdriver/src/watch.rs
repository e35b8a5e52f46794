//! Tells when a log may have grown or been rotated, by inotify(7).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::error::LogError;

/// Readable (poll(2), `AsyncFd`) when something happened in the log's folder. Make it before
/// reading to the end, or what is written in between is noticed only with the next line.
#[derive(Debug)]
pub struct Watch {
    inotify: File,
    path: PathBuf,
}

impl Watch {
    /// Watches the folder of a log, so that a rotation does not end it.
    pub fn new(log: &Path) -> Result<Self, LogError> {
        let folder = log.parent().unwrap_or(Path::new("."));
        let error = || LogError::io("watch", folder);
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| error()(io::Error::from(errno)))?;
        let flags =
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, folder, flags)
            .map_err(|errno| error()(io::Error::from(errno)))?;
        Ok(Self { inotify: File::from(inotify), path: folder.to_owned() })
    }

    /// Takes what happened so far; afterwards the descriptor becomes readable with the next change.
    /// Call it before reading on, not after.
    pub fn drain(&self) -> Result<(), LogError> {
        let mut buffer = [0; 4096];
        loop {
            match (&self.inotify).read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LogError::io("watch", &self.path)(error)),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
