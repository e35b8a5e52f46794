//! Files with holes: which parts of them the archive stores.

/// A part of a file that is stored; between parts the file is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// Checks a map: in order, not overlapping, inside the file, as long as what is stored.
pub(super) fn check(map: &[Segment], size: u64, stored: u64) -> Result<(), &'static str> {
    let mut end = 0;
    let mut sum = 0u64;
    for segment in map {
        if segment.offset < end {
            return Err("sparse map out of order");
        }
        end = segment.offset.checked_add(segment.length).ok_or("sparse map beyond all files")?;
        sum = sum.checked_add(segment.length).ok_or("sparse map beyond all files")?;
    }
    if end > size {
        return Err("sparse map beyond the end of the file");
    }
    if sum != stored {
        return Err("sparse map does not fit the stored size");
    }
    Ok(())
}
