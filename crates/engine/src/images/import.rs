//! `import`: a root file system as one archive becomes an image.

use std::sync::Arc;

use barge_api_types::ProgressMessage;
use barge_image::ImportOptions;
use barge_types::Reference;

use super::Images;
use crate::blocking;
use crate::bridge::{Upload, UploadReader};
use crate::error::{EngineError, Result};

/// What to import, and as what.
#[derive(Debug)]
pub struct ImportRequest {
    /// The archive.
    pub body: Upload,
    /// The repository; none for an image without a name.
    pub repo: String,
    /// The tag, `latest` when empty.
    pub tag: String,
    /// A message for the history.
    pub message: String,
    /// Instructions of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
    /// What the image is for; this machine when empty.
    pub platform: String,
}

impl Images {
    /// Imports and says the image's id, as the line that Docker's stream ends with.
    pub async fn import(self: &Arc<Self>, request: ImportRequest) -> Result<ProgressMessage> {
        let invalid = |error: &dyn std::fmt::Display| EngineError::Invalid(error.to_string());
        let reference = reference(&request.repo, &request.tag)?;
        let platform = match request.platform.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|error| invalid(&error))?),
        };
        let options =
            ImportOptions { message: request.message, changes: request.changes, platform };
        let reader = Box::new(UploadReader::new(request.body));
        let this = Arc::clone(self);
        blocking::paced(move || {
            let id = this.store.import(reader, reference.as_ref(), &options)?;
            if let Some(reference) = &reference {
                this.tell("tag", &id, &reference.familiar());
            }
            this.tell("import", &id, &id.to_string());
            Ok(ProgressMessage::status(id.to_string()))
        })
        .await
    }
}

/// A repository and a tag as the API gives them: apart, or both in the first.
pub(super) fn reference(repo: &str, tag: &str) -> Result<Option<Reference>> {
    if repo.is_empty() {
        return Ok(None);
    }
    let parse = |text: &str| {
        text.parse::<Reference>().map_err(|error| EngineError::Invalid(error.to_string()))
    };
    let reference = parse(repo)?;
    if reference.digest().is_some() {
        return Err(EngineError::Invalid("cannot import digest reference".to_owned()));
    }
    if tag.is_empty() {
        return Ok(Some(reference));
    }
    // Docker's text, which does not say more.
    reference.with_tag(tag).map(Some).map_err(|_| EngineError::Invalid("invalid tag format".into()))
}
