//! Where a daemon listens: `unix:///run/barge/barge.sock` or `tcp://host:port`.
//!
//! Other schemes that Docker's client knows are refused by name, so that nobody takes a plain
//! connection for a protected one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port of an unprotected daemon when none is given.
const TCP_PORT: u16 = 2375;

/// The text names no host that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not `scheme://rest`, or a scheme nobody knows.
    #[error("invalid bind address format: {0}")]
    Format(String),
    /// The port is no number.
    #[error("invalid port in {0}")]
    Port(String),
    /// A scheme of Docker's client that this one does not speak.
    #[error("connections by {scheme}:// are not supported yet: {text}")]
    Unsupported {
        /// The scheme.
        scheme: String,
        /// The whole text.
        text: String,
    },
}

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port, unprotected.
    Tcp {
        /// A name or an address (IPv6 without brackets).
        name: String,
        /// The port.
        port: u16,
    },
}

impl Host {
    /// The socket of the one daemon per host.
    #[must_use]
    pub fn local() -> Self {
        Self::Unix(PathBuf::from("/run/barge/barge.sock"))
    }

    /// The socket's path, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp { .. } => None,
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let text = text.trim();
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| HostError::Format(text.to_owned()))?;
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::local()),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" | "http" => tcp(text, rest.trim_end_matches('/')),
            "ssh" | "https" | "npipe" | "fd" => {
                Err(HostError::Unsupported { scheme: scheme.to_owned(), text: text.to_owned() })
            }
            _ => Err(HostError::Format(text.to_owned())),
        }
    }
}

fn tcp(text: &str, rest: &str) -> Result<Host, HostError> {
    if rest.contains('/') {
        return Err(HostError::Format(text.to_owned()));
    }
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            let port = port.parse().map_err(|_| HostError::Port(text.to_owned()))?;
            (name, port)
        }
        Some(_) | None => (rest, TCP_PORT),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    Ok(Host::Tcp { name: if name.is_empty() { "localhost" } else { name }.to_owned(), port })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { name, port } if name.contains(':') => write!(f, "tcp://[{name}]:{port}"),
            Self::Tcp { name, port } => write!(f, "tcp://{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_print_as_they_were_given() {
        for text in [
            "unix:///run/barge/barge.sock",
            "unix:///tmp/a b.sock",
            "tcp://127.0.0.1:2375",
            "tcp://[::1]:99",
            "tcp://example:1",
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        assert_eq!("unix://".parse::<Host>().unwrap(), Host::local());
        assert_eq!("tcp://".parse::<Host>().unwrap().to_string(), "tcp://localhost:2375");
        assert_eq!("tcp://[::1]".parse::<Host>().unwrap().to_string(), "tcp://[::1]:2375");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (text, message) in [
            ("bogus://x", "invalid bind address format: bogus://x"),
            ("/run/x.sock", "invalid bind address format: /run/x.sock"),
            ("tcp://h:http", "invalid port in tcp://h:http"),
            ("tcp://h:1/base", "invalid bind address format: tcp://h:1/base"),
            ("ssh://me@host", "connections by ssh:// are not supported yet: ssh://me@host"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap_err().to_string(), message);
        }
    }
}
