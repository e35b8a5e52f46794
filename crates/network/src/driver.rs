//! What a kind of network must be able to do.

use std::fmt::Debug;

use barge_types::Port;

use crate::endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions};
use crate::error::{NetworkError, Result};
use crate::ports::{PortRequest, PublishedPort};
use crate::sandbox::Sandbox;

/// A kind of network: makes places for containers in one network, and makes them real.
pub(crate) trait NetworkDriver: Send + Sync + Debug {
    /// Reserves what a container's place consists of; nothing is made yet.
    fn allocate(&self, id: &EndpointId, options: &EndpointOptions) -> Result<Attachment>;

    /// Reserves what an endpoint has that was allocated by an earlier daemon.
    fn adopt(&self, endpoint: &Endpoint);

    /// The sandbox that was chosen for an endpoint when it was allocated; most kinds of networks take any.
    fn sandbox(&self, _endpoint: &Endpoint) -> Option<Sandbox> {
        None
    }

    /// Makes an endpoint real inside a sandbox. When it fails nothing is left.
    fn plug(&self, endpoint: &Endpoint, sandbox: &Sandbox) -> Result<()>;

    /// Publishes other ports of an endpoint that is plugged: those of `keep` stay, those of `add` come, all else that
    /// it has goes. Answers with what it has now. When it fails nothing has changed.
    fn republish(
        &self,
        endpoint: &Endpoint,
        keep: &[PublishedPort],
        add: &[PortRequest],
    ) -> Result<Vec<PublishedPort>> {
        match add {
            [] => Ok(keep.to_vec()),
            [_, ..] => Err(NetworkError::NotForThisMode {
                option: "port publishing",
                mode: endpoint.network_name.clone(),
            }),
        }
    }

    /// Lets one endpoint of the network reach ports of another until either is released, where they are kept apart.
    fn link(&self, _from: &Endpoint, _to: &Endpoint, _ports: &[Port]) -> Result<()> {
        Ok(())
    }

    /// Takes back every `link` from the one to the other.
    fn unlink(&self, _from: &Endpoint, _to: &Endpoint) -> Result<()> {
        Ok(())
    }

    /// Undoes `plug`, where that happened, and `allocate`. Goes on when a step fails and says what failed.
    fn release(&self, endpoint: &Endpoint) -> Result<()>;

    /// Removes what the network itself consists of.
    fn remove(&self) -> Result<()>;
}
