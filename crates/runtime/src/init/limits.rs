//! Resource limits, and the score for the out-of-memory killer.

use barge_oci::runtime::Process;
use rustix::process::{Pid, Resource, Rlimit, prlimit, setrlimit};

use crate::error::{At as _, Stage, StartError};

/// What a process gets that asks for none.
pub(super) const DEFAULT_UMASK: u32 = 0o022;

/// The limits by their numbers in asm-generic/resource.h, which error texts show.
const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_STACK", Resource::Stack),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
];

/// Sets the limits of a process, or our own. Raising a hard one needs `CAP_SYS_RESOURCE`, which not every host gives its
/// root.
pub(crate) fn set_rlimits(process: &Process, of: Option<Pid>) -> Result<(), StartError> {
    for limit in &process.rlimits {
        let known = RESOURCES.iter().enumerate().find(|(_, (name, _))| *name == limit.kind);
        let Some((number, (_, resource))) = known else {
            let text = format!("invalid rlimit type: {}", limit.kind);
            return Err(StartError::new(Stage::Limit, text));
        };
        let value = |value| (value != u64::MAX).then_some(value);
        let wanted = Rlimit { current: value(limit.soft), maximum: value(limit.hard) };
        match of {
            Some(pid) => prlimit(Some(pid), *resource, wanted).map(drop),
            None => setrlimit(*resource, wanted),
        }
        .at(Stage::Limit, || format!("error setting rlimit type {number}"))?;
    }
    Ok(())
}

/// Sets the score in a file of the host's `/proc`.
pub(crate) fn set_oom_score(process: &Process, path: &str) -> Result<(), StartError> {
    let Some(score) = process.oom_score_adj else {
        return Ok(());
    };
    // Lowering it needs a right, and staying where one is needs none: but the kernel asks first (proc_pid(5)).
    std::fs::write(path, score.to_string()).at(Stage::Limit, || format!("write {score} to {path}"))
}
