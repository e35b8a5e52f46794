//! Further processes in a running container.

use barge_api_types::{ExecCreateRequest, ExecCreateResponse, ExecInspect, ExecStartRequest};

use crate::connection::Client;
use crate::error::Result;
use crate::hijack::Hijacked;
use crate::query::Path;

/// Calls on processes started in running containers.
#[derive(Clone, Copy, Debug)]
pub struct Execs<'a> {
    pub(crate) client: &'a Client,
}

impl Execs<'_> {
    /// Prepares a process.
    pub async fn create(
        self,
        container: &str,
        request: &ExecCreateRequest,
    ) -> Result<ExecCreateResponse> {
        let path = Path::new(&["containers", container, "exec"]);
        self.client.post(path).json(request)?.decode("created exec").await
    }

    /// Starts it and lets it go.
    pub async fn start_detached(self, id: &str, request: &ExecStartRequest) -> Result<()> {
        let path = Path::new(&["exec", id, "start"]);
        self.client.post(path).json(request)?.done().await
    }

    /// Starts it and hands over its streams.
    pub async fn start(self, id: &str, request: &ExecStartRequest) -> Result<Hijacked> {
        let path = Path::new(&["exec", id, "start"]);
        self.client.post(path).json(request)?.hijack().await
    }

    /// Tells its terminal the window's size.
    pub async fn resize(self, id: &str, height: u16, width: u16) -> Result<()> {
        let path = Path::new(&["exec", id, "resize"]).with("h", height).with("w", width);
        self.client.post(path).done().await
    }

    /// Whether it runs, and its exit code.
    pub async fn inspect(self, id: &str) -> Result<ExecInspect> {
        let path = Path::new(&["exec", id, "json"]);
        self.client.get(path).decode("exec").await
    }
}
