//! `images`: which images there are.

use std::collections::HashMap;
use std::sync::Arc;

use barge_api_types::{Filters, ImageSummary};
use barge_image::Image;
use barge_types::{Digest, ImageId};

use super::Images;
use crate::blocking;
use crate::containers::time_filter;
use crate::error::{EngineError, Result};
use crate::time;

/// Which images.
#[derive(Clone, Debug, Default)]
pub struct ImageListOptions {
    /// Also those that are only parts of others, of which barge has none.
    pub all: bool,
    /// With the bytes that each shares with others.
    pub shared_size: bool,
    /// Which.
    pub filters: Filters,
}

impl Images {
    /// The images, the youngest first.
    pub async fn list(self: &Arc<Self>, options: ImageListOptions) -> Result<Vec<ImageSummary>> {
        let this = Arc::clone(self);
        blocking::run(move || {
            let images = this.choose(&options.filters)?;
            let users = this.containers.count_by_image();
            let shares = if options.shared_size { Some(this.layer_users()) } else { None };
            Ok(images.iter().map(|image| this.summary(image, &users, shares.as_ref())).collect())
        })
        .await
    }

    /// Those that the filters let through, the youngest first.
    pub(super) fn choose(&self, filters: &Filters) -> Result<Vec<Image>> {
        let keys = ["before", "dangling", "label", "label!", "reference", "since", "until"];
        let invalid = |error: barge_api_types::FilterError| EngineError::Invalid(error.to_string());
        filters.check_keys(&keys).map_err(invalid)?;
        let dangling = filters.flag("dangling").map_err(invalid)?;
        let until = time_filter(filters)?;
        let moment = |key: &str| match filters.values(key).next() {
            Some(name) => Ok(Some(created(&self.store.get(name)?))),
            None => Ok::<_, EngineError>(None),
        };
        let (before, since) = (moment("before")?, moment("since")?);
        let mut images: Vec<Image> = self.store.list();
        images.retain(|image| {
            let moment = created(image);
            let labels = image
                .config
                .config
                .as_ref()
                .map(|config| config.labels.clone())
                .unwrap_or_default();
            let is_excluded =
                filters.contains("label!") && filters.matches_labels("label!", &labels);
            dangling.is_none_or(|dangling| dangling == image.references.is_empty())
                && filters.matches_labels("label", &labels)
                && !is_excluded
                && before.is_none_or(|before| moment < before)
                && since.is_none_or(|since| moment > since)
                && until.is_none_or(|until| moment < time::unix_seconds(until))
                && (!filters.contains("reference")
                    || filters.values("reference").any(|pattern| is_named(image, pattern)))
        });
        images.sort_by_key(|image| (std::cmp::Reverse(created(image)), image.id));
        Ok(images)
    }

    pub(crate) fn summary(
        &self,
        image: &Image,
        users: &HashMap<ImageId, i64>,
        shares: Option<&HashMap<Digest, usize>>,
    ) -> ImageSummary {
        let size = i64::try_from(image.size).unwrap_or(i64::MAX);
        let shared = |shares: &HashMap<Digest, usize>| {
            let is_shared = |chain: &&Digest| shares.get(chain).is_some_and(|count| *count > 1);
            let sizes = image
                .chain_ids
                .iter()
                .filter(is_shared)
                .filter_map(|chain| self.store.layer(chain));
            i64::try_from(sizes.map(|layer| layer.size).sum::<u64>()).unwrap_or(i64::MAX)
        };
        ImageSummary {
            containers: users.get(&image.id).copied().unwrap_or(0),
            created: created(image),
            id: image.id.to_string(),
            labels: image
                .config
                .config
                .as_ref()
                .map(|config| config.labels.clone())
                .unwrap_or_default(),
            repo_digests: image.repo_digests(),
            repo_tags: image.repo_tags(),
            shared_size: shares.map_or(-1, shared),
            size,
            virtual_size: size,
            ..ImageSummary::default()
        }
    }

    /// How many images have each layer.
    fn layer_users(&self) -> HashMap<Digest, usize> {
        let mut users = HashMap::new();
        for chain in self.store.list().iter().flat_map(|image| image.chain_ids.clone()) {
            *users.entry(chain).or_default() += 1;
        }
        users
    }
}

/// Seconds since 1970; zero for an image that does not say.
pub(super) fn created(image: &Image) -> i64 {
    image.created().and_then(time::from_rfc3339).map_or(0, time::unix_seconds)
}

/// Whether one of an image's names matches a pattern with `*` and `?`, with its tag or without.
fn is_named(image: &Image, pattern: &str) -> bool {
    image.references.iter().any(|reference| {
        let names = [
            reference.familiar(),
            reference.familiar_name(),
            reference.to_string(),
            reference.repository(),
        ];
        names.iter().any(|name| glob(pattern.as_bytes(), name.as_bytes()))
    })
}

/// Go's `path.Match` without classes: `*` does not cross a slash.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(first, left)| *first != b'/' && glob(pattern, left))
        }
        (Some((b'?', rest)), Some((first, left))) => *first != b'/' && glob(rest, left),
        (Some((wanted, rest)), Some((first, left))) => wanted == first && glob(rest, left),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_part() {
        assert!(glob(b"deb*", b"debian"));
        assert!(glob(b"*/app:v?", b"user/app:v1"));
        assert!(!glob(b"*", b"user/app"));
        assert!(!glob(b"debian", b"debian:12"));
    }
}
