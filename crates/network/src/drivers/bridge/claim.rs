//! One daemon to a bridge: a second one would give it another address, and its rules to other containers.
//!
//! The claim is an abstract socket's name, which belongs to the network namespace as the bridge does, and which the
//! kernel gives back when the daemon dies, however it dies (unix(7)).

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::error::{NetworkError, Result};

/// A claim on a bridge, for as long as it lives.
#[derive(Debug)]
pub(super) struct Claim {
    _socket: UnixDatagram,
}

impl Claim {
    pub(super) fn on(bridge: &str) -> Result<Self> {
        let bind = || {
            let address = SocketAddr::from_abstract_name(format!("barge/bridge/{bridge}"))?;
            UnixDatagram::bind_addr(&address)
        };
        match bind() {
            Ok(socket) => Ok(Self { _socket: socket }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(NetworkError::BridgeClaimed(bridge.to_owned()))
            }
            Err(source) => {
                Err(NetworkError::Io { action: "claim the bridge", path: bridge.into(), source })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_has_one_daemon_until_that_is_gone() {
        let name = format!("t{}", std::process::id());
        let claim = Claim::on(&name).unwrap();
        let refused = Claim::on(&name).unwrap_err();
        assert!(refused.to_string().contains("--bridge"), "{refused}");
        Claim::on("another").unwrap();
        drop(claim);
        Claim::on(&name).unwrap();
    }
}
