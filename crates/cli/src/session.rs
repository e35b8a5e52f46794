//! What every command has at hand: the daemon, once it is asked for, and our own streams.

use std::cell::OnceCell;

use barge_client::Client;

use crate::context::{self, Endpoint, Origin};
use crate::daemon;
use crate::error::Result;
use crate::root::GlobalFlags;
use crate::streams::Streams;

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Session {
    globals: GlobalFlags,
    client: OnceCell<Client>,
    pub(crate) streams: Streams,
}

impl Session {
    pub(crate) fn new(globals: &mut GlobalFlags) -> Self {
        Self { globals: std::mem::take(globals), client: OnceCell::new(), streams: Streams }
    }

    /// The daemon, connected to; started when it is the default one, none runs and we may.
    pub(crate) async fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let Endpoint { host, origin } = context::endpoint(&self.globals)?;
        if self.globals.is_debugging() {
            self.streams.note(format!("level=debug msg=\"daemon at {host}, {origin}\""));
        }
        let client = Client::new(host);
        match client.connect().await {
            Err(error)
                if error.is_unreachable()
                    && origin == Origin::Default
                    && rustix::process::geteuid().is_root() =>
            {
                daemon::start(&client).await?;
            }
            result => result?,
        }
        Ok(self.client.get_or_init(|| client))
    }

    /// Where the client's configuration lies, and the name of the context in use.
    pub(crate) fn context_name(&self) -> String {
        context::name(&self.globals)
    }
}
