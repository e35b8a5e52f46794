//! A filter for all architectures at once.
//!
//! Per architecture the numbers of system calls are cut into ranges with one outcome each, and a binary tree of
//! comparisons finds the range: some seven instructions for any call. An outcome without conditions looks at nothing but
//! architecture and number, so the kernel works it out once and then lets such calls pass without running the filter
//! (`seccomp_cache_prepare`, since 5.11).

use std::collections::{BTreeMap, BTreeSet};

use barge_oci::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction, SeccompArch};

use crate::{
    arch::{Arch, X32_BIT},
    condition,
    error::{Result, SeccompError},
    program::{
        ARCHITECTURE, Filter, IF_EQUAL, IF_NOT_LESS, Instruction, JUMP, LOAD, LONGEST, NUMBER,
        RETURN,
    },
};

/// `SECCOMP_RET_…`, from linux/seccomp.h.
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// What the runtime specification says, checked.
struct Policy {
    default: u32,
    /// For calls with a higher number than any that the rules name: they came after the profile was written, and
    /// programs try them and fall back when they are told ENOSYS. EPERM breaks them. As runc does since 1.0.0-rc93.
    newer: u32,
    rules: Vec<Rule>,
}

struct Rule {
    names: Vec<String>,
    outcome: u32,
    /// One of these sets must hold as a whole.
    alternatives: Vec<Vec<LinuxSeccompArg>>,
}

/// Compiles a filter. Names that no table knows are skipped, as the specification asks.
pub fn compile(seccomp: &LinuxSeccomp) -> Result<Filter> {
    let policy = Policy::parse(seccomp)?;
    let arches = arches(&seccomp.architectures);
    let mut code = vec![Instruction::new(LOAD, ARCHITECTURE)];
    let audits: BTreeSet<u32> = arches.iter().map(|arch| arch.audit()).collect();
    // The machine's own comes first: most calls are of it.
    let own = arches.first().map(|arch| arch.audit());
    let order = own.into_iter().chain(audits.into_iter().filter(|&audit| Some(audit) != own));
    for audit in order {
        let mut section = vec![Instruction::new(LOAD, NUMBER)];
        section.extend(tree(&policy.ranges(audit, &arches)));
        code.push(Instruction { jump_true: 1, ..Instruction::new(IF_EQUAL, audit) });
        code.push(jump(section.len()));
        code.extend(section);
    }
    // An architecture that nobody named: nothing is known about what the call would do.
    code.push(Instruction::new(RETURN, KILL_PROCESS));
    if code.len() > LONGEST {
        return Err(SeccompError::TooLong(code.len()));
    }
    Ok(Filter::new(code, flags(&seccomp.flags)?))
}

/// The machine's own architecture, always, and those that are named; each once.
fn arches(named: &[SeccompArch]) -> Vec<Arch> {
    let mut arches: Vec<Arch> = Vec::new();
    let all = std::iter::once(SeccompArch::Native).chain(named.iter().copied());
    for arch in all.filter_map(Arch::from_spec) {
        if !arches.contains(&arch) {
            arches.push(arch);
        }
    }
    arches
}

fn flags(names: &[String]) -> Result<u32> {
    names.iter().try_fold(0, |bits, name| {
        let bit = match name.as_str() {
            "SECCOMP_FILTER_FLAG_TSYNC" => 1,
            "SECCOMP_FILTER_FLAG_LOG" => 2,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => 4,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => 32,
            other => return Err(SeccompError::Flag(other.to_owned())),
        };
        Ok(bits | bit)
    })
}

/// What the kernel is told.
fn outcome(action: SeccompAction, errno: Option<u32>) -> Result<u32> {
    let errno = errno.unwrap_or(EPERM);
    if errno > 4095 {
        return Err(SeccompError::Errno(errno));
    }
    Ok(match action {
        SeccompAction::Kill | SeccompAction::KillThread => KILL_THREAD,
        SeccompAction::KillProcess => KILL_PROCESS,
        SeccompAction::Trap => TRAP,
        SeccompAction::Errno => ERRNO | errno,
        SeccompAction::Trace => TRACE | errno,
        SeccompAction::Allow => ALLOW,
        SeccompAction::Log => LOG,
        SeccompAction::Notify => return Err(SeccompError::Notify),
    })
}

impl Policy {
    fn parse(seccomp: &LinuxSeccomp) -> Result<Self> {
        let default = outcome(seccomp.default_action, seccomp.default_errno_ret)?;
        let newer = match seccomp.default_action {
            SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace => default,
            SeccompAction::Notify
            | SeccompAction::Errno
            | SeccompAction::Kill
            | SeccompAction::KillThread
            | SeccompAction::KillProcess
            | SeccompAction::Trap => ERRNO | ENOSYS,
        };
        let rules = seccomp.syscalls.iter().map(Rule::parse);
        Ok(Self { default, newer, rules: rules.collect::<Result<_>>()? })
    }

    /// The outcomes of all numbers of the architectures that share an audit value: where each begins, and its code.
    fn ranges(&self, audit: u32, arches: &[Arch]) -> Vec<(u32, Vec<Instruction>)> {
        let mut ranges = Ranges::default();
        let here: Vec<Arch> = arches.iter().copied().filter(|arch| arch.audit() == audit).collect();
        if !here.contains(&Arch::X32) {
            if let Some(&arch) = here.first() {
                ranges.add(0, self.calls(arch), self);
            }
            if here.contains(&Arch::X8664) {
                ranges.push(X32_BIT, vec![Instruction::new(RETURN, KILL_PROCESS)]);
                // What a tracer writes to skip a call.
                ranges.push(u32::MAX, vec![Instruction::new(RETURN, self.newer)]);
            }
            return ranges.0;
        }
        for arch in [Arch::X8664, Arch::X32] {
            let base = if arch == Arch::X32 { X32_BIT } else { 0 };
            let calls = if here.contains(&arch) { self.calls(arch) } else { BTreeMap::new() };
            ranges.add(base, calls, self);
        }
        ranges.0
    }

    /// The code of every call that a rule names.
    fn calls(&self, arch: Arch) -> BTreeMap<u32, Vec<Instruction>> {
        let mut calls: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
        for rule in &self.rules {
            for number in rule.names.iter().filter_map(|name| arch.number(name)) {
                calls.entry(number).or_default().push(rule);
            }
        }
        calls.into_iter().map(|(number, rules)| (number, self.decide(&rules, arch))).collect()
    }

    /// One call: its rules in order, then the default.
    fn decide(&self, rules: &[&Rule], arch: Arch) -> Vec<Instruction> {
        let mut choices: Vec<(&[LinuxSeccompArg], u32)> = Vec::new();
        let mut otherwise = self.default;
        for rule in rules {
            if rule.alternatives.is_empty() {
                otherwise = rule.outcome;
                break;
            }
            let sets = rule.alternatives.iter();
            choices.extend(sets.map(|set| (set.as_slice(), rule.outcome)));
        }
        let mut code = Vec::new();
        let mut rest = choices.as_slice();
        while let Some((conditions, outcome)) = rest.first() {
            let then = Instruction::new(RETURN, *outcome);
            // A list of allowed values comes as a rule each: they share their loads.
            let same = |(other, result): &&(&[LinuxSeccompArg], u32)| {
                result == outcome && condition::are_one_list(conditions, other)
            };
            let length = rest.iter().take(condition::LONGEST_LIST).take_while(same).count();
            if length > 1 {
                let values = rest.iter().take(length).flat_map(|(set, _)| *set);
                code.extend(condition::list(
                    &values.copied().collect::<Vec<_>>(),
                    arch.width(),
                    then,
                ));
            } else {
                code.extend(condition::rule(conditions, arch.width(), then));
            }
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
        code.push(Instruction::new(RETURN, otherwise));
        code
    }
}

impl Rule {
    fn parse(rule: &LinuxSyscall) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let mut repeated = false;
        for argument in &rule.args {
            if argument.index > 5 {
                return Err(SeccompError::Argument {
                    name: rule.names.join(", "),
                    index: argument.index,
                });
            }
            repeated |= !seen.insert(argument.index);
        }
        // Two conditions on one argument are alternatives: libseccomp cannot have both, so runc adds a rule for each,
        // and profiles are written for that.
        let alternatives = if repeated {
            rule.args.iter().map(|&argument| vec![argument]).collect()
        } else if rule.args.is_empty() {
            Vec::new()
        } else {
            vec![rule.args.clone()]
        };
        Ok(Self {
            names: rule.names.clone(),
            outcome: outcome(rule.action, rule.errno_ret)?,
            alternatives,
        })
    }
}

/// Where each outcome begins, in order; neighbours differ.
#[derive(Default)]
struct Ranges(Vec<(u32, Vec<Instruction>)>);

impl Ranges {
    fn push(&mut self, start: u32, code: Vec<Instruction>) {
        if self.0.last().is_none_or(|(_, last)| *last != code) {
            self.0.push((start, code));
        }
    }

    /// All numbers from `base` on: the calls that are named, what lies between them, and what is newer.
    fn add(&mut self, base: u32, calls: BTreeMap<u32, Vec<Instruction>>, policy: &Policy) {
        let mut next = base;
        for (number, code) in calls {
            if number > next {
                self.push(next, vec![Instruction::new(RETURN, policy.default)]);
            }
            self.push(number, code);
            next = number + 1;
        }
        self.push(next, vec![Instruction::new(RETURN, policy.newer)]);
    }
}

/// A binary tree that finds the range of the loaded number. Every leaf returns, so the code needs no joining.
fn tree(ranges: &[(u32, Vec<Instruction>)]) -> Vec<Instruction> {
    if let [(_, leaf)] = ranges {
        return leaf.clone();
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let Some((start, _)) = high.first() else {
        return Vec::new();
    };
    let (left, right) = (tree(low), tree(high));
    let mut code = Vec::with_capacity(left.len() + right.len() + 2);
    let test = Instruction::new(IF_NOT_LESS, *start);
    match u8::try_from(left.len()) {
        Ok(jump_true) => code.push(Instruction { jump_true, ..test }),
        // A conditional jump reaches 255 instructions; the unconditional one reaches all.
        Err(_too_far) => {
            code.push(Instruction { jump_false: 1, ..test });
            code.push(jump(left.len()));
        }
    }
    code.extend(left);
    code.extend(right);
    code
}

fn jump(distance: usize) -> Instruction {
    // The length of a program is checked in the end, and is far below this.
    Instruction::new(JUMP, u32::try_from(distance).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
