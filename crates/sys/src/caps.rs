//! Capabilities of the calling thread.

use std::io;
use std::str::FromStr;

use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::check;

/// Names by number, as in linux/capability.h (Linux 5.9 and later know these 41).
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(u8);

impl Capability {
    /// Every capability that has a name here.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(NAMES.len()).map(Self)
    }

    /// The kernel's name: `CAP_CHOWN`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// A name that is no capability.
#[derive(Debug, thiserror::Error)]
#[error("unknown capability {0:?}")]
pub struct UnknownCapability(String);

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// Takes `CAP_CHOWN`, exactly.
    fn from_str(text: &str) -> Result<Self, UnknownCapability> {
        Self::all()
            .find(|capability| capability.name() == text)
            .ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(pub u64);

impl Set {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// The set of these names.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownCapability> {
        names.into_iter().map(str::parse).collect()
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.0) != 0
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<Capability> for Set {
    fn from_iter<T: IntoIterator<Item = Capability>>(capabilities: T) -> Self {
        Self(capabilities.into_iter().fold(0, |bits, capability| bits | 1 << capability.0))
    }
}

/// The three sets that `capset` knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// What is checked against.
    pub effective: Set,
    /// What may be made effective.
    pub permitted: Set,
    /// What survives an exec of a program that asks for it.
    pub inheritable: Set,
}

/// The sets of the calling thread.
pub fn get() -> io::Result<Sets> {
    let sets = rustix::thread::capabilities(None)?;
    Ok(Sets {
        effective: Set(sets.effective.bits()),
        permitted: Set(sets.permitted.bits()),
        inheritable: Set(sets.inheritable.bits()),
    })
}

/// Gives the calling thread these sets.
pub fn set(sets: Sets) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(sets.effective.0),
        permitted: CapabilitySet::from_bits_retain(sets.permitted.0),
        inheritable: CapabilitySet::from_bits_retain(sets.inheritable.0),
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Takes everything but `keep` out of the bounding set, also capabilities that only a newer kernel knows.
pub fn bound(keep: Set) -> io::Result<()> {
    for number in 0..64_u32 {
        if keep.0 & (1 << number) != 0 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, number, 0) {
            Ok(()) => {}
            // The first number that the kernel does not know (capabilities(7)).
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the ambient set exactly this; each of it must be permitted and inheritable.
pub fn set_ambient(wanted: Set) -> io::Result<()> {
    let option = libc::PR_CAP_AMBIENT;
    prctl(option, libc::PR_CAP_AMBIENT_CLEAR_ALL.cast_unsigned(), 0)?;
    for capability in Capability::all().filter(|capability| wanted.contains(*capability)) {
        let raise = libc::PR_CAP_AMBIENT_RAISE.cast_unsigned();
        prctl(option, raise, u32::from(capability.0))?;
    }
    Ok(())
}

/// Keeps the permitted set when all user ids change from 0 to others.
pub fn keep_over_setuid() -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(true)?)
}

fn prctl(option: i32, second: u32, third: u32) -> io::Result<()> {
    let (second, third) = (libc::c_ulong::from(second), libc::c_ulong::from(third));
    let zero: libc::c_ulong = 0;
    // SAFETY: the two options used here (PR_CAPBSET_DROP, PR_CAP_AMBIENT) take numbers only, no memory.
    let result = unsafe { libc::prctl(option, second, third, zero, zero) };
    check(result.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::on_own_thread;

    #[test]
    fn names_and_numbers_agree() {
        let set = Set::parse(["CAP_CHOWN", "CAP_SYS_ADMIN"]).unwrap();
        assert_eq!(set, Set(1 | 1 << 21));
        assert_eq!("CAP_CHECKPOINT_RESTORE".parse::<Capability>().unwrap(), Capability(40));
        assert!(Set::parse(["CAP_FLY"]).is_err());
    }

    #[test]
    fn a_thread_gives_up_what_it_does_not_keep() {
        on_own_thread(|| {
            let keep = Set::parse(["CAP_CHOWN", "CAP_KILL"]).unwrap();
            bound(keep).unwrap();
            set(Sets { effective: keep, permitted: keep, inheritable: Set::EMPTY }).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.contains("CapBnd:\t0000000000000021"), "{status}");
            assert!(status.contains("CapEff:\t0000000000000021"), "{status}");
            assert_eq!(get().unwrap().permitted, keep);
        })
        .unwrap();
    }
}
