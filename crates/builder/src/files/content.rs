//! Bytes of one file: small ones by one read and one write, others by the kernel.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::Stat;

/// What is read and written faster than it takes to ask whether blocks can be shared.
const SMALL: i64 = 64 * 1024;

pub(super) fn copy(from: &File, to: &OwnedFd, stat: &Stat) -> io::Result<u64> {
    let mut to = File::from(to.try_clone()?);
    if stat.st_size > SMALL {
        return barge_sys::copy::file(from, &to);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or_default());
    from.take(stat.st_size.cast_unsigned()).read_to_end(&mut bytes)?;
    to.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}
