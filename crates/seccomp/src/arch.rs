//! Architectures: how the kernel names them to a filter, and the numbers their system calls have.

use barge_oci::runtime::SeccompArch;

use crate::{
    profile::NATIVE,
    tables::{NONE, TABLE},
};

/// Numbers of the x32 ABI are those above this bit.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// An architecture whose system calls are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    X8664,
    X86,
    X32,
    Aarch64,
}

/// How many of an argument's bits a program of the architecture can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Bits32,
    Bits64,
}

impl Arch {
    /// `None` for one that cannot run on the machines this crate knows, or is not in the tables.
    pub(crate) fn from_spec(arch: SeccompArch) -> Option<Self> {
        match arch {
            SeccompArch::Native => Self::from_spec(NATIVE),
            SeccompArch::X8664 => Some(Self::X8664),
            SeccompArch::X86 => Some(Self::X86),
            SeccompArch::X32 => Some(Self::X32),
            SeccompArch::Aarch64 => Some(Self::Aarch64),
            SeccompArch::Arm
            | SeccompArch::Mips
            | SeccompArch::Mips64
            | SeccompArch::Mips64n32
            | SeccompArch::Mipsel
            | SeccompArch::Mipsel64
            | SeccompArch::Mipsel64n32
            | SeccompArch::Ppc
            | SeccompArch::Ppc64
            | SeccompArch::Ppc64le
            | SeccompArch::S390
            | SeccompArch::S390x
            | SeccompArch::Parisc
            | SeccompArch::Parisc64
            | SeccompArch::Riscv64
            | SeccompArch::Loongarch64
            | SeccompArch::M68k
            | SeccompArch::Sh
            | SeccompArch::Sheb => None,
        }
    }

    /// `AUDIT_ARCH_…` (linux/audit.h); x32 calls carry that of x86-64.
    pub(crate) fn audit(self) -> u32 {
        match self {
            Self::X8664 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    pub(crate) fn width(self) -> Width {
        match self {
            Self::X86 => Width::Bits32,
            Self::X8664 | Self::X32 | Self::Aarch64 => Width::Bits64,
        }
    }

    /// The number a filter sees for a call; `None` when the architecture does not have it.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        let row = TABLE.binary_search_by_key(&name, |row| row.0).ok()?;
        let (_, x86_64, x86, x32, aarch64) = TABLE[row];
        let (number, bit) = match self {
            Self::X8664 => (x86_64, 0),
            Self::X86 => (x86, 0),
            Self::X32 => (x32, X32_BIT),
            Self::Aarch64 => (aarch64, 0),
        };
        (number != NONE).then(|| u32::from(number) | bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_name() {
        assert!(TABLE.is_sorted_by(|left, right| left.0 < right.0));
    }

    #[test]
    fn numbers_differ_by_architecture() {
        assert_eq!(Arch::X8664.number("openat2"), Some(437));
        assert_eq!(Arch::X86.number("openat2"), Some(437));
        assert_eq!(Arch::X8664.number("read"), Some(0));
        assert_eq!(Arch::X86.number("read"), Some(3));
        assert_eq!(Arch::Aarch64.number("read"), Some(63));
        assert_eq!(Arch::X32.number("ioctl"), Some(X32_BIT | 514));
        assert_eq!(Arch::X8664.number("socketcall"), None);
        assert_eq!(Arch::X8664.number("no_such_call"), None);
    }

    #[test]
    fn numbers_of_one_architecture_are_used_once() {
        for arch in [Arch::X8664, Arch::X86, Arch::X32, Arch::Aarch64] {
            let mut numbers: Vec<u32> = TABLE.iter().filter_map(|row| arch.number(row.0)).collect();
            numbers.sort_unstable();
            assert!(numbers.is_sorted_by(|left, right| left < right), "{arch:?}");
        }
    }
}
