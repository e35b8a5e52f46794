//! What the kernel's part of a container takes: nothing is left out that makes it a container, and nothing else is in.
//!
//! One `clone3` with every namespace and the exec of a static program (ours), which mounts the overlay, `/proc`, `/dev`
//! and `/sys`, makes it its root and executes `true`; with a network, a veth with one end on a bridge besides, made while
//! nothing else happens. The second exec is a container's too: barge-runtime is the first.

use std::ffi::CString;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use barge_netlink::{Family, Socket, address, link, route};
use barge_sys::mount::{self, Attributes, Filesystem};
use barge_sys::namespace::{self, Kinds};
use barge_sys::spawn::{Cgroup, SpawnOptions, spawn};
use barge_sys::{exe, pidfd};
use rustix::fs::{CWD, Mode, OFlags};

/// The argument that makes this program the one inside.
pub(crate) const INSIDE: &str = "floor-inside";

const BRIDGE: &str = "floor0";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 233, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 233, 0, 2);

/// Everything that is there before the first measurement.
#[derive(Debug)]
pub(crate) struct Floor {
    program: OwnedFd,
    folder: PathBuf,
    bridge: u32,
    socket: Socket,
}

impl Floor {
    pub(crate) fn prepare(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("floor");
        for place in ["lower/bin", "lower/proc", "lower/dev", "lower/sys", "merged"] {
            fs::create_dir_all(folder.join(place))?;
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
        let busybox = busybox.iter().find(|path| path.exists()).context("there is no busybox")?;
        fs::copy(busybox, folder.join("lower/bin/true"))?;
        let mut socket = Socket::open(Family::Route)?;
        socket.send(&[link::create_bridge(BRIDGE, [2, 0, 0, 0, 0, 1], None)])?;
        let bridge = link::by_name(&mut socket, BRIDGE)?.context("the bridge is gone")?.index;
        socket.send(&[add_address(bridge, GATEWAY)])?;
        let program = exe::open_read_only(Path::new("/proc/self/exe"))?;
        Ok(Self { program, folder, bridge, socket })
    }

    /// One container without a network.
    pub(crate) fn alone(&self) -> anyhow::Result<Duration> {
        self.run(None)
    }

    /// One container with a veth, an address and a default route.
    pub(crate) fn bridged(&mut self) -> anyhow::Result<Duration> {
        let before = Instant::now();
        let netns = namespace::make_netns()?;
        let veth = link::Veth {
            name: "floorveth",
            peer: "eth0",
            peer_mac: Some([2, 0, 0, 0, 0, 2]),
            is_up: true,
            netns: netns.as_fd(),
            master: Some(self.bridge),
            mtu: None,
        };
        self.socket.send(&[link::create_veth(&veth)])?;
        namespace::in_netns(&netns, || -> anyhow::Result<()> {
            let mut socket = Socket::open(Family::Route)?;
            let eth0 = link::by_name(&mut socket, "eth0")?.context("the veth has no peer")?.index;
            let route = route::Route::default_through(GATEWAY.into(), eth0);
            Ok(socket.send(&[add_address(eth0, ADDRESS), link::up(eth0), route::add(&route)])?)
        })??;
        self.run(Some(&netns))?;
        let time = before.elapsed();
        drop(netns);
        // The namespace takes the pair with it, in its own time; the next one needs the name.
        if let Err(error) = self.socket.send(&[link::delete_by_name("floorveth")])
            && !error.is_absent()
        {
            return Err(error.into());
        }
        Ok(time)
    }

    fn run(&self, netns: Option<&OwnedFd>) -> anyhow::Result<Duration> {
        for name in ["upper", "work"] {
            let place = self.folder.join(name);
            // A fresh container layer each time, and it is no part of what is measured.
            fs::remove_dir_all(&place).ok();
            fs::create_dir(&place)?;
        }
        let folder = CString::new(self.folder.as_os_str().as_encoded_bytes())?;
        let arguments = [c"barge-bench".to_owned(), CString::new(INSIDE)?, folder];
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let join = netns.map(|netns| (netns.as_fd(), Kinds::NETWORK));
        let namespaces = match netns {
            Some(_) => namespace::CONTAINER - Kinds::NETWORK,
            None => namespace::CONTAINER,
        };
        let before = Instant::now();
        let child = spawn(&SpawnOptions {
            program: self.program.as_fd(),
            arguments: &arguments,
            environment: &[],
            namespaces,
            join: join.as_slice(),
            user_maps: None,
            cgroup: Cgroup::Inherit,
            fds: &[null.as_fd(), null.as_fd(), rustix::stdio::stderr()],
        })?;
        let exit = pidfd::wait(&child.pidfd)?;
        let time = before.elapsed();
        if exit.shell_code() != 0 {
            bail!("the process inside failed: {exit:?}");
        }
        Ok(time)
    }
}

fn add_address(index: u32, own: Ipv4Addr) -> barge_netlink::Request {
    address::add(&address::Address { link: index, address: own.into(), prefix: 24 })
}

/// Inside: returns only when it fails.
pub(crate) fn inside(folder: &Path) -> anyhow::Result<()> {
    let private = mount::Propagation::PRIVATE | mount::Propagation::REC;
    rustix::mount::mount_change("/", private)?;
    let overlay = Filesystem::open("overlay")?;
    overlay.set("lowerdir", folder.join("lower"))?;
    overlay.set("upperdir", folder.join("upper"))?;
    overlay.set("workdir", folder.join("work"))?;
    let root = overlay.create(Attributes::empty())?;
    mount::attach_at(&root, CWD, &folder.join("merged"))?;
    for (kind, place) in [("proc", "proc"), ("tmpfs", "dev"), ("sysfs", "sys")] {
        let tree = Filesystem::open(kind)?.create(Attributes::empty())?;
        mount::attach_at(&tree, &root, Path::new(place))?;
    }
    rustix::process::fchdir(&root)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Err(barge_sys::exec::execve(c"/bin/true", &[c"true".to_owned()], &[]).into())
}
