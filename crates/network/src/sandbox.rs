//! A sandbox: the network namespace that a container's interfaces live in.
//!
//! Making one takes the kernel longer than filling it, so some are kept ready ([`crate::spares`]). Each comes with a
//! netlink socket that was opened inside: work in the namespace then needs no thread that enters it. A namespace lives
//! as long as a process is in it or a descriptor is open: a sandbox is dropped once its container runs.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use barge_netlink::{Family, Socket, link};
use barge_sys::namespace::{self, Kinds};
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{NetworkError, Result};

/// What the calling thread's namespace is found under.
const OWN: &str = "/proc/thread-self/ns/net";
/// What a new interface of the namespace starts with.
const DEFAULT_IPV6: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

/// A network namespace and a way to speak to the kernel inside of it.
#[derive(Debug)]
pub struct Sandbox {
    netns: OwnedFd,
    pub(crate) socket: Mutex<Socket>,
}

impl Sandbox {
    /// A new namespace whose loopback interface is on, and whose later interfaces have no IPv6, as Docker leaves them.
    pub(crate) fn create() -> Result<Self> {
        run(|| {
            namespace::unshare(Kinds::NETWORK).map_err(NetworkError::io("make", Path::new(OWN)))?;
            match std::fs::write(DEFAULT_IPV6, "1") {
                // A kernel without IPv6 has nothing to switch off.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(NetworkError::io("write", Path::new(DEFAULT_IPV6))(error));
                }
                Ok(()) | Err(_) => {}
            }
            let netns =
                rustix::fs::openat(CWD, OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(NetworkError::errno("open", Path::new(OWN)))?;
            let mut socket = open_socket()?;
            socket
                .send(&[link::up(LOOPBACK)])
                .map_err(NetworkError::netlink("switch on a loopback interface"))?;
            Ok(Self { netns, socket: Mutex::new(socket) })
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
        Ok(Self { netns, socket: Mutex::new(socket) })
    }

    /// The namespace, to be handed to the container.
    #[must_use]
    pub fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }
}

fn open_socket() -> Result<Socket> {
    Socket::open(Family::Route).map_err(NetworkError::netlink("work in a network namespace"))
}

/// A thread that has changed its namespace ends with it.
fn run<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    namespace::on_own_thread(work).map_err(NetworkError::io("start a thread in", Path::new(OWN)))?
}
