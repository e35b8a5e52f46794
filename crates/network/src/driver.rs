//! What a kind of network must be able to do.

use std::fmt::Debug;

use crate::endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions};
use crate::error::Result;
use crate::sandbox::Sandbox;

/// A kind of network: makes places for containers in one network, and makes them real.
pub(crate) trait NetworkDriver: Send + Sync + Debug {
    /// Reserves what a container's place consists of; nothing is made yet.
    fn allocate(&self, id: &EndpointId, options: &EndpointOptions) -> Result<Attachment>;

    /// Reserves what an endpoint has that was allocated by an earlier daemon.
    fn adopt(&self, endpoint: &Endpoint);

    /// Makes an endpoint real inside a sandbox. When it fails nothing is left.
    fn plug(&self, endpoint: &Endpoint, sandbox: &Sandbox) -> Result<()>;

    /// Undoes `plug`, where that happened, and `allocate`. Goes on when a step fails and says what failed.
    fn release(&self, endpoint: &Endpoint) -> Result<()>;

    /// Removes what the network itself consists of.
    fn remove(&self) -> Result<()>;
}
