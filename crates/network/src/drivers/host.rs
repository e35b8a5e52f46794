//! The host's own network: there is nothing to make.

use crate::driver::NetworkDriver;
use crate::endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions};
use crate::error::Result;
use crate::sandbox::Sandbox;

/// The driver of the network `host`.
#[derive(Debug)]
pub(crate) struct Host;

impl NetworkDriver for Host {
    fn allocate(&self, _id: &EndpointId, options: &EndpointOptions) -> Result<Attachment> {
        options.refuse_own_link("host").map(|()| Attachment::Host)
    }

    fn adopt(&self, _endpoint: &Endpoint) {}

    fn plug(&self, _endpoint: &Endpoint, _sandbox: &Sandbox) -> Result<()> {
        Ok(())
    }

    fn release(&self, _endpoint: &Endpoint) -> Result<()> {
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        Ok(())
    }
}
