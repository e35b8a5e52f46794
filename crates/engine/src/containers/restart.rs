//! `restart`: stop, then start. Others do not wait for the end that this waits for.

use std::sync::Arc;

use barge_sys::fault;

use super::stop::StopOptions;
use super::{Containers, to_the_end};
use crate::error::Result;

impl Containers {
    /// Stops a container if it runs, and starts it.
    pub async fn restart(self: &Arc<Self>, name: &str, options: StopOptions) -> Result<()> {
        let container = self.registry.find(name)?;
        let this = Arc::clone(self);
        to_the_end(async move {
            this.stop_now(&container, &options).await?;
            let _verb = container.verb.lock().await;
            fault::point("restart: stopped");
            container.forget_restarts();
            this.start_locked(&container).await?;
            this.tell(&container, "restart");
            Ok(())
        })
        .await
    }
}
