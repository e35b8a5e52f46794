//! Installing a compiled seccomp filter. Compiling one is not done here.

use std::io;

use crate::check;

/// One instruction of classic BPF, as the kernel reads it (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Jump when true.
    pub jt: u8,
    /// Jump when false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

impl SockFilter {
    /// Reads a filter from its bytes as they are in memory on this machine.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Vec<Self>> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || chunks.is_empty() {
            let text = "a seccomp filter is a whole number of 8-byte instructions";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(chunks
            .iter()
            .map(|[c0, c1, jt, jf, k0, k1, k2, k3]| Self {
                code: u16::from_ne_bytes([*c0, *c1]),
                jt: *jt,
                jf: *jf,
                k: u32::from_ne_bytes([*k0, *k1, *k2, *k3]),
            })
            .collect())
    }
}

/// `struct sock_fprog`.
#[repr(C)]
struct SockFprog {
    length: u16,
    filter: *const SockFilter,
}

/// Installs `filter` for the calling thread and all that it executes, for good. `flags` are `SECCOMP_FILTER_FLAG_…`.
///
/// Needs `no_new_privs` or `CAP_SYS_ADMIN`; a filter the kernel does not accept is `EINVAL`.
pub fn install(filter: &[SockFilter], flags: u32) -> io::Result<()> {
    let length = u16::try_from(filter.len())
        .map_err(|_too_long| io::Error::from_raw_os_error(libc::EINVAL))?;
    // Flags that hand out a descriptor would leak it here.
    if flags & 8 != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let program = SockFprog { length, filter: filter.as_ptr() };
    // SAFETY: seccomp(2) reads one sock_fprog and `length` instructions behind its pointer; both outlive the call, and
    // the kernel checks the program before it accepts it.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    match check(result)? {
        0 => Ok(()),
        // With TSYNC: the thread that could not be brought along.
        _other => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::on_own_thread;

    #[test]
    fn a_filter_turns_a_call_into_an_error() {
        // load the call's number; getpriority → EPERM(1), else allow
        let number = u32::try_from(libc::SYS_getpriority).unwrap();
        let filter = [
            SockFilter { code: 0x20, jt: 0, jf: 0, k: 0 },
            SockFilter { code: 0x15, jt: 0, jf: 1, k: number },
            SockFilter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0001 },
            SockFilter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 },
        ];
        on_own_thread(|| {
            rustix::process::getpriority_process(None).unwrap();
            install(&filter, 0).unwrap();
            let error = rustix::process::getpriority_process(None).unwrap_err();
            assert_eq!(error, rustix::io::Errno::PERM);
        })
        .unwrap();
    }

    #[test]
    fn half_an_instruction_is_refused() {
        assert!(SockFilter::from_bytes(&[0; 12]).is_err());
        assert!(SockFilter::from_bytes(&[]).is_err());
        assert_eq!(SockFilter::from_bytes(&[6, 0, 0, 0, 0, 0, 0xff, 0x7f]).unwrap().len(), 1);
    }
}
