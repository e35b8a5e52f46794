//! `resize`: the size of a container's terminal.

use barge_shim_api::{ConsoleSize, Request};

use super::Containers;
use super::pause::not_running;
use crate::error::Result;

impl Containers {
    /// Sets the size of the terminal of a running container.
    pub async fn resize(&self, name: &str, height: u16, width: u16) -> Result<()> {
        let container = self.registry.find(name)?;
        if container.state().running().is_none() {
            return Err(not_running(&container));
        }
        let request = Request::Resize { exec_id: None, size: ConsoleSize { height, width } };
        self.ask(&container, "resize the container's terminal", &request).await?;
        let size = [("height", height.to_string()), ("width", width.to_string())];
        self.tell_with(&container, "resize", &size);
        Ok(())
    }
}
