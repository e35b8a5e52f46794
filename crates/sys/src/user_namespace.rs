//! User namespaces that nobody lives in, for mounts with other owners ([`crate::mount::map_ids`]); acting as an owner of
//! theirs; and mounts that root of one cannot undo.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use crate::spawn::{IdMap, UserMaps, write_maps};
use crate::stand_in::{self, StandIn};
use crate::{caps, check};

/// A new user namespace with these maps; it exists as long as the descriptor does, or a mount that uses it.
pub fn make(maps: &UserMaps) -> io::Result<OwnedFd> {
    let holder = StandIn::make(libc::CLONE_NEWUSER, || Ok(()))?;
    write_maps(holder.pid(), maps).map_err(|error| error.source)?;
    holder.namespace("user")
}

/// The user namespace of a process.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    stand_in::open(pid, "user")
}

/// A copy of the mount namespace of a process (a pidfd) in a user namespace of its own, for it to move to: of what is
/// mounted there, its root can neither take anything away nor make it more than it is (writable, …).
///
/// The kernel locks what a mount namespace takes over from one of other users (mount_namespaces(7), "Restrictions on mount
/// namespaces"), so the copy is made by way of one that is ours.
pub fn lock_mounts(process: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let process = process.as_raw_fd();
    let holder = StandIn::make(0, || {
        // SAFETY: prctl(2) with PR_SET_DUMPABLE takes numbers only. Nobody in there is to look into a copy of us.
        check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }.into())?;
        for kind in [libc::CLONE_NEWNS, libc::CLONE_NEWUSER] {
            // SAFETY: setns(2) takes numbers only.
            check(unsafe { libc::setns(process, kind) }.into())?;
            // SAFETY: unshare(2) of mounts takes a number; this process has one thread and its own root folder.
            check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
        }
        Ok(())
    })?;
    holder.namespace("mnt")
}

/// The maps of the user namespace of a process; none when that is ours.
pub fn maps_of(pid: i32) -> io::Result<Option<UserMaps>> {
    let number = |process: &str| std::fs::metadata(format!("/proc/{process}/ns/user"));
    let [own, other] = [number("self")?, number(&pid.to_string())?];
    if (own.dev(), own.ino()) == (other.dev(), other.ino()) {
        return Ok(None);
    }
    let read = |file: &str| -> io::Result<Vec<IdMap>> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}"))?;
        Ok(text.lines().filter_map(parse_line).collect())
    };
    Ok(Some(UserMaps { uids: read("uid_map")?, gids: read("gid_map")? }))
}

/// `inside outside count`, as user_namespaces(7) shows it.
fn parse_line(line: &str) -> Option<IdMap> {
    let mut numbers = line.split_whitespace().map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    Some(IdMap { inside: next()?, outside: next()?, count: next()? })
}

impl UserMaps {
    /// User and group that root of the namespace is outside of it.
    #[must_use]
    pub fn root(&self) -> Option<(u32, u32)> {
        self.outside((0, 0))
    }

    /// What a user and a group of the namespace are outside of it, if both have an id there.
    #[must_use]
    pub fn outside(&self, (uid, gid): (u32, u32)) -> Option<(u32, u32)> {
        let find = |maps: &[IdMap], id: u32| {
            maps.iter().find_map(|map| {
                let at = id.checked_sub(map.inside).filter(|at| *at < map.count)?;
                map.outside.checked_add(at)
            })
        };
        Some((find(&self.uids, uid)?, find(&self.gids, gid)?))
    }

    /// What a user and a group outside are in the namespace: nobody when they have no id there, which is how the kernel
    /// shows them.
    #[must_use]
    pub fn inside(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        /// `/proc/sys/kernel/overflowuid`, unless somebody has changed it.
        const NOBODY: u32 = 65534;
        let find = |maps: &[IdMap], id: u32| {
            let found = maps.iter().find_map(|map| {
                let at = id.checked_sub(map.outside).filter(|at| *at < map.count)?;
                map.inside.checked_add(at)
            });
            found.unwrap_or(NOBODY)
        };
        (find(&self.uids, uid), find(&self.gids, gid))
    }
}

/// Runs `work` on a new thread whose new files belong to this user and group, and which has all rights that the caller
/// has. A mount that shows other owners takes new files of those only whom it knows (`EOVERFLOW` otherwise).
pub fn as_owner<T, F>((uid, gid): (u32, u32), work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    let act = move || {
        let before = caps::get()?;
        // SAFETY: setfsgid(2) takes a number and changes the calling thread alone.
        unsafe { libc::syscall(libc::SYS_setfsgid, gid) };
        // SAFETY: as above; it takes the rights over files away from the effective set.
        unsafe { libc::syscall(libc::SYS_setfsuid, uid) };
        caps::set(before)?;
        Ok(work())
    };
    // Not a small stack: archives are unpacked there.
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("owner".to_owned()).spawn_scoped(scope, act)?;
        thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    use rustix::fs::CWD;

    use crate::mount::{self, Reach};

    fn maps(outside: u32) -> UserMaps {
        let map = vec![IdMap { inside: 0, outside, count: 1000 }];
        UserMaps { uids: map.clone(), gids: map }
    }

    #[test]
    fn a_mount_shows_other_owners_and_stores_its_own() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("old"), "x").unwrap();
        std::os::unix::fs::chown(folder.path().join("old"), Some(5), Some(6)).unwrap();
        let namespace = make(&maps(200_000)).unwrap();
        let tree = mount::clone_tree(CWD, folder.path(), Reach::One).unwrap();
        mount::map_ids(&tree, namespace.as_fd())
            .expect("the file system of temporary folders can show other owners");
        // The mount keeps what it needs of it.
        drop(namespace);
        let path = std::path::PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd()));
        let old = std::fs::metadata(path.join("old")).unwrap();
        assert_eq!((old.uid(), old.gid()), (200_005, 200_006));
        let refused = std::fs::write(path.join("ours"), "x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EOVERFLOW));
        as_owner((200_007, 200_008), || std::fs::write(path.join("new"), "x")).unwrap().unwrap();
        let new = std::fs::metadata(folder.path().join("new")).unwrap();
        assert_eq!((new.uid(), new.gid()), (7, 8));
    }

    #[test]
    fn locked_mounts_stay_as_they_are_for_root_in_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path();
        let theirs = StandIn::make(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, || Ok(())).unwrap();
        write_maps(theirs.pid(), &maps(200_000)).unwrap();
        // Mounted in there, as root in there does it.
        let read_only = mount::clone_tree(CWD, target, Reach::One).unwrap();
        mount::change(&read_only, Reach::One, mount::Change::READ_ONLY).unwrap();
        let attempt = |namespace: &OwnedFd| {
            let user = theirs.namespace("user").unwrap();
            let path = std::ffi::CString::new(target.to_str().unwrap()).unwrap();
            let flags = libc::MS_REMOUNT | libc::MS_BIND;
            let steps = StandIn::make(0, || {
                for (fd, kind) in [(&user, libc::CLONE_NEWUSER), (namespace, libc::CLONE_NEWNS)] {
                    // SAFETY: setns(2) takes numbers only.
                    check(unsafe { libc::setns(fd.as_raw_fd(), kind) }.into())?;
                }
                let none = std::ptr::null();
                let (path, data) = (path.as_ptr(), std::ptr::null());
                // SAFETY: both paths are texts that end with NUL, made before; no other pointer is used here.
                check(unsafe { libc::mount(none, path, none, flags, data) }.into()).map(drop)
            });
            steps.map(drop).map_err(|error| error.raw_os_error())
        };
        let inside = theirs.namespace("mnt").unwrap();
        crate::namespace::on_own_thread(|| {
            // SAFETY: CLONE_FS gives this thread a root folder of its own, without which setns(2) refuses.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }.unwrap();
            crate::namespace::join(&inside, crate::namespace::Kinds::MOUNT).unwrap();
            mount::attach_at(&read_only, CWD, target).unwrap();
        })
        .unwrap();
        let locked = lock_mounts(theirs.process()).unwrap();
        assert_eq!(attempt(&locked), Err(Some(libc::EPERM)));
        assert_eq!(attempt(&inside), Ok(()));
    }

    #[test]
    fn the_maps_of_another_process_are_read_and_ours_are_none() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(maps_of(own).unwrap(), None);
        let line = parse_line("         0     100000      65536").unwrap();
        assert_eq!(line, IdMap { inside: 0, outside: 100_000, count: 65536 });
        assert_eq!(parse_line("0 1"), None);
    }

    #[test]
    fn an_owner_keeps_every_right() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "secret").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        let read = as_owner((200_000, 200_000), || std::fs::read(&file)).unwrap();
        assert_eq!(read.unwrap(), b"secret");
    }
}
