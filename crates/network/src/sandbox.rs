//! A sandbox: the network namespace that a container's interfaces live in.
//!
//! Making one takes the kernel longer than filling it, so some are kept ready ([`spares`]). Each comes with a
//! netlink socket that was opened inside: work in the namespace then needs no thread that enters it. A namespace lives
//! as long as a process is in it or a descriptor is open: a sandbox is dropped once its container runs.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use barge_netlink::{Family, Socket, link};
use barge_sys::namespace::{self, Kinds};
use barge_sys::spares::Spares;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::config::InterfaceName;
use crate::error::{NetworkError, Result};

/// What the calling thread's namespace is found under.
const OWN: &str = "/proc/thread-self/ns/net";
/// What a new interface of the namespace starts with, below a proc file system.
const DEFAULT_IPV6: &str = "sys/net/ipv6/conf/default/disable_ipv6";
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

/// A network namespace and a way to speak to the kernel inside of it.
#[derive(Debug)]
pub struct Sandbox {
    netns: OwnedFd,
    pub(crate) socket: Mutex<Socket>,
    /// A pair of interfaces that waits to be used.
    pub(crate) pair: Option<Pair>,
    /// The namespace's own `/sys`. The container's mount finds it among the newest; making one, the kernel looks at that of
    /// every other container first.
    #[expect(dead_code, reason = "it is there as long as this is open")]
    sysfs: Option<OwnedFd>,
}

/// A pair of interfaces that was made ahead: switched off, without addresses, the host's end a port of its bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    /// The host's end.
    pub(crate) host: InterfaceName,
    /// Its number.
    pub(crate) host_index: u32,
    /// The number of the end inside.
    pub(crate) inside_index: u32,
}

impl Sandbox {
    /// A new namespace whose loopback interface is on, and whose later interfaces have no IPv6, as Docker leaves them.
    pub(crate) fn create() -> Result<Self> {
        run(|| {
            namespace::unshare(Kinds::NETWORK).map_err(NetworkError::io("make", Path::new(OWN)))?;
            let netns = own()?;
            disable_ipv6()?;
            let socket = Mutex::new(begin()?);
            Ok(Self { netns, socket, pair: None, sysfs: file_system("sysfs").ok() })
        })
    }

    /// The sandbox of a namespace that exists already.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn adopt(netns: OwnedFd) -> Result<Self> {
        let socket = run(|| {
            namespace::join(&netns, Kinds::NETWORK)
                .map_err(NetworkError::io("enter", Path::new(OWN)))?;
            open_socket()
        })?;
        Ok(Self { netns, socket: Mutex::new(socket), pair: None, sysfs: None })
    }

    /// The sandbox of a process (a pidfd) that has a network namespace of its own, which nobody has touched. Whether later
    /// interfaces have IPv6 is the process's to set, and was when it set the rest.
    ///
    /// # Errors
    /// When the process is gone, or the namespace cannot be entered.
    pub fn of_process(process: BorrowedFd<'_>) -> Result<Self> {
        run(|| {
            namespace::join(process, Kinds::NETWORK)
                .map_err(NetworkError::io("enter", Path::new(OWN)))?;
            Ok(Self { netns: own()?, socket: Mutex::new(begin()?), pair: None, sysfs: None })
        })
    }

    /// The namespace, to be handed to the container.
    #[must_use]
    pub fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }
}

/// Sandboxes made ahead: bare ones, and for each bridge some with a pair of interfaces.
pub(crate) fn spares(
    target: usize,
    mut make: impl FnMut() -> Result<Sandbox> + Send + 'static,
) -> Result<Spares<Sandbox>> {
    Spares::start("sandboxes", target, move || make().ok())
        .map_err(NetworkError::io("start the thread", Path::new("sandboxes")))
}

/// The thread's namespace.
fn own() -> Result<OwnedFd> {
    rustix::fs::openat(CWD, OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(NetworkError::errno("open", Path::new(OWN)))
}

/// A socket in the thread's new namespace, whose loopback interface is on then.
fn begin() -> Result<Socket> {
    let mut socket = open_socket()?;
    socket
        .send(&[link::up(LOOPBACK)])
        .map_err(NetworkError::netlink("switch on a loopback interface"))?;
    Ok(socket)
}

fn open_socket() -> Result<Socket> {
    Socket::open(Family::Route).map_err(NetworkError::netlink("work in a network namespace"))
}

/// A thread that has changed its namespace ends with it.
fn run<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    namespace::on_own_thread(work).map_err(NetworkError::io("start a thread in", Path::new(OWN)))?
}

/// Switches IPv6 off for what is made later in the thread's namespace.
///
/// Through a proc file system of its own: the host's remembers each namespace's `net/…` under the same names, and
/// finding one's own among those of 500 containers takes longer than making the namespace.
fn disable_ipv6() -> Result<()> {
    let path = Path::new(DEFAULT_IPV6);
    let open = |proc: BorrowedFd<'_>| {
        rustix::fs::openat(proc, DEFAULT_IPV6, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    };
    let opened = private_proc().and_then(|proc| open(proc.as_fd()));
    match opened {
        Ok(file) => {
            rustix::io::write(&file, b"1").map(drop).map_err(NetworkError::errno("write", path))
        }
        // A kernel without IPv6 has nothing to switch off.
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(NetworkError::errno("open", path)(error)),
    }
}

/// A file system of the thread's namespaces, without a mount: there is nothing to be taken down when it is closed.
fn file_system(kind: &str) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    Ok(context)
}

fn private_proc() -> rustix::io::Result<OwnedFd> {
    let context = file_system("proc")?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}
