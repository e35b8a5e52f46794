//! No network (`none`): a namespace with a loopback interface, which every sandbox has.

use crate::driver::NetworkDriver;
use crate::endpoint::{Attachment, Endpoint, EndpointId, EndpointOptions};
use crate::error::Result;
use crate::sandbox::Sandbox;

/// The driver of the network `none`.
#[derive(Debug)]
pub(crate) struct Null;

impl NetworkDriver for Null {
    fn allocate(&self, _id: &EndpointId, options: &EndpointOptions) -> Result<Attachment> {
        options.refuse_own_link("none").map(|()| Attachment::Null)
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
