//! The few calls of bpf(2) that the device controller of cgroup v2 needs: load, list, attach and detach one kind of
//! program. No maps, no other program types.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use crate::check;

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
/// Programs of the groups above and others of this group go on counting.
const ALLOW_MULTI: u32 = 2;
/// The kernel attaches at most 64 programs to one group (`BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

/// `union bpf_attr` for `BPF_PROG_LOAD`, up to what this crate uses; the kernel reads the rest as zero.
#[repr(C)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// For `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attach {
    target: RawFd,
    program: RawFd,
    attach_type: u32,
    flags: u32,
}

/// For `BPF_PROG_QUERY`.
#[repr(C)]
struct Query {
    target: RawFd,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// For `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

/// Attributes that point at nothing but what their maker keeps alive.
///
/// # Safety
/// `repr(C)` with the layout of the kernel's `union bpf_attr`, without implicit padding, and every pointer in it is
/// good for the number of bytes that the count beside it gives, for as long as the value lives.
unsafe trait Attributes {}
// SAFETY: as above; `load_device_program` keeps instructions and licence alive across the call.
unsafe impl Attributes for Load {}
// SAFETY: no pointers.
unsafe impl Attributes for Attach {}
// SAFETY: `device_programs` keeps the array of ids alive across the call.
unsafe impl Attributes for Query {}
// SAFETY: no pointers.
unsafe impl Attributes for ById {}

fn bpf<T: Attributes>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads and, for a query, writes `size_of::<T>()` bytes behind an exclusive reference; what the
    // attributes point at is good by the contract of `Attributes`.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    check(result)
}

fn new_descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let raw =
        RawFd::try_from(result).map_err(|_too_large| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel just made this descriptor (close-on-exec, as all of bpf's are) and gave it to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Loads a `BPF_PROG_TYPE_CGROUP_DEVICE` program. The kernel's verifier refuses what could loop or read elsewhere.
pub fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    let count = u32::try_from(instructions.len())
        .map_err(|_too_long| io::Error::from_raw_os_error(libc::E2BIG))?;
    let license = c"Apache-2.0";
    let mut attributes = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        count,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    new_descriptor(bpf(PROG_LOAD, &mut attributes)?)
}

/// Attaches a device program to the group whose directory is `group`, beside those that are there: an access is
/// allowed when all of them allow it.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = Attach {
        target: group.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROG_ATTACH, &mut attributes).map(drop)
}

/// Takes a device program away from a group.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = Attach {
        target: group.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        flags: 0,
    };
    bpf(PROG_DETACH, &mut attributes).map(drop)
}

/// The device programs of a group itself, without those of the groups above.
pub fn device_programs(group: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MOST_PROGRAMS];
    let mut query = Query {
        target: group.as_raw_fd(),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: 64,
        padding: 0,
    };
    bpf(PROG_QUERY, &mut query)?;
    let mut programs = Vec::new();
    for &id in ids.iter().take(query.count as usize) {
        let mut attributes = ById { id, next: 0, flags: 0 };
        match bpf(PROG_GET_FD_BY_ID, &mut attributes) {
            Ok(descriptor) => programs.push(new_descriptor(descriptor)?),
            // Detached and gone since the query.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_takes_a_program_and_refuses_nonsense() {
        // mov32 r0, 1; exit
        let allow_all = [0x0000_0001_0000_00b4, 0x95];
        let refused = |result: io::Result<OwnedFd>| result.unwrap_err().raw_os_error();
        match load_device_program(&allow_all) {
            Ok(_program) => {}
            // A kernel without CONFIG_CGROUP_BPF has no such program type.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        }
        assert!(refused(load_device_program(&[0x95])).is_some(), "no result was set");
    }
}
