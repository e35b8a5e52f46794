//! `images`: which images there are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use barge_api_types::{FilterError, Filters, ImageSummary};
use barge_image::{Image, ImageStore};
use barge_types::{Digest, ImageId, Reference};

use super::{Images, glob};
use crate::blocking;
use crate::containers::no_moment;
use crate::error::{EngineError, Result};
use crate::time;

/// Which images.
#[derive(Clone, Debug, Default)]
pub struct ImageListOptions {
    /// Also those without a name that others were committed on.
    pub all: bool,
    /// With the bytes that each shares with others.
    pub shared_size: bool,
    /// With the manifests that each came with.
    pub manifests: bool,
    /// Which.
    pub filters: Filters,
}

const FILTERS: [&str; 7] = ["before", "dangling", "label", "label!", "reference", "since", "until"];

impl Images {
    /// The images, the youngest first.
    pub async fn list(self: &Arc<Self>, options: ImageListOptions) -> Result<Vec<ImageSummary>> {
        let this = Arc::clone(self);
        blocking::run(move || this.list_now(&options)).await
    }

    fn list_now(&self, options: &ImageListOptions) -> Result<Vec<ImageSummary>> {
        let mut images = self.store.list();
        let parents = parents(&images);
        images.retain(|image| options.all || !is_hidden(image, &parents));
        let shares = options.shared_size.then(|| layer_users(&images));
        let images = self.choose(images, &options.filters)?;
        let users = self.containers.count_by_image();
        let mut summaries = Vec::with_capacity(images.len());
        for image in &images {
            let mut summary = self.summary(image, &users, shares.as_ref());
            if options.manifests {
                summary.manifests = self.manifests(image)?;
            }
            summaries.push(summary);
        }
        Ok(summaries)
    }

    /// Those of some images that the filters let through, with those of their names that do so, the youngest first.
    pub(super) fn choose(&self, mut images: Vec<Image>, filters: &Filters) -> Result<Vec<Image>> {
        let invalid = |error: FilterError| EngineError::Invalid(error.to_string());
        filters.check_keys(&FILTERS).map_err(invalid)?;
        let dangling = filters.flag("dangling").map_err(invalid)?;
        if let Some(pattern) = filters.values("reference").find(|pattern| !glob::is_valid(pattern))
        {
            return Err(EngineError::Invalid(format!(
                "invalid filter 'reference={pattern}': syntax error in pattern"
            )));
        }
        let span = Span::parse(&self.store, filters)?;
        images.retain(|image| span.has(image) && has_labels(image, filters));
        if filters.contains("reference") {
            for image in &mut images {
                let is_meant = |name: &Reference| {
                    filters.values("reference").any(|pattern| is_named(name, pattern))
                };
                image.references.retain(is_meant);
            }
            images.retain(|image| !image.references.is_empty());
        }
        images.retain(|image| match dangling {
            None => true,
            Some(true) => image.repo_tags().is_empty(),
            Some(false) => !image.references.is_empty(),
        });
        images.sort_by_cached_key(|image| (std::cmp::Reverse(moment(image)), image.id));
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
            labels: labels(image),
            parent_id: image.parent.map_or_else(String::new, |parent| parent.to_string()),
            descriptor: self.descriptor(image),
            repo_digests: image.repo_digests(),
            repo_tags: image.repo_tags(),
            shared_size: shares.map_or(-1, shared),
            size,
            virtual_size: size,
            ..ImageSummary::default()
        }
    }
}

/// Those that others were committed on.
pub(super) fn parents(images: &[Image]) -> HashSet<ImageId> {
    images.iter().filter_map(|image| image.parent).collect()
}

/// An image without a name that others were committed on: a part of those.
pub(super) fn is_hidden(image: &Image, parents: &HashSet<ImageId>) -> bool {
    image.references.is_empty() && parents.contains(&image.id)
}

/// How many of some images have each layer.
fn layer_users(images: &[Image]) -> HashMap<Digest, usize> {
    let mut users = HashMap::new();
    for chain in images.iter().flat_map(|image| &image.chain_ids) {
        *users.entry(*chain).or_default() += 1;
    }
    users
}

/// When an image may have been made; several bounds of one kind are all heeded.
struct Span {
    after: Option<SystemTime>,
    before: Option<SystemTime>,
}

impl Span {
    fn parse(store: &ImageStore, filters: &Filters) -> Result<Self> {
        let (mut after, mut before) = (None::<SystemTime>, None::<SystemTime>);
        let mut earliest = |moment| before = Some(before.map_or(moment, |old| old.min(moment)));
        for name in filters.values("before") {
            earliest(moment(&store.get(name)?));
        }
        for text in filters.values("until") {
            earliest(time::parse(text).ok_or_else(|| no_moment(text))?);
        }
        for name in filters.values("since") {
            let moment = moment(&store.get(name)?);
            after = Some(after.map_or(moment, |old| old.max(moment)));
        }
        Ok(Self { after, before })
    }

    fn has(&self, image: &Image) -> bool {
        let moment = moment(image);
        self.after.is_none_or(|after| moment > after)
            && self.before.is_none_or(|before| moment < before)
    }
}

pub(super) fn labels(image: &Image) -> BTreeMap<String, String> {
    image.config.config.as_ref().map(|config| config.labels.clone()).unwrap_or_default()
}

pub(super) fn has_labels(image: &Image, filters: &Filters) -> bool {
    let labels = labels(image);
    let is_excluded = filters.contains("label!") && filters.matches_labels("label!", &labels);
    filters.matches_labels("label", &labels) && !is_excluded
}

/// When an image was made; 1970 for one that does not say.
pub(super) fn moment(image: &Image) -> SystemTime {
    image.created().and_then(time::from_rfc3339).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Seconds since 1970; zero for an image that does not say.
fn created(image: &Image) -> i64 {
    time::unix_seconds(moment(image))
}

/// Whether a name matches a pattern, with its tag or without.
fn is_named(reference: &Reference, pattern: &str) -> bool {
    let names = [
        reference.familiar(),
        reference.familiar_name(),
        reference.to_string(),
        reference.repository(),
    ];
    names.iter().any(|name| glob::matches(pattern, name))
}
