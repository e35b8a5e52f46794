//! The first process of a container, by its number and for sure.
//!
//! The number is what a shim told, and may mean another process by now: that one is in another cgroup, whose folder is named
//! after its own container.

use std::io;
use std::os::fd::OwnedFd;

use barge_sys::pidfd;
use rustix::io::Errno;

/// Looks at the process, as a pidfd; nothing when it has ended. Its number is its own as long as `work` runs, or what came
/// of that is not told.
pub(super) fn look<T>(
    pid: u32,
    container: &str,
    work: impl FnOnce(&OwnedFd) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let found = (|| {
        let process = pidfd::open(i32::try_from(pid).map_err(|_| Errno::SRCH)?)?;
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let found = work(&process)?;
        // The process that was there at the beginning and at the end is the same one in between.
        pidfd::send_signal(&process, 0)?;
        Ok(groups.contains(container).then_some(found))
    })();
    match found {
        // A zombie has no namespaces (EINVAL).
        Err(error) if is_gone(&error) => Ok(None),
        result => result,
    }
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::SRCH, Errno::INVAL, Errno::NOENT].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|number| gone.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_group_is_not_the_containers() {
        let own = std::process::id();
        assert_eq!(look(own, "of-no-group", |_| Ok(1)).unwrap(), None);
        assert_eq!(look(own, "", |_| Ok(1)).unwrap(), Some(1));
    }

    #[test]
    fn a_process_that_has_ended_is_none() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(look(child.id(), "", |_| Ok(1)).unwrap(), None);
    }
}
