//! `tag`: one more name for an image.

use std::sync::Arc;

use super::Images;
use super::import::reference;
use crate::blocking;
use crate::error::{EngineError, Result};

impl Images {
    /// Gives an image a name, which another image may lose by that.
    pub async fn tag(self: &Arc<Self>, name: &str, repo: &str, tag: &str) -> Result<()> {
        let reference = reference(repo, tag)?
            .ok_or_else(|| EngineError::Invalid("invalid reference format".to_owned()))?;
        let (this, name) = (Arc::clone(self), name.to_owned());
        blocking::run(move || {
            let image = this.store.get(&name)?;
            this.store.tag(&image.id, &reference)?;
            this.tell("tag", &image.id, &reference.familiar());
            Ok(())
        })
        .await
    }
}
