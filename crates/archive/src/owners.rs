//! Owners that are others outside than an archive says: of a tree that a user namespace sees with its own ids.

use std::fmt;

use crate::error::{ArchiveError, Result};
use crate::tar::Header;

/// What a user and a group are on the other side, if they are anybody there.
pub type OwnerOf<'a> = dyn Fn((u32, u32)) -> Option<(u32, u32)> + Sync + 'a;

/// A way to change owners.
#[derive(Clone, Copy)]
pub struct Owners<'a>(pub &'a OwnerOf<'a>);

impl fmt::Debug for Owners<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Owners")
    }
}

impl Owners<'_> {
    /// Changes the owner that an entry names.
    pub(crate) fn apply(self, header: &mut Header) -> Result<()> {
        let numbers = u32::try_from(header.uid).ok().zip(u32::try_from(header.gid).ok());
        let (uid, gid) = numbers.and_then(self.0).ok_or_else(|| {
            let text = format!("no such owner: {}:{}", header.uid, header.gid);
            ArchiveError::entry(&header.path, text)
        })?;
        (header.uid, header.gid) = (uid.into(), gid.into());
        Ok(())
    }
}
