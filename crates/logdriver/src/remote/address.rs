//! Where a remote is: `udp://host:port`, `tcp://host:port`, `tcp+tls://host:port`, `unix:///path`,
//! `unixgram:///path`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use crate::error::LogError;

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Udp(HostPort),
    Tcp(HostPort),
    Tls(HostPort),
    Unix(PathBuf),
    Unixgram(PathBuf),
}

/// A host, by name or number, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl HostPort {
    /// `host:port`, `[address]:port`; without a port the default one, when there is one.
    pub(crate) fn parse(text: &str, default: Option<u16>) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => default?,
        };
        (!host.contains(['/', ':']) || text.starts_with('['))
            .then(|| Self { host: host.to_owned(), port })
    }

    /// Asks for the numbers of a name.
    pub(crate) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        // As Go: no host is this one.
        let host = if self.host.is_empty() { "localhost" } else { &self.host };
        Ok((host, self.port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// Parses `scheme://…`; none when it is not in that form or the scheme is none of these.
    pub(crate) fn parse(text: &str, default: impl Fn(&str) -> Option<u16>) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let host = || HostPort::parse(rest.trim_end_matches('/'), default(scheme));
        match scheme {
            "udp" => host().map(Self::Udp),
            "tcp" => host().map(Self::Tcp),
            "tcp+tls" => host().map(Self::Tls),
            "unix" => Some(Self::Unix(rest.into())),
            "unixgram" => Some(Self::Unixgram(rest.into())),
            _ => None,
        }
    }

    /// As Go says that a connection could not be made.
    pub(crate) fn refused(&self, source: std::io::Error) -> LogError {
        LogError::unreachable(format!("dial {self}"), source)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(to) => write!(f, "udp {to}"),
            Self::Tcp(to) => write!(f, "tcp {to}"),
            Self::Tls(to) => write!(f, "tcp+tls {to}"),
            Self::Unix(path) => write!(f, "unix {}", path.display()),
            Self::Unixgram(path) => write!(f, "unixgram {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let parse = |text| {
            Address::parse(text, |scheme| (scheme == "tcp").then_some(514)).map(|a| a.to_string())
        };
        for (text, shown) in [
            ("udp://10.0.0.1:99", "udp 10.0.0.1:99"),
            ("tcp://logs", "tcp logs:514"),
            ("tcp://[::1]:7", "tcp [::1]:7"),
            ("tcp://[::1]", "tcp [::1]:514"),
            ("tcp+tls://a.b:1", "tcp+tls a.b:1"),
            ("unix:///run/x", "unix /run/x"),
            ("unixgram:///dev/log", "unixgram /dev/log"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(shown), "{text}");
        }
        for text in ["", "logs:1", "udp://logs", "tcp://logs:port", "tcp://::1:5", "http://a:1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
