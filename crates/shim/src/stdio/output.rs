//! One output of a process, on its way to the log.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::SystemTime;

use barge_logdriver::{Copier, LogDriver, Stream};
use barge_shim_api::UnixTime;
use rustix::io::Errno;

/// One output of a process.
#[derive(Debug)]
pub(crate) struct Output {
    fd: Option<Rc<OwnedFd>>,
    copier: Copier,
    stream: Stream,
}

impl Output {
    pub(crate) fn new(fd: Rc<OwnedFd>, stream: Stream) -> Self {
        Self { fd: Some(fd), copier: Copier::new(stream), stream }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(|fd| fd.as_fd())
    }

    pub(crate) fn stream(&self) -> Stream {
        self.stream
    }

    /// Reads what there is and logs it. None when there is nothing (yet, or any more).
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        log: &mut Option<Box<dyn LogDriver>>,
    ) -> Option<usize> {
        let fd = self.fd.as_ref()?;
        match rustix::io::read(fd, &mut *scratch) {
            Ok(length) if length > 0 => {
                if let Some(log) = log {
                    self.copier.copy(&scratch[..length], now(), &mut **log);
                    flush(&mut **log);
                }
                Some(length)
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            // EIO is how a terminal says that nobody has its other end open.
            Ok(_) | Err(_) => {
                self.close(log);
                None
            }
        }
    }

    /// Ends it, and logs a last line without an end.
    pub(crate) fn close(&mut self, log: &mut Option<Box<dyn LogDriver>>) {
        if self.fd.take().is_some()
            && let Some(log) = log
        {
            self.copier.finish(now(), &mut **log);
            flush(&mut **log);
        }
    }
}

fn now() -> i64 {
    UnixTime::from(SystemTime::now()).0
}

/// A log that cannot be written (a full disk) must not stop the container, and there is nobody to
/// tell: the driver has dropped these lines and tries again with the next.
fn flush(log: &mut dyn LogDriver) {
    log.flush().ok();
}
