//! An SSH agent inside of a step: a socket of the step's own, with the owner and mode that were asked for.
//!
//! Only what a build needs goes through: the list of keys and signatures (RFC draft-miller-ssh-agent). Keys are neither
//! added nor removed and the agent is not locked by a step, as with BuildKit.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{BuildError, Result};

/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST`.
const ALLOWED: [u8; 2] = [11, 13];
/// `SSH_AGENT_FAILURE`, whole.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// The longest message, as OpenSSH's agent has it.
const LONGEST: u32 = 256 << 10;
/// Connections at one time; more are closed.
const AT_ONCE: usize = 64;
/// How long nothing is accepted after an error, as when there are too many open files.
const REST: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A socket that passes on what it hears; closed when this is dropped.
#[derive(Debug)]
pub(super) struct AgentProxy {
    listener: Arc<UnixListener>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// The agent of the client.
    agent: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_over: bool,
    next: u64,
    /// Both ends of every connection.
    open: HashMap<u64, [UnixStream; 2]>,
}

impl AgentProxy {
    /// Serves a listener.
    pub(super) fn start(listener: UnixListener, agent: &Path) -> Result<Self> {
        // Whether there is one at all is known before the step begins.
        reach(agent).map_err(BuildError::io("reach the SSH agent", agent))?;
        let shared = Arc::new(Shared { agent: agent.to_owned(), state: Mutex::default() });
        let listener = Arc::new(listener);
        let (own, served) = (Arc::clone(&shared), Arc::clone(&listener));
        let acceptor = thread::Builder::new()
            .name("ssh-agent".to_owned())
            .spawn(move || own.accept(&served))
            .map_err(BuildError::io("start a thread for", agent))?;
        Ok(Self { listener, shared, acceptor: Some(acceptor) })
    }
}

impl Drop for AgentProxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        for end in state.open.values().flatten() {
            // It may be closed already.
            end.shutdown(Shutdown::Both).ok();
        }
        drop(state);
        // Wakes who waits for a connection (accept(2) gives EINVAL).
        let is_awake = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| is_awake) {
            acceptor.join().ok();
        }
    }
}

/// A connection to an agent that takes it now: one whose queue is full (`EAGAIN`, connect(2)) could hold who waits for
/// ever.
fn reach(agent: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(agent)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Waits a little, or until the listener is shut down: whether it was.
fn rest(listener: &UnixListener) -> bool {
    // Of a connection that waits nothing is heard, so that an error that stays does not come again at once.
    let mut ends = [PollFd::new(listener, PollFlags::empty())];
    rustix::event::poll(&mut ends, Some(&REST)).is_ok_and(|count| count > 0)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, listener: &UnixListener) {
        thread::scope(|scope| {
            for step in listener.incoming() {
                let Ok(step) = step else {
                    if self.lock().is_over || rest(listener) {
                        return;
                    }
                    continue;
                };
                match self.connect(step) {
                    Ok(Some((number, ends))) => {
                        let served = move || {
                            // Who asks is told by the end of the connection.
                            serve(&ends).ok();
                            self.lock().open.remove(&number);
                        };
                        if thread::Builder::new().spawn_scoped(scope, served).is_err() {
                            // Closed: its other ends went with what was to serve it.
                            self.lock().open.remove(&number);
                        }
                    }
                    Ok(None) => return,
                    // Closed: the agent has gone, or there are too many.
                    Err(_) => {}
                }
            }
        });
    }

    /// A connection of its own to the agent; none when all is over.
    fn connect(&self, step: UnixStream) -> io::Result<Option<(u64, [UnixStream; 2])>> {
        let state = self.lock();
        if state.is_over {
            return Ok(None);
        }
        if state.open.len() >= AT_ONCE {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        // Whoever ends this is not held up by the agent.
        drop(state);
        let agent = reach(&self.agent)?;
        let kept = [step.try_clone()?, agent.try_clone()?];
        let mut state = self.lock();
        if state.is_over {
            return Ok(None);
        }
        state.next += 1;
        let number = state.next;
        state.open.insert(number, kept);
        Ok(Some((number, [step, agent])))
    }
}

/// One question after the other, as the protocol has it.
fn serve([step, agent]: &[UnixStream; 2]) -> io::Result<()> {
    let (mut step, mut agent) = (step, agent);
    while let Some(question) = message(&mut step)? {
        if question.get(4).is_some_and(|kind| ALLOWED.contains(kind)) {
            agent.write_all(&question)?;
            let answer = message(&mut agent)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            step.write_all(&answer)?;
        } else {
            step.write_all(&FAILURE)?;
        }
    }
    agent.shutdown(Shutdown::Both)
}

/// A message with its length; none at the end.
fn message(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read(&mut length)? {
        0 => return Ok(None),
        count => from.read_exact(length.get_mut(count..).unwrap_or_default())?,
    }
    let wanted = u32::from_be_bytes(length);
    if wanted > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut whole = length.to_vec();
    from.take(u64::from(wanted)).read_to_end(&mut whole)?;
    if whole.len() as u64 == u64::from(wanted) + 4 {
        Ok(Some(whole))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that says back what it hears, and a socket for a step.
    fn proxied() -> (tempfile::TempDir, AgentProxy) {
        let folder = tempfile::tempdir().unwrap();
        let agent = UnixListener::bind(folder.path().join("agent")).unwrap();
        thread::spawn(move || {
            for stream in agent.incoming() {
                let mut stream = stream.unwrap();
                while let Ok(Some(heard)) = message(&mut stream) {
                    stream.write_all(&heard).unwrap();
                }
            }
        });
        let listener = UnixListener::bind(folder.path().join("step")).unwrap();
        let proxy = AgentProxy::start(listener, &folder.path().join("agent")).unwrap();
        (folder, proxy)
    }

    fn asked(stream: &mut UnixStream, question: &[u8]) -> Option<Vec<u8>> {
        stream.write_all(question).unwrap();
        message(stream).unwrap()
    }

    #[test]
    fn keys_are_listed_and_used_and_nothing_else() {
        let (folder, proxy) = proxied();
        let mut step = UnixStream::connect(folder.path().join("step")).unwrap();
        for kind in [11, 13] {
            let question = [0, 0, 0, 2, kind, 9];
            assert_eq!(asked(&mut step, &question).unwrap(), question);
        }
        // Adding, removing, locking, extensions, an empty message.
        for question in [
            &[0, 0, 0, 1, 17][..],
            &[0, 0, 0, 1, 19],
            &[0, 0, 0, 1, 22],
            &[0, 0, 0, 1, 27],
            &[0; 4],
        ] {
            assert_eq!(asked(&mut step, question).unwrap(), FAILURE, "{question:?}");
        }
        step.write_all(&[0xff; 4]).unwrap();
        assert!(matches!(step.read(&mut [0]), Ok(0) | Err(_)));
        drop(proxy);
    }

    #[test]
    fn an_open_connection_ends_with_its_step() {
        let (folder, proxy) = proxied();
        let mut step = UnixStream::connect(folder.path().join("step")).unwrap();
        assert!(asked(&mut step, &[0, 0, 0, 1, 11]).is_some());
        drop(proxy);
        assert!(matches!(step.read(&mut [0]), Ok(0) | Err(_)));
    }

    #[test]
    fn an_agent_that_takes_no_connection_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let agent = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&agent, 0).unwrap();
        let listener = UnixListener::bind(folder.path().join("step")).unwrap();
        // What is asked at the start fills the queue.
        let proxy = AgentProxy::start(listener, &path).unwrap();
        assert_eq!(reach(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let connect = || UnixStream::connect(folder.path().join("step")).unwrap();
        assert_eq!(connect().read(&mut [0]).unwrap(), 0);
        // It is asked again when it has time.
        agent.accept().unwrap();
        let mut step = connect();
        let (mut end, _) = agent.accept().unwrap();
        step.write_all(&[0, 0, 0, 1, 11]).unwrap();
        assert!(message(&mut end).unwrap().is_some());
        drop(proxy);
        assert!(matches!(step.read(&mut [0]), Ok(0) | Err(_)));
    }

    #[test]
    fn who_rests_is_woken_by_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step");
        let listener = UnixListener::bind(&path).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(!rest(&listener));
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
        assert!(rest(&listener));
    }

    #[test]
    fn an_agent_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("step")).unwrap();
        let error = AgentProxy::start(listener, &folder.path().join("gone")).unwrap_err();
        assert!(error.to_string().starts_with("cannot reach the SSH agent"), "{error}");
    }
}
