//! Base images: those that are here, and otherwise the daemon's own pull.

use std::sync::Arc;

use barge_api_types::ProgressMessage;
use barge_builder::runner::Cancel;
use barge_builder::sources::{ImageNews, ImageWant, Pull};
use barge_image::Held;
use barge_types::{Platform, Reference};

use super::BuildSources;
use crate::error::{EngineError, Result};
use crate::images::{NONE_FITS, PullRequest, is_for};

impl BuildSources {
    pub(super) fn base_image(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(ImageNews<'_>),
        cancel: &Cancel,
    ) -> Result<Held> {
        let here = match want.pull {
            Pull::WhenMissing => self.local(want)?,
            Pull::Always => Local::Missing,
        };
        match here {
            Local::Here(image) => return Ok(*image),
            Local::OfAnother(platform) => {
                let pulled = self.pull(want, told, cancel);
                pulled.map_err(|error| only_here_for(want, &platform, &error))?;
            }
            Local::Missing => self.pull(want, told, cancel)?,
        }
        let image = self.images.store.hold_base(want.reference)?;
        // As `create` does: what the registry has is another machine's.
        if want.platform.is_some_and(|platform| !is_for(&image, platform)) {
            return Err(wrong_platform(want, &image));
        }
        Ok(image)
    }

    /// An image that is here and for the platform that is meant. One that has only its id is not looked for elsewhere.
    fn local(&self, want: &ImageWant<'_>) -> Result<Local> {
        let store = &self.images.store;
        let found = match store.hold_base(want.reference) {
            Ok(image) => image,
            Err(_) => match self.images.containers.builtin.provide(store, want.reference)? {
                Some(_) => store.hold_base(want.reference)?,
                None => return Ok(Local::Missing),
            },
        };
        if want.platform.is_none_or(|platform| is_for(&found, platform)) {
            return Ok(Local::Here(Box::new(found)));
        }
        if want.reference.parse::<Reference>().is_err() {
            return Err(wrong_platform(want, &found));
        }
        Ok(Local::OfAnother(shown_platform(&found)))
    }

    fn pull(
        &self,
        want: &ImageWant<'_>,
        told: &mut dyn FnMut(ImageNews<'_>),
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
        // Dropping the messages ends a pull that nobody else waits for.
        let mut messages = self.wait(images.pull(request), cancel)?;
        while let Some(message) = self.wait(async { Ok(messages.recv().await) }, cancel)? {
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
            // Between two waits: whoever is told may wait for its client, which nobody may inside of one.
            report(&message, told);
        }
        Ok(())
    }
}

fn report(message: &ProgressMessage, told: &mut dyn FnMut(ImageNews<'_>)) {
    // The registry has its manifest; whether that is for the platform is known with what comes next.
    if !message.status.starts_with("Pulling from ") {
        told(ImageNews::Found);
    }
    let Some(detail) = &message.progress_detail else { return };
    let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
    // Only what is downloaded: unpacking goes on beside it.
    if detail.total > 0 && message.status == "Downloading" {
        let (current, total) = (bytes(detail.current), bytes(detail.total));
        told(ImageNews::Advanced { what: &message.id, current, total });
    }
}

/// What of an image is here.
enum Local {
    Here(Box<Held>),
    /// One for a platform that is not meant.
    OfAnother(String),
    Missing,
}

/// Why what is here will not do, and why nothing else came.
fn only_here_for(want: &ImageWant<'_>, platform: &str, error: &EngineError) -> EngineError {
    let wanted = want.platform.map(ToString::to_string).unwrap_or_default();
    if matches!(error, EngineError::Cancelled) {
        return EngineError::Cancelled;
    }
    EngineError::NotFound(format!(
        "it is here for {platform} only, not for {wanted}, and could not be pulled: {}",
        error.message()
    ))
}

fn shown_platform(image: &Held) -> String {
    let config = &image.config;
    match config.variant.as_str() {
        "" => format!("{}/{}", config.os, config.architecture),
        variant => format!("{}/{}/{variant}", config.os, config.architecture),
    }
}

fn wrong_platform(want: &ImageWant<'_>, image: &Held) -> EngineError {
    let wanted = want.platform.map(ToString::to_string).unwrap_or_default();
    EngineError::NotFound(format!(
        "image with reference {} was found but does not provide the specified platform ({wanted}): it is for {}",
        want.reference,
        shown_platform(image)
    ))
}
