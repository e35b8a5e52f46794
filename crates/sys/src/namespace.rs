//! Making and joining namespaces.
//!
//! A namespace is changed on a thread of its own that ends afterwards ([`on_own_thread`]), never on one that runs other
//! work later: a pool thread left in a container's network would serve the next request from there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::UnmountFlags;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use crate::mount::{self, Attributes, Change, Filesystem, Reach};

/// A set of namespace kinds, as the kernel's `CLONE_NEW…` bits.
pub use rustix::thread::ThreadNameSpaceType as Kinds;

/// What a container has of its own: all but the user and the time namespace. (`Kinds::all()` has every bit set,
/// those without a name too.)
pub const CONTAINER: Kinds = Kinds::MOUNT
    .union(Kinds::HOST_NAME_AND_NIS_DOMAIN_NAME)
    .union(Kinds::INTER_PROCESS_COMMUNICATION)
    .union(Kinds::PROCESS_ID)
    .union(Kinds::NETWORK)
    .union(Kinds::CONTROL_GROUP);

/// Runs `work` on a new thread and hands back what it made; a panic of it goes on in the caller.
pub fn on_own_thread<T, F>(work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("namespace".to_owned())
            .stack_size(256 * 1024)
            .spawn_scoped(scope, work)?;
        thread.join().map_or_else(|cause| std::panic::resume_unwind(cause), Ok)
    })
}

/// A new network namespace that nobody lives in yet; it exists as long as the descriptor (or a mount of it) does.
pub fn make_netns() -> io::Result<OwnedFd> {
    on_own_thread(|| {
        unshare(Kinds::NETWORK)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty())?)
    })?
}

/// Runs `work` (which may open sockets that stay there) inside a network namespace.
pub fn in_netns<T, F>(netns: impl AsFd, work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    let netns = netns.as_fd();
    on_own_thread(move || {
        join(netns, Kinds::NETWORK)?;
        Ok(work())
    })?
}

/// A new mount namespace that holds one empty file system and nothing of the host; it exists as long as the descriptor. A
/// copy of it costs nothing, where a copy of the host's costs the more the more is mounted there.
///
/// An error where no devices can be made: who makes a container there shows it the host's.
pub fn make_bare_mounts() -> io::Result<OwnedFd> {
    on_own_thread(|| {
        unshare(Kinds::MOUNT)?;
        let trial = Filesystem::open("tmpfs")?.create(Attributes::empty())?;
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(&trial, "null", FileType::CharacterDevice, Mode::RUSR, null)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::openat(CWD, "/proc/thread-self/ns/mnt", flags, Mode::empty())?;
        let root = Path::new("/");
        // Nothing that happens to the host's mounts happens here, and the other way round.
        mount::change_at(CWD, root, Reach::Tree, Change::PRIVATE)?;
        let attributes = Attributes::MOUNT_ATTR_RDONLY
            | Attributes::MOUNT_ATTR_NOSUID
            | Attributes::MOUNT_ATTR_NODEV
            | Attributes::MOUNT_ATTR_NOEXEC;
        let empty = Filesystem::open("tmpfs")?;
        // Its root is all that it may have, also if somebody with the rights to makes it writable.
        empty.set("nr_inodes", "1")?;
        let empty = empty.create(attributes)?;
        mount::attach_at(&empty, CWD, root)?;
        rustix::process::fchdir(&empty)?;
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        Ok(namespace)
    })?
}

/// Moves the calling thread into the namespace behind `fd`, or into those of `kinds` of the process when `fd` is a
/// pidfd (Linux 5.8). The pid namespace is the one of later children, not of the caller.
pub fn join(fd: impl AsFd, kinds: ThreadNameSpaceType) -> io::Result<()> {
    Ok(rustix::thread::move_into_thread_name_spaces(fd.as_fd(), kinds)?)
}

/// Moves the calling thread into new namespaces of these kinds.
pub fn unshare(kinds: ThreadNameSpaceType) -> io::Result<()> {
    let flags = UnshareFlags::from_bits_retain(kinds.bits());
    // SAFETY: what makes unshare(2) unsafe is CLONE_FILES, which takes descriptors away from other threads;
    // `Kinds` has names for namespaces only, and a foreign bit is masked out here.
    let result = unsafe { rustix::thread::unshare_unsafe(flags - UnshareFlags::FILES) };
    Ok(result?)
}

/// The root of the mount namespace that a process (a pidfd) lives in, whatever that process took for its own root. It is
/// for looking up (`O_PATH`), and what is mounted below it is there as long as the namespace is.
pub fn root_of(pidfd: impl AsFd) -> io::Result<OwnedFd> {
    let pidfd = pidfd.as_fd();
    on_own_thread(move || {
        // SAFETY: CLONE_FS gives this thread a root and a working folder of its own, without which setns(2) refuses;
        // what makes unshare(2) unsafe is CLONE_FILES.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
        join(pidfd, Kinds::MOUNT)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, "/", flags, Mode::empty())?)
    })?
}

/// Runs `work` on a new thread that has this working folder: relative names there are shorter than any absolute ones.
/// The rest of the process stays where it is.
pub fn in_folder<T, F>(folder: impl AsFd, work: F) -> io::Result<T>
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    let folder = folder.as_fd();
    on_own_thread(move || {
        // SAFETY: CLONE_FS gives this thread a working folder of its own; what makes unshare(2) unsafe is CLONE_FILES.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
        rustix::process::fchdir(folder)?;
        Ok(work())
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> std::path::PathBuf {
        std::fs::read_link("/proc/thread-self/ns/net").unwrap()
    }

    #[test]
    fn a_new_network_has_only_loopback_and_the_caller_stays_where_it_was() {
        let before = own();
        let netns = make_netns().unwrap();
        let (there, links) = in_netns(&netns, || {
            let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            (own(), text.lines().skip(2).count())
        })
        .unwrap();
        assert_ne!(there, before);
        assert_eq!(links, 1);
        assert_eq!(own(), before);
    }

    #[test]
    fn bare_mounts_are_one_file_system_that_nobody_can_write_to() {
        let before = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let bare = make_bare_mounts().unwrap();
        let inside = on_own_thread(|| {
            let proc = Filesystem::open("proc").unwrap().create(Attributes::empty()).unwrap();
            unshare(Kinds::MOUNT).unwrap();
            join(&bare, Kinds::MOUNT).unwrap();
            assert_eq!(std::fs::read_dir("/").unwrap().count(), 0);
            assert!(std::fs::create_dir("/x").is_err());
            let text = rustix::fs::openat(
                proc,
                "thread-self/mountinfo",
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            io::read_to_string(std::fs::File::from(text.unwrap())).unwrap()
        })
        .unwrap();
        assert_eq!(inside.lines().count(), 1, "{inside}");
        assert_eq!(std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap(), before);
    }

    #[test]
    fn the_root_of_a_namespace_is_not_that_of_its_process() {
        let mut child = std::process::Command::new("/usr/sbin/chroot")
            .args(["/usr", "bin/busybox", "cat"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It answers, so it has changed its root.
        io::Write::write_all(child.stdin.as_mut().unwrap(), b"x").unwrap();
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let process = crate::pidfd::open(child.id().try_into().unwrap()).unwrap();
        let root = rustix::fs::fstat(root_of(process).unwrap()).unwrap();
        let (host, usr) = (rustix::fs::stat("/").unwrap(), rustix::fs::stat("/usr").unwrap());
        drop(child.stdin.take());
        assert_eq!((root.st_dev, root.st_ino), (host.st_dev, host.st_ino));
        assert_ne!((root.st_dev, root.st_ino), (usr.st_dev, usr.st_ino));
        child.wait().unwrap();
    }

    #[test]
    fn a_working_folder_is_the_threads_own() {
        let before = std::env::current_dir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(folder.path()).unwrap();
        in_folder(&fd, || std::fs::write("here", "x")).unwrap().unwrap();
        assert!(folder.path().join("here").exists());
        assert_eq!(std::env::current_dir().unwrap(), before);
    }
}
