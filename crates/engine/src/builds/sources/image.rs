//! Base images: those that are here, and otherwise the daemon's own pull.

use std::sync::Arc;

use barge_api_types::ProgressMessage;
use barge_builder::runner::Cancel;
use barge_builder::sources::{ImageWant, Pull};
use barge_image::Held;
use barge_types::{Platform, Reference};

use super::BuildSources;
use crate::error::{EngineError, Result};
use crate::images::{NONE_FITS, PullRequest, is_for};

impl BuildSources {
    pub(super) fn base_image(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(&str, u64, u64),
        cancel: &Cancel,
    ) -> Result<Held> {
        if want.pull == Pull::WhenMissing
            && let Some(image) = self.local(want)?
        {
            return Ok(image);
        }
        self.pull(want, told, cancel)?;
        let image = self.images.store.hold(want.reference)?;
        // As `create` does: what the registry has is another machine's.
        if want.platform.is_some_and(|platform| !is_for(&image, platform)) {
            return Err(wrong_platform(want, &image));
        }
        Ok(image)
    }

    /// An image that is here and for the platform that is meant. One that has only its id is not looked for elsewhere.
    fn local(&self, want: &ImageWant<'_>) -> Result<Option<Held>> {
        let store = &self.images.store;
        let found = match store.hold(want.reference) {
            Ok(image) => image,
            Err(_) => match self.images.containers.builtin.provide(store, want.reference)? {
                Some(_) => store.hold(want.reference)?,
                None => return Ok(None),
            },
        };
        let host = Platform::host();
        if is_for(&found, want.platform.unwrap_or(&host)) || want.platform.is_none() {
            return Ok(Some(found));
        }
        if want.reference.parse::<Reference>().is_err() {
            return Err(wrong_platform(want, &found));
        }
        Ok(None)
    }

    fn pull(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(&str, u64, u64),
        cancel: &Cancel,
    ) -> Result<()> {
        let reference: Reference =
            want.reference.parse().map_err(|error| EngineError::Invalid(format!("{error}")))?;
        let request = PullRequest {
            name: reference.to_string(),
            tag: String::new(),
            platform: want.platform.map(ToString::to_string).unwrap_or_default(),
            credentials: self.credentials(want.client, &reference),
        };
        let images = Arc::clone(&self.images);
        let work = async {
            let mut messages = images.pull(request).await?;
            while let Some(message) = messages.recv().await {
                if message.error.starts_with(NONE_FITS) {
                    let host = Platform::host();
                    let wanted = want.platform.unwrap_or(&host);
                    return Err(EngineError::NotFound(format!(
                        "it is there for other platforms, not for {wanted}"
                    )));
                }
                if !message.error.is_empty() {
                    return Err(EngineError::Conflict(message.error));
                }
                report(&message, told);
            }
            Ok(())
        };
        // Dropping the messages ends a pull that nobody else waits for.
        self.wait(work, cancel)
    }
}

fn report(message: &ProgressMessage, told: &mut dyn FnMut(&str, u64, u64)) {
    let Some(detail) = &message.progress_detail else { return };
    let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
    // Only what is downloaded: unpacking goes on beside it.
    if detail.total > 0 && message.status == "Downloading" {
        told(&message.id, bytes(detail.current), bytes(detail.total));
    }
}

fn wrong_platform(want: &ImageWant<'_>, image: &Held) -> EngineError {
    let wanted = want.platform.map(ToString::to_string).unwrap_or_default();
    EngineError::NotFound(format!(
        "image with reference {} was found but does not provide the specified platform ({wanted}): it is for {}/{}",
        want.reference, image.config.os, image.config.architecture
    ))
}
