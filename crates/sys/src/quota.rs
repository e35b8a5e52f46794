//! Project quotas: an upper bound for everything below a folder, on xfs and on ext4.
//!
//! A project is a number that files carry; new files inherit it from their folder. The file system counts what each
//! number uses and refuses what is beyond its limit (ext4: `-O quota,project` and the mount option `prjquota`; xfs:
//! `pquota`). Who has `CAP_SYS_RESOURCE` may exceed ext4's limits: the host's root and privileged containers, but no other.
//! Bytes here, blocks of 512 in the kernel.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;

use crate::check;

/// `PRJQUOTA`, linux/quota.h.
const PROJECTS: libc::c_int = 2;
/// `Q_XGETQUOTA`, `Q_XSETQLIM` and `Q_XGETQSTATV`, linux/dqblk_xfs.h.
const GET: libc::c_int = 0x5803;
const SET_LIMIT: libc::c_int = 0x5804;
const GET_STATE: libc::c_int = 0x5808;
/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR`, linux/fs.h.
const GET_ATTRIBUTES: libc::c_ulong = 0x801c_581f;
const SET_ATTRIBUTES: libc::c_ulong = 0x401c_5820;
/// `FS_XFLAG_PROJINHERIT`.
const INHERIT: u32 = 0x200;
/// `FS_DQ_BSOFT | FS_DQ_BHARD`.
const BLOCK_LIMITS: u16 = 0b1100;
/// `FS_QUOTA_PDQ_ENFD`.
const IS_ENFORCED: u16 = 1 << 5;
const BLOCK: u64 = 512;

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `struct fs_disk_quota` of linux/dqblk_xfs.h.
#[repr(C)]
#[derive(Default)]
struct DiskQuota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    blocks_hard: u64,
    blocks_soft: u64,
    inodes_hard: u64,
    inodes_soft: u64,
    blocks: u64,
    inodes: u64,
    timers_and_warnings: [u32; 4],
    realtime: [u64; 4],
    padding: u64,
}

/// What a project may use and uses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Upper bound; 0 for none.
    pub limit: u64,
    /// What is used.
    pub used: u64,
}

/// The project that a file or folder belongs to; 0 is everybody's.
pub fn project(file: impl AsFd) -> io::Result<u32> {
    Ok(attributes(&file)?.project)
}

/// Gives an empty folder to a project; what is made in it belongs there too.
pub fn set_project(folder: impl AsFd, project: u32) -> io::Result<()> {
    let mut attributes = attributes(&folder)?;
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: FS_IOC_FSSETXATTR reads one `struct fsxattr`, whose layout `Attributes` has; it lives until the call
    // returns. The descriptor is borrowed, therefore open.
    let result =
        unsafe { libc::ioctl(folder.as_fd().as_raw_fd(), SET_ATTRIBUTES, &raw const attributes) };
    check(result.into()).map(drop)
}

fn attributes(file: impl AsFd) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: FS_IOC_FSGETXATTR writes one `struct fsxattr`, whose layout `Attributes` has; it lives until the call
    // returns. The descriptor is borrowed, therefore open.
    let result =
        unsafe { libc::ioctl(file.as_fd().as_raw_fd(), GET_ATTRIBUTES, &raw mut attributes) };
    check(result.into())?;
    Ok(attributes)
}

/// A file system with quotas, named by a folder on it.
#[derive(Debug)]
pub struct Quotas<F> {
    folder: F,
    /// Its device, where the kernel has no `quotactl_fd` (before Linux 5.14).
    device: Option<std::ffi::CString>,
}

impl<F: AsFd> Quotas<F> {
    /// The file system of `folder`. Before Linux 5.14 its block device is needed too: any node of it.
    pub fn new(folder: F, device: Option<&Path>) -> io::Result<Self> {
        let device = device.map(|path| {
            std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::from)
        });
        Ok(Self { folder, device: device.transpose()? })
    }

    /// Whether limits of projects hold here.
    pub fn are_enforced(&self) -> io::Result<bool> {
        // `struct fs_quota_statv` has 160 bytes; version 1, and the flags are the second 16 bits.
        let mut state = [0_u64; 32];
        state[0] = u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0]);
        self.call(GET_STATE, 0, state.as_mut_ptr().cast())?;
        let [_, _, low, high, ..] = state[0].to_ne_bytes();
        Ok(u16::from_ne_bytes([low, high]) & IS_ENFORCED != 0)
    }

    /// Sets a project's upper bound in bytes, rounded up to blocks; 0 takes it away.
    pub fn set_limit(&self, project: u32, bytes: u64) -> io::Result<()> {
        let blocks = bytes.div_ceil(BLOCK);
        let mut quota = DiskQuota {
            version: 1,
            flags: 2,
            fields: BLOCK_LIMITS,
            id: project,
            blocks_hard: blocks,
            blocks_soft: blocks,
            ..DiskQuota::default()
        };
        self.call(SET_LIMIT, project, (&raw mut quota).cast())
    }

    /// What a project may use and uses. One that was never heard of uses nothing.
    pub fn usage(&self, project: u32) -> io::Result<Usage> {
        let mut quota = DiskQuota::default();
        match self.call(GET, project, (&raw mut quota).cast()) {
            Ok(()) => Ok(Usage { limit: quota.blocks_hard * BLOCK, used: quota.blocks * BLOCK }),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(Usage { limit: 0, used: 0 })
            }
            Err(error) => Err(error),
        }
    }

    /// `address` is that of a struct that belongs to `command`, alive and writable.
    fn call(
        &self,
        command: libc::c_int,
        project: u32,
        address: *mut libc::c_void,
    ) -> io::Result<()> {
        let command = (command << 8) | PROJECTS;
        let Some(device) = &self.device else {
            let folder = self.folder.as_fd().as_raw_fd();
            // SAFETY: quotactl_fd(2) reads or writes the struct of its command at `address`: the callers above give
            // one of that layout (the state's is longer), alive until the call returns. The descriptor is borrowed.
            let result =
                unsafe { libc::syscall(libc::SYS_quotactl_fd, folder, command, project, address) };
            return check(result).map(drop);
        };
        let device: &CStr = device;
        // SAFETY: as above, and quotactl(2) reads a C string that lives until it returns.
        let result = unsafe {
            libc::syscall(libc::SYS_quotactl, command, device.as_ptr(), project, address)
        };
        check(result).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_are_as_long_as_the_kernels() {
        assert_eq!((size_of::<Attributes>(), size_of::<DiskQuota>()), (28, 112));
    }

    #[test]
    fn a_file_system_without_quotas_says_so() {
        let folder = std::fs::File::open("/proc").unwrap();
        project(&folder).unwrap_err();
        let quotas = Quotas::new(&folder, None).unwrap();
        quotas.are_enforced().unwrap_err();
        quotas.set_limit(7, 1 << 20).unwrap_err();
    }
}
