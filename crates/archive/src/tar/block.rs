//! One header block: where its fields are.

use std::ops::Range;

use super::BLOCK;

pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const CHECKSUM: Range<usize> = 148..156;
pub(super) const FLAG: usize = 156;
pub(super) const LINK: Range<usize> = 157..257;
pub(super) const MAGIC: Range<usize> = 257..265;
pub(super) const USER: Range<usize> = 265..297;
pub(super) const GROUP: Range<usize> = 297..329;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;
pub(super) const PREFIX: Range<usize> = 345..500;
/// Old GNU sparse: four (offset, length) pairs, whether more follow, the size with holes.
pub(super) const SPARSE: Range<usize> = 386..482;
pub(super) const SPARSE_MORE: usize = 482;
pub(super) const SPARSE_SIZE: Range<usize> = 483..495;
/// The same in an extension block: 21 pairs.
pub(super) const EXTRA_SPARSE: Range<usize> = 0..504;
pub(super) const EXTRA_MORE: usize = 504;

/// What [`MAGIC`] holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Before POSIX: no magic, no prefix.
    V7,
    /// `ustar\0` and `00`.
    Ustar,
    /// `ustar  \0`.
    Gnu,
}

/// 512 bytes with names for their parts.
#[derive(Clone)]
pub(super) struct Block(pub(super) [u8; BLOCK]);

impl Block {
    pub(super) fn zero() -> Self {
        Self([0; BLOCK])
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    pub(super) fn field(&self, range: Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    pub(super) fn field_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        self.0.get_mut(range).unwrap_or_default()
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// A field up to its first NUL.
    pub(super) fn text(&self, range: Range<usize>) -> &[u8] {
        let field = self.field(range);
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        field.get(..end).unwrap_or_default()
    }

    pub(super) fn format(&self) -> Format {
        match self.field(MAGIC) {
            b"ustar  \0" => Format::Gnu,
            // Some writers leave the version out: POSIX readers accept it.
            [b'u', b's', b't', b'a', b'r', 0, ..] => Format::Ustar,
            _ => Format::V7,
        }
    }

    /// The sums of all bytes, the checksum's own taken as spaces: unsigned as POSIX says, signed as some old tars did.
    fn sums(&self) -> (i64, i64) {
        let mut unsigned = 0;
        let mut signed = 0;
        for (at, byte) in self.0.iter().enumerate() {
            let byte = if CHECKSUM.contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        (unsigned, signed)
    }

    pub(super) fn has_right_checksum(&self) -> bool {
        let (unsigned, signed) = self.sums();
        super::number::parse(self.field(CHECKSUM))
            .is_some_and(|sum| sum == unsigned || sum == signed)
    }

    /// Six digits, a NUL and a space: what everybody writes.
    pub(super) fn set_checksum(&mut self) {
        let text = format!("{:06o}\0 ", self.sums().0);
        for (to, from) in self.field_mut(CHECKSUM).iter_mut().zip(text.bytes()) {
            *to = from;
        }
    }

    /// Copies as much of `value` as fits.
    pub(super) fn set_text(&mut self, range: Range<usize>, value: &[u8]) {
        for (to, from) in self.field_mut(range).iter_mut().zip(value) {
            *to = *from;
        }
    }
}
