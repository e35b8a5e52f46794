//! Starting a program in new namespaces: one `clone3`, one `execveat`, no process in between.
//!
//! ```text
//!   parent                                   child (a copy of us; only system calls until its exec)
//!   clone3(all namespaces, pidfd) ─────────▶ enter the cgroup, then make the namespace of cgroups
//!                                            setns into the namespaces it shares with others
//!   with a user namespace only:
//!   write uid and gid maps                   read one byte …
//!   write one byte ────────────────────────▶ become uid 0 of its user namespace
//!                                            dup3 stdio and other files, mark the rest close-on-exec
//!   read ◀── end of file (exec worked) ───── execveat
//!        ◀── step and errno (it did not) ──── _exit
//! ```
//!
//! New namespaces that are to belong to a user namespace which exists are made from inside of it: the child joins it and
//! clones once more, with our own parenthood (`CLONE_PARENT`), says which process that is and leaves. The program is
//! executed in there: whoever has `CAP_SYS_PTRACE` in the namespace and can see the process may look into it from then
//! on. Where others are in its process namespace, a program joins the users by itself, hidden ([`crate::process`]).
//!
//! The program is a descriptor that nobody can write through ([`crate::exe`]).
//!
//! The child enters its cgroup itself because moving another process waits for a grace period of RCU, some 25 ms; and
//! its namespace of cgroups is made after that, because `clone3` roots it at the parent's cgroup even with
//! `CLONE_INTO_CGROUP` (`copy_cgroup_ns` in kernel/cgroup/namespace.c).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use crate::exec::CStrings;
use crate::namespace::{self, Kinds};
use crate::{check, pidfd};

/// A range of user or group ids: `count` ids from `inside` on are `outside` and following of the parent namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The maps of a new user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserMaps {
    /// User ids; must have a 0 inside.
    pub uids: Vec<IdMap>,
    /// Group ids; must have a 0 inside.
    pub gids: Vec<IdMap>,
}

/// What to start, and where.
#[derive(Debug)]
pub struct SpawnOptions<'a> {
    /// The program's file.
    pub program: BorrowedFd<'a>,
    /// Its arguments, the first being its name.
    pub arguments: &'a [CString],
    /// Its environment.
    pub environment: &'a [CString],
    /// Namespaces to make.
    pub namespaces: Kinds,
    /// Namespaces to join: a namespace's file or a pidfd, and which of it.
    pub join: &'a [(BorrowedFd<'a>, Kinds)],
    /// Maps for the new user namespace; needed with [`Kinds::USER`].
    pub user_maps: Option<&'a UserMaps>,
    /// Its control group.
    pub cgroup: Cgroup<'a>,
    /// Files for the program; the first gets descriptor 0, and so on. Everything else is closed.
    pub fds: &'a [BorrowedFd<'a>],
}

/// Where a process is to be accounted.
#[derive(Clone, Copy, Debug)]
pub enum Cgroup<'a> {
    /// Where its parent is.
    Inherit,
    /// Born in this folder of a version 2 hierarchy.
    Into(BorrowedFd<'a>),
    /// It writes `0` to each of these (`cgroup.procs` or `tasks`, opened by the parent).
    Enter(&'a [BorrowedFd<'a>]),
}

/// A program that is about to be executed.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid as we see it.
    pub pid: i32,
    /// Its pid as a file.
    pub pidfd: OwnedFd,
    status: UnixStream,
}

/// Why the program was not executed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} for a new process")]
pub struct SpawnError {
    /// What failed.
    pub step: &'static str,
    /// Why.
    pub source: io::Error,
}

impl SpawnError {
    fn at(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { step, source }
    }
}

/// What the child does, in the order it does it; the number travels when one fails.
const STEPS: [&str; 9] = [
    "enter the cgroup",
    "make a namespace of cgroups",
    "join a namespace",
    "wait for the parent",
    "become root of the user namespace",
    "hand over files",
    "close files",
    "execute the runtime",
    "clone in a user namespace",
];
const ENTER: usize = 0;
const UNSHARE: usize = 1;
const JOIN: usize = 2;
const WAIT: usize = 3;
const BECOME_ROOT: usize = 4;
const FILES: usize = 5;
const CLOSE: usize = 6;
const EXECUTE: usize = 7;
const CLONE: usize = 8;
/// In the place of a step: what follows is the process that the child has made.
const MADE: usize = 9;

/// Starts the program. When it fails, the child is gone and reaped.
pub fn spawn(options: &SpawnOptions<'_>) -> Result<Spawned, SpawnError> {
    // A pid namespace is joined by who clones, not by the child; and a child in a user namespace of its own has no
    // right to join others. Both are done by a thread that ends right after.
    let user = options.namespaces.contains(Kinds::USER);
    let mine = match (user, joins_first(options)) {
        (true, _) => NOT_NONE,
        (false, false) => Kinds::PROCESS_ID,
        (false, true) => Kinds::empty(),
    };
    let (by_thread, by_child): (Vec<_>, Vec<_>) =
        (masked(options.join, mine), masked(options.join, NOT_NONE - mine));
    let child = if by_thread.is_empty() {
        clone(options, &by_child)?
    } else {
        namespace::on_own_thread(|| {
            for (fd, kinds) in by_thread {
                namespace::join(fd, kinds).map_err(SpawnError::at("join a namespace"))?;
            }
            clone(options, &by_child)
        })
        .map_err(SpawnError::at("start a thread"))??
    };
    match options.user_maps {
        Some(maps) => release(child, maps),
        None if joins_first(options) => succeed(child),
        None => Ok(child),
    }
}

/// Whether namespaces are to be made from inside of a user namespace that is joined.
fn joins_first(options: &SpawnOptions<'_>) -> bool {
    !options.namespaces.is_empty()
        && options.join.iter().any(|(_, kinds)| kinds.contains(Kinds::USER))
}

/// The process that a child has made in its place.
fn succeed(child: Spawned) -> Result<Spawned, SpawnError> {
    // It leaves whatever it said, and everything it said can be heard then.
    pidfd::wait(&child.pidfd).map_err(SpawnError::at("reap"))?;
    let first = child.hear()?;
    if let Some((MADE, pid)) = first {
        // A child of ours that nobody has reaped: the number is still its own.
        let pidfd = pidfd::open(pid).map_err(SpawnError::at("open"))?;
        return Ok(Spawned { pid, pidfd, status: child.status });
    }
    // What it has made may have failed, and said so, before it told of it.
    if let Some((MADE, pid)) = child.hear()? {
        let pidfd = pidfd::open(pid).map_err(SpawnError::at("open"))?;
        pidfd::wait(&pidfd).map_err(SpawnError::at("reap"))?;
    }
    let (step, errno) = first.unwrap_or((CLONE, libc::ECHILD));
    Err(failed(step, errno))
}

fn failed(step: usize, errno: i32) -> SpawnError {
    let step = STEPS.get(step).unwrap_or(&"start");
    SpawnError { step, source: io::Error::from_raw_os_error(errno) }
}

/// Every bit of a set of namespaces.
const NOT_NONE: Kinds = Kinds::all();

fn masked<'a>(join: &[(BorrowedFd<'a>, Kinds)], mask: Kinds) -> Vec<(BorrowedFd<'a>, Kinds)> {
    let both = join.iter().map(|(fd, kinds)| (*fd, *kinds & mask));
    both.filter(|(_, kinds)| !kinds.is_empty()).collect()
}

impl Spawned {
    /// Waits until the program is executed, or tells why it is not (then it is reaped too).
    pub fn executed(&self) -> Result<(), SpawnError> {
        let Some((step, errno)) = self.hear()? else {
            return Ok(());
        };
        pidfd::wait(&self.pidfd).map_err(SpawnError::at("reap"))?;
        Err(failed(step, errno))
    }

    /// The next report; none at the end.
    fn hear(&self) -> Result<Option<(usize, i32)>, SpawnError> {
        let mut report = [0_u8; 8];
        let mut status = &self.status;
        let length = loop {
            match io::Read::read(&mut status, &mut report) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(SpawnError::at("hear"))?,
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let [step, number] = [0, 4].map(|at| {
            let mut word = [0; 4];
            word.copy_from_slice(report.get(at..at + 4).unwrap_or(&[0; 4]));
            i32::from_ne_bytes(word)
        });
        Ok(Some((usize::try_from(step).unwrap_or(usize::MAX), number)))
    }
}

fn release(child: Spawned, maps: &UserMaps) -> Result<Spawned, SpawnError> {
    let released = write_maps(child.pid, maps).and_then(|()| {
        io::Write::write_all(&mut &child.status, &[1]).map_err(SpawnError::at("release"))
    });
    if let Err(error) = released {
        pidfd::send_signal(&child.pidfd, libc::SIGKILL).map_err(SpawnError::at("kill"))?;
        pidfd::wait(&child.pidfd).map_err(SpawnError::at("reap"))?;
        return Err(error);
    }
    Ok(child)
}

pub(crate) fn write_maps(pid: i32, maps: &UserMaps) -> Result<(), SpawnError> {
    let text = |ranges: &[IdMap]| {
        let lines =
            ranges.iter().map(|map| format!("{} {} {}\n", map.inside, map.outside, map.count));
        lines.collect::<String>()
    };
    for (file, content) in [("uid_map", text(&maps.uids)), ("gid_map", text(&maps.gids))] {
        std::fs::write(format!("/proc/{pid}/{file}"), content)
            .map_err(SpawnError::at("write the user and group ids"))?;
    }
    Ok(())
}

/// Flags of linux/sched.h; libc's are of a type that does not hold the second.
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` up to `cgroup` (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// All that the child touches, computed before it exists: it must not allocate.
struct Plan<'a> {
    cgroup: &'a [BorrowedFd<'a>],
    unshare_cgroup: bool,
    join: &'a [(BorrowedFd<'a>, Kinds)],
    waits: bool,
    fds: Vec<RawFd>,
    program: RawFd,
    socket: RawFd,
    becomes_root: bool,
    /// The second clone, from inside of a user namespace that was joined.
    again: Option<CloneArgs>,
    arguments: CStrings<'a>,
    environment: CStrings<'a>,
}

fn clone(
    options: &SpawnOptions<'_>,
    join: &[(BorrowedFd<'_>, Kinds)],
) -> Result<Spawned, SpawnError> {
    let count = RawFd::try_from(options.fds.len()).unwrap_or(RawFd::MAX);
    let (ours, theirs) = UnixStream::pair().map_err(SpawnError::at("make a socket"))?;
    // No source may have a number that is handed out below: those are moved out of the way here.
    let mut moved = Vec::new();
    let mut above = |fd: RawFd| -> io::Result<RawFd> {
        if fd >= count {
            return Ok(fd);
        }
        // SAFETY: every descriptor that comes in here is borrowed by `options` or owned above: it is open.
        let open = unsafe { BorrowedFd::borrow_raw(fd) };
        let copy = rustix::io::fcntl_dupfd_cloexec(open, count)?;
        let number = copy.as_raw_fd();
        moved.push(copy);
        Ok(number)
    };
    let mut move_up = |fd: RawFd| above(fd).map_err(SpawnError::at("hand over files"));
    let moves_cgroup = !matches!(options.cgroup, Cgroup::Inherit);
    let joins_user = options.join.iter().any(|(_, kinds)| kinds.contains(Kinds::USER));
    let mut plan = Plan {
        cgroup: if let Cgroup::Enter(files) = options.cgroup { files } else { &[] },
        unshare_cgroup: moves_cgroup && options.namespaces.contains(Kinds::CONTROL_GROUP),
        join,
        waits: options.user_maps.is_some(),
        becomes_root: options.user_maps.is_some() || joins_user,
        again: None,
        fds: options.fds.iter().map(|fd| move_up(fd.as_raw_fd())).collect::<Result<Vec<_>, _>>()?,
        program: move_up(options.program.as_raw_fd())?,
        socket: move_up(theirs.as_raw_fd())?,
        arguments: CStrings::new(options.arguments),
        environment: CStrings::new(options.environment),
    };
    let mut namespaces = options.namespaces;
    if plan.unshare_cgroup {
        namespaces -= Kinds::CONTROL_GROUP;
    }
    let mut flags = u64::from(namespaces.bits());
    let mut cgroup = 0;
    if let Cgroup::Into(folder) = options.cgroup {
        flags |= CLONE_INTO_CGROUP;
        cgroup = folder.as_raw_fd().unsigned_abs().into();
    }
    let mut pidfd: RawFd = -1;
    if joins_first(options) {
        // The signal at its end is the first one's, too.
        let flags = flags | u64::from(libc::CLONE_PARENT.unsigned_abs());
        plan.again = Some(CloneArgs { flags, cgroup, ..CloneArgs::default() });
    }
    // Who clones again does nothing else.
    let (flags, cgroup) = if plan.again.is_some() { (0, 0) } else { (flags, cgroup) };
    let arguments = CloneArgs {
        flags: flags | CLONE_PIDFD,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: libc::SIGCHLD.unsigned_abs().into(),
        cgroup,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child is a copy of us, as after fork(2), that runs on a copy of this stack; it only
    // makes system calls (see `run_child`), which is all that a copy of a process with threads may do. The arguments
    // outlive the call, and `pidfd` is where the kernel writes one int.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    if pid == 0 {
        run_child(&plan);
    }
    let pid = check(pid).map_err(SpawnError::at("clone"))?;
    // SAFETY: clone3 succeeded with CLONE_PIDFD: the descriptor is open and nobody else's.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = i32::try_from(pid).unwrap_or(i32::MAX);
    Ok(Spawned { pid, pidfd, status: ours })
}

/// The child's life up to its exec: system calls on memory that was ready before, and nothing else.
fn run_child(plan: &Plan<'_>) -> ! {
    let outcome = match &plan.again {
        Some(again) => clone_again(plan, again),
        None => try_child(plan).map(|()| (EXECUTE, None)),
    };
    let (step, told) = outcome.unwrap_or_else(|step| (step, None));
    // Allocates nothing: an error of the system is its number.
    let number = told.or_else(|| io::Error::last_os_error().raw_os_error()).unwrap_or(0);
    let mut report = [0_u8; 8];
    let step = u32::try_from(step).unwrap_or(0).to_ne_bytes();
    for (to, from) in report.iter_mut().zip(step.into_iter().chain(number.to_ne_bytes())) {
        *to = from;
    }
    // SAFETY: write(2) reads the 8 bytes of `report`. When it fails there is nobody left to tell.
    unsafe { libc::write(plan.socket, report.as_ptr().cast(), report.len()) };
    // SAFETY: _exit(2) runs no handlers and never returns.
    unsafe { libc::_exit(127) }
}

/// Joins the user namespace, and the process namespace that only later children are in, and makes a process in its own
/// place; what is to be told of it. That process comes back from here only when it failed.
fn clone_again(plan: &Plan<'_>, again: &CloneArgs) -> Result<(usize, Option<i32>), usize> {
    hide()?;
    for kind in [Kinds::USER, Kinds::PROCESS_ID] {
        for (fd, _) in plan.join.iter().filter(|(_, kinds)| kinds.contains(kind)) {
            // SAFETY: setns(2) takes numbers only.
            let joined = unsafe { libc::setns(fd.as_raw_fd(), kind.bits().cast_signed()) };
            done(JOIN, joined.into())?;
        }
    }
    // SAFETY: as in `clone`: without CLONE_VM it is a copy of us, which only makes system calls. No descriptor is
    // written to.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, again, size_of::<CloneArgs>()) };
    done(CLONE, pid)?;
    if pid == 0 {
        return try_child(plan).map(|()| (EXECUTE, None));
    }
    Ok((MADE, Some(i32::try_from(pid).unwrap_or(0))))
}

/// Comes back only when something failed: with the step, or `Ok` when the exec itself did.
fn try_child(plan: &Plan<'_>) -> Result<(), usize> {
    if plan.becomes_root {
        hide()?;
    }
    enter(plan)?;
    if plan.waits {
        let mut go = 0_u8;
        // SAFETY: read(2) writes at most one byte to `go`.
        if unsafe { libc::read(plan.socket, (&raw mut go).cast(), 1) } != 1 {
            // The parent gave up (end of file): so do we.
            return Err(WAIT);
        }
    }
    if plan.becomes_root {
        become_root()?;
        // Other ids end it where `fs.suid_dumpable` says so.
        hide()?;
    }
    let mut next: RawFd = 0;
    for fd in &plan.fds {
        // SAFETY: dup3(2) takes numbers only; whatever had the number `next` is given up on purpose.
        done(FILES, unsafe { libc::dup3(*fd, next, 0) }.into())?;
        next += 1;
    }
    let (last, flags) = (libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC takes numbers only and closes nothing yet.
    done(CLOSE, unsafe { libc::syscall(libc::SYS_close_range, next, last, flags) })?;
    // SAFETY: as in `crate::exec::fexecve`; the arrays were made before the clone and are in our copy of memory.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            plan.program,
            c"".as_ptr(),
            plan.arguments.as_ptr(),
            plan.environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Ok(())
}

fn done(step: usize, result: libc::c_long) -> Result<(), usize> {
    if result < 0 { Err(step) } else { Ok(()) }
}

fn enter(plan: &Plan<'_>) -> Result<(), usize> {
    for file in plan.cgroup {
        // SAFETY: write(2) reads one byte of a constant; the descriptor is borrowed, therefore open.
        let written = unsafe { libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) };
        done(ENTER, if written == 1 { 0 } else { -1 })?;
    }
    if plan.unshare_cgroup {
        // SAFETY: unshare(2) takes a number; this process has one thread.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWCGROUP) };
        done(UNSHARE, unshared.into())?;
    }
    let joined_before = match plan.again {
        Some(_) => Kinds::USER | Kinds::PROCESS_ID,
        None => Kinds::empty(),
    };
    for (fd, kinds) in plan.join {
        let kinds = *kinds - joined_before;
        if kinds.is_empty() {
            continue;
        }
        // SAFETY: setns(2) takes numbers only.
        let joined = unsafe { libc::setns(fd.as_raw_fd(), kinds.bits().cast_signed()) };
        done(JOIN, joined.into())?;
    }
    Ok(())
}

/// Keeps this copy of its parent's memory and files from whoever has rights in a user namespace that is joined
/// (ptrace(2)): asked for are rights in the one that the parent was executed in. Ends with the exec.
fn hide() -> Result<(), usize> {
    // SAFETY: prctl(2) with PR_SET_DUMPABLE takes numbers only.
    done(BECOME_ROOT, unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

/// Raw calls: the C library's would try to make every thread follow, and here are none.
fn become_root() -> Result<(), usize> {
    let nobody = std::ptr::null::<libc::gid_t>();
    // SAFETY: setgroups(2) with a count of 0 reads no memory.
    done(BECOME_ROOT, unsafe { libc::syscall(libc::SYS_setgroups, 0, nobody) })?;
    // SAFETY: setresgid(2) takes numbers only.
    done(BECOME_ROOT, unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) })?;
    // SAFETY: setresuid(2) takes numbers only.
    done(BECOME_ROOT, unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) })
}

#[cfg(test)]
mod tests;
