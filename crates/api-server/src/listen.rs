//! Listening sockets: `unix://PATH` and, on loopback only, `tcp://HOST:PORT`.
//!
//! The unix socket appears under its name only when it has its owner and mode, and takes the place of a stale one only
//! when nobody answers there. Whoever reaches the API is root on the host, so plain tcp stays on this host.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::stream::Stream;

/// A daemon that was killed while it started a shim listens on in that shim until its exec, which closes the socket.
const GHOST_TRIES: u32 = 20;
const GHOST_STEP: std::time::Duration = std::time::Duration::from_millis(10);

/// Where to listen: one `-H`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A tcp address as `HOST:PORT`.
    Tcp(String),
}

/// Why a place cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Not a form that is known.
    #[error("invalid bind address ({0}): the forms are unix://PATH and tcp://HOST:PORT")]
    Malformed(String),
    /// Socket activation.
    #[error(
        "invalid bind address ({0}): fd:// (socket activation by systemd) is not supported yet; use unix://PATH"
    )]
    SocketActivation(String),
    /// Another daemon answers there.
    #[error("cannot listen on unix://{path}: another daemon is listening there", path = .0.display())]
    InUse(PathBuf),
    /// Something that is no socket has the name.
    #[error("cannot listen on unix://{path}: a file that is no socket is in the way", path = .0.display())]
    NoSocket(PathBuf),
    /// A tcp address that others can reach.
    #[error(
        "refusing to listen on tcp://{0} without TLS: whoever reaches it is root on this host; use a loopback address"
    )]
    NotLoopback(SocketAddr),
    /// The kernel refused.
    #[error("cannot {action} {place}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The object.
        place: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl ListenError {
    fn io(action: &'static str, place: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, place: place.display().to_string(), source }
    }
}

impl Endpoint {
    /// Parses a `-H` value. `tcp://` without a port takes Docker's 2375.
    pub fn parse(text: &str) -> Result<Self, ListenError> {
        let text = text.trim();
        let malformed = || ListenError::Malformed(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" => {
                let rest = rest.trim_end_matches('/');
                let host = if rest.is_empty() { "127.0.0.1" } else { rest };
                let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
                    !port.is_empty() && (!before.contains(':') || before.ends_with(']'))
                });
                if host.contains('/') {
                    return Err(malformed());
                }
                Ok(Self::Tcp(if has_port { host.to_owned() } else { format!("{host}:2375") }))
            }
            "fd" => Err(ListenError::SocketActivation(text.to_owned())),
            _ => Err(malformed()),
        }
    }
}

/// An open listening socket. Dropping it removes the unix socket it made, unless another has taken its place.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: String,
}

#[derive(Debug)]
enum Socket {
    Unix { listener: UnixListener, path: PathBuf, inode: u64 },
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at `endpoint`; a unix socket belongs to group `group` (a number) with mode 660.
    pub async fn open(endpoint: &Endpoint, group: Option<u32>) -> Result<Self, ListenError> {
        match endpoint {
            Endpoint::Unix(path) => open_unix(path, group).await,
            Endpoint::Tcp(address) => open_tcp(address).await,
        }
    }

    /// The address as a client would name it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix { path, inode, .. } = &self.socket
            && fs::symlink_metadata(path).is_ok_and(|found| found.ino() == *inode)
        {
            // Failing to remove it leaves a stale socket, which the next start replaces.
            fs::remove_file(path).ok();
        }
    }
}

async fn open_unix(path: &Path, group: Option<u32>) -> Result<Listener, ListenError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(ListenError::io("create", parent))?;
    }
    refuse_when_taken(path).await?;
    // Bound under another name first, so that nobody can connect before owner and mode are right.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let bound = PathBuf::from(name);
    match fs::remove_file(&bound) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ListenError::io("remove", &bound)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&bound).map_err(ListenError::io("listen on", path))?;
    let publish = || -> Result<u64, ListenError> {
        chown(&bound, None, group).map_err(ListenError::io("change the group of", &bound))?;
        fs::set_permissions(&bound, fs::Permissions::from_mode(0o660))
            .map_err(ListenError::io("change the mode of", &bound))?;
        let inode = fs::metadata(&bound).map_err(ListenError::io("look at", &bound))?.ino();
        fs::rename(&bound, path).map_err(ListenError::io("create", path))?;
        Ok(inode)
    };
    let inode = publish().inspect_err(|_| {
        // The error that is being returned says more than that this could not be removed.
        fs::remove_file(&bound).ok();
    })?;
    let address = format!("unix://{}", path.display());
    Ok(Listener { socket: Socket::Unix { listener, path: path.to_owned(), inode }, address })
}

/// Refuses a path at which another daemon answers, or which is no socket.
async fn refuse_when_taken(path: &Path) -> Result<(), ListenError> {
    use std::os::unix::fs::FileTypeExt as _;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ListenError::io("look at", path)(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    for _ in 0..GHOST_TRIES {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => tokio::time::sleep(GHOST_STEP).await,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ListenError::io("connect to", path)(error)),
        }
    }
    Err(ListenError::InUse(path.to_owned()))
}

async fn open_tcp(address: &str) -> Result<Listener, ListenError> {
    let place = PathBuf::from(format!("tcp://{address}"));
    let candidates =
        tokio::net::lookup_host(address).await.map_err(ListenError::io("resolve", &place))?;
    let candidates: Vec<SocketAddr> = candidates.collect();
    if let Some(open) = candidates.iter().find(|candidate| !candidate.ip().is_loopback()) {
        return Err(ListenError::NotLoopback(*open));
    }
    let listener =
        TcpListener::bind(&*candidates).await.map_err(ListenError::io("listen on", &place))?;
    let local = listener.local_addr().map_err(ListenError::io("look at", &place))?;
    tracing::warn!(
        "the API is accessible on tcp://{local} without encryption and without a password: every process and user of \
         this host that connects is root on it"
    );
    Ok(Listener { socket: Socket::Tcp(listener), address: format!("tcp://{local}") })
}
