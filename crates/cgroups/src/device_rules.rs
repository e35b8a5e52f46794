//! Device rules as the v1 controller understands them: one default and a set of exceptions.
//!
//! Both drivers go through this table, so that a list of rules means the same on v1 (which gets the exceptions written)
//! and on v2 (which gets a program): a later rule changes what earlier ones said, and `a` starts over.

use std::collections::BTreeMap;

use barge_oci::runtime::LinuxDeviceCgroup;

use crate::error::{CgroupError, Result};

/// `BPF_DEVCG_ACC_MKNOD`, `…READ`, `…WRITE` (linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Access(pub(crate) u8);

impl Access {
    const MKNOD: u8 = 1;
    const READ: u8 = 2;
    const WRITE: u8 = 4;
    pub(crate) const ALL: Self = Self(7);

    fn parse(text: Option<&str>) -> Result<Self> {
        let mut bits = 0;
        for letter in text.unwrap_or("rwm").chars() {
            bits |= match letter {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'm' => Self::MKNOD,
                other => return Err(invalid(format!("unknown access {other:?}"))),
            };
        }
        // An empty text is no access at all, which no rule can mean: runc reads it as all.
        Ok(if bits == 0 { Self::ALL } else { Self(bits) })
    }

    pub(crate) fn letters(self) -> String {
        [(Self::READ, 'r'), (Self::WRITE, 'w'), (Self::MKNOD, 'm')]
            .into_iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .map(|(_, letter)| letter)
            .collect()
    }
}

/// Kind of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Block,
    Char,
}

/// What an exception is about; `None` is every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Device {
    pub(crate) kind: Kind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

/// What happens to a device without an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
}

/// The outcome of a list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceTable {
    pub(crate) default: Verdict,
    /// Access for which the other verdict holds.
    pub(crate) exceptions: BTreeMap<Device, Access>,
}

impl DeviceTable {
    /// Applies the rules in order to a table that denies everything.
    pub(crate) fn from_rules(rules: &[LinuxDeviceCgroup]) -> Result<Self> {
        let mut table = Self { default: Verdict::Deny, exceptions: BTreeMap::new() };
        for rule in rules {
            table.apply(rule)?;
        }
        Ok(table)
    }

    fn apply(&mut self, rule: &LinuxDeviceCgroup) -> Result<()> {
        let verdict = if rule.allow { Verdict::Allow } else { Verdict::Deny };
        let access = Access::parse(rule.access.as_deref())?;
        let (major, minor) = (number(rule.major)?, number(rule.minor)?);
        let kinds: &[Kind] = match rule.kind.as_deref() {
            None | Some("a" | "") => &[Kind::Block, Kind::Char],
            Some("b") => &[Kind::Block],
            Some("c" | "u") => &[Kind::Char],
            Some(other) => return Err(invalid(format!("unknown type {other:?}"))),
        };
        if kinds.len() == 2 && access == Access::ALL && major.is_none() && minor.is_none() {
            self.default = verdict;
            self.exceptions.clear();
            return Ok(());
        }
        for &kind in kinds {
            self.except(Device { kind, major, minor }, access, verdict);
        }
        Ok(())
    }

    fn except(&mut self, device: Device, access: Access, verdict: Verdict) {
        let present = self.exceptions.entry(device).or_insert(Access(0));
        if verdict == self.default {
            present.0 &= !access.0;
        } else {
            present.0 |= access.0;
        }
        if present.0 == 0 {
            self.exceptions.remove(&device);
        }
    }
}

fn number(number: Option<i64>) -> Result<Option<u32>> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .ok()
            .filter(|&number| i32::try_from(number).is_ok())
            .map(Some)
            .ok_or_else(|| invalid(format!("device number {number} is out of range"))),
    }
}

fn invalid(reason: String) -> CgroupError {
    CgroupError::Invalid { what: "device rule", reason }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `allow c 1:3 rwm`, as the kernel's documentation writes rules.
    pub(crate) fn rule(text: &str) -> LinuxDeviceCgroup {
        let words: Vec<&str> = text.split(' ').collect();
        let numbers = words.get(2).and_then(|text| text.split_once(':'));
        let read = |text: &str| text.parse().ok();
        LinuxDeviceCgroup {
            allow: words[0] == "allow",
            kind: Some(words[1].to_owned()),
            major: numbers.and_then(|(major, _)| read(major)),
            minor: numbers.and_then(|(_, minor)| read(minor)),
            access: words.get(3).map(|&text| text.to_owned()),
        }
    }

    fn table(rules: &[&str]) -> DeviceTable {
        let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
        DeviceTable::from_rules(&rules).unwrap()
    }

    #[test]
    fn all_starts_over() {
        let found = table(&["allow c 1:3 rwm", "allow a", "deny a"]);
        assert_eq!(found.default, Verdict::Deny);
        assert!(found.exceptions.is_empty());
    }

    #[test]
    fn access_of_the_same_device_adds_up_and_is_taken_away() {
        let found = table(&["deny a", "allow c 1:3 r", "allow c 1:3 wm", "deny c 1:3 m"]);
        let access: Vec<_> = found.exceptions.values().map(|a| a.letters()).collect();
        assert_eq!(access, ["rw"]);
    }

    #[test]
    fn all_kinds_with_numbers_are_two_exceptions() {
        let found = table(&["allow a", "deny a 7:*  rw"]);
        assert_eq!(found.default, Verdict::Allow);
        assert_eq!(found.exceptions.len(), 2);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["allow x 1:3 r", "allow c 1:3 z", "allow c -7:3 r"] {
            assert!(DeviceTable::from_rules(&[rule(text)]).is_err(), "{text}");
        }
    }
}
