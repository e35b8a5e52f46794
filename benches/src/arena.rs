//! The place the measurements happen in: namespaces that nobody else uses and folders that are removed.
//!
//! `cargo xtask bench` starts us as process 1 of new pid, mount and network namespaces: whatever we start ends with us,
//! whatever it mounts and every link, address and rule it makes goes with the namespaces.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use barge_netlink::{Family, Socket, link};
use barge_sys::mount::{Attributes, Filesystem};
use rustix::fs::{CWD, Mode, OFlags};

/// Where things are.
#[derive(Debug)]
pub(crate) struct Arena {
    /// On a real disk; removed by who started us.
    pub(crate) folder: PathBuf,
    /// The barge programs to be measured.
    pub(crate) programs: PathBuf,
}

/// Below it are the cgroups of all containers of barge and docker; removed by who started us.
pub(crate) const CGROUP: &str = "barge-bench";

impl Arena {
    pub(crate) fn enter(folder: PathBuf, programs: PathBuf) -> anyhow::Result<Self> {
        if std::process::id() != 1 {
            bail!("this is a part of `cargo xtask bench`, which gives it namespaces of its own");
        }
        for place in ["/run", "/dev/shm", "/var/lib/cni"] {
            // Without the folder, nobody has anything in it to be kept away from.
            if fs::exists(place)? {
                tmpfs(place).with_context(|| format!("cannot mount a tmpfs on {place}"))?;
            }
        }
        // crun 1.8 refuses hosts with both versions of cgroups mounted.
        let unified = "/sys/fs/cgroup/unified";
        if fs::exists(unified)? {
            rustix::mount::unmount(unified, rustix::mount::UnmountFlags::DETACH)?;
        }
        let mut socket = Socket::open(Family::Route)?;
        let lo = link::by_name(&mut socket, "lo")?.context("there is no loopback interface")?;
        socket.send(&[link::up(lo.index)])?;
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, programs })
    }
}

fn tmpfs(place: &str) -> anyhow::Result<()> {
    let filesystem = Filesystem::open("tmpfs")?;
    let mount = filesystem.create(Attributes::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let target = rustix::fs::openat(CWD, place, flags, Mode::empty())?;
    Ok(barge_sys::mount::attach(mount, target)?)
}
