//! Where a file has data and where it has none.

use std::fs::File;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::tar::Segment;

/// The parts of a file that are not holes.
pub(crate) fn stored_parts(file: &File, size: u64) -> rustix::io::Result<Vec<Segment>> {
    let mut map = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(offset) => offset,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(offset))?.min(size);
        if offset >= end {
            break;
        }
        map.push(Segment { offset, length: end - offset });
        at = end;
    }
    Ok(map)
}
