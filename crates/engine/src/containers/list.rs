//! `ps`: which containers there are.

use std::sync::Arc;

use barge_api_types::{ContainerSummary, Filters};
use barge_types::ErrorKind;
use regex_lite::Regex;

use super::Containers;
use super::container::Container;
use super::health::HealthStatus;
use super::record::MountSource;
use super::settings::invalid;
use crate::error::Result;
use crate::{blocking, time};

/// Which containers, and how many.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// At most so many, the youngest; all when absent or not positive.
    pub limit: Option<i64>,
    /// With the sizes of their layers, which takes a walk of each.
    pub size: bool,
    /// Which.
    pub filters: Filters,
}

const FILTERS: [&str; 16] = [
    "ancestor",
    "annotation",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];
const STATES: [&str; 7] =
    ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

impl Containers {
    /// The containers, the youngest first.
    pub async fn list(self: &Arc<Self>, options: ListOptions) -> Result<Vec<ContainerSummary>> {
        let mut chosen = self.choose(&options)?;
        if let Some(limit) =
            options.limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0)
        {
            chosen.truncate(limit);
        }
        if !options.size {
            return Ok(chosen.iter().map(|container| self.summary(container)).collect());
        }
        let this = Arc::clone(self);
        blocking::run(move || {
            let mut summaries = Vec::new();
            for container in &chosen {
                let (rw, root) = match this.sizes(container) {
                    Ok(sizes) => sizes,
                    // It was removed meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let mut summary = this.summary(container);
                summary.size_rw = rw;
                summary.size_root_fs = root;
                summaries.push(summary);
            }
            Ok(summaries)
        })
        .await
    }

    /// Those that the filters let through, the youngest first.
    pub(super) fn choose(&self, options: &ListOptions) -> Result<Vec<Arc<Container>>> {
        let chooser = Chooser::parse(self, &options.filters)?;
        // A filter for a state, or a number, asks for those that do not run too; others do not.
        let has_limit = options.limit.is_some_and(|limit| limit > 0);
        let all = options.all || has_limit || options.filters.contains("status");
        let mut chosen: Vec<Arc<Container>> = self
            .registry
            .all()
            .into_iter()
            .filter(|container| {
                all || container.state().running().is_some()
                    || container.state().word() == "restarting"
            })
            .filter(|container| chooser.takes(self, container))
            .collect();
        chosen.sort_by_cached_key(|container| {
            std::cmp::Reverse((
                time::from_rfc3339(&container.record().created),
                container.id.clone(),
            ))
        });
        Ok(chosen)
    }
}

/// The filters, parsed.
struct Chooser<'a> {
    filters: &'a Filters,
    /// By regular expression; what is none is a name as it stands.
    names: Vec<(&'a str, Option<Regex>)>,
    is_task: Option<bool>,
    exited: Vec<i32>,
    ancestors: Option<Vec<barge_types::ImageId>>,
    before: Option<String>,
    since: Option<String>,
}

impl<'a> Chooser<'a> {
    fn parse(containers: &Containers, filters: &'a Filters) -> Result<Self> {
        filters.check_keys(&FILTERS).map_err(|error| invalid(error.to_string()))?;
        if let Some(word) = filters.values("status").find(|word| !STATES.contains(word)) {
            return Err(invalid(format!("invalid filter 'status={word}'")));
        }
        if let Some(word) = filters.values("health").find(|word| !HEALTH.contains(word)) {
            return Err(invalid(format!(
                "invalid value for health ({word}): must be one of {}",
                HEALTH.join(", ")
            )));
        }
        let names = filters.values("name").map(|text| (text, Regex::new(text).ok())).collect();
        let is_task = filters.flag("is-task").map_err(|error| invalid(error.to_string()))?;
        for key in ["expose", "publish"] {
            if let Some(text) = filters.values(key).find(|text| ports(text).is_none()) {
                return Err(invalid(format!("error while looking up for {key} {text}: no port")));
            }
        }
        let exited = filters
            .values("exited")
            .map(|text| {
                text.parse().map_err(|_| invalid(format!("invalid filter 'exited={text}'")))
            })
            .collect::<Result<_>>()?;
        let created = |key: &str| match filters.values(key).next() {
            Some(name) => containers
                .registry
                .find(name)
                .map(|container| Some(container.record().created.clone())),
            None => Ok(None),
        };
        // An image that does not exist is nobody's ancestor.
        let ancestors = filters.contains("ancestor").then(|| {
            filters
                .values("ancestor")
                .filter_map(|name| containers.images.get(name).ok())
                .map(|image| image.id)
                .collect()
        });
        Ok(Self {
            filters,
            names,
            is_task,
            exited,
            ancestors,
            before: created("before")?,
            since: created("since")?,
        })
    }

    fn takes(&self, containers: &Containers, container: &Container) -> bool {
        let record = container.record();
        let state = container.state();
        let born = |text: &str| time::from_rfc3339(text);
        let name = format!("/{}", record.name);
        let network = |wanted: &str| {
            record.host_config.network_mode == wanted
                || containers
                    .network_of(container)
                    .is_some_and(|(name, id)| name == wanted || id == wanted)
        };
        let is_any = |key: &str, test: &dyn Fn(&str) -> bool| {
            !self.filters.contains(key) || self.filters.values(key).any(test)
        };
        let is_name = |(text, regex): &(&str, Option<Regex>)| {
            name[1..] == **text
                || regex
                    .as_ref()
                    .is_some_and(|regex| regex.is_match(&name) || regex.is_match(&name[1..]))
        };
        (self.names.is_empty() || self.names.iter().any(is_name))
            && is_any("id", &|wanted| record.id.as_str().starts_with(wanted))
            && self.filters.matches("status", state.word())
            && (self.exited.is_empty()
                || (state.ended().is_some()
                    && state.running().is_none()
                    && self.exited.contains(&state.exit_code())))
            && self.filters.matches_labels("label", &record.config.labels)
            && self.filters.matches_labels("annotation", &record.host_config.annotations)
            && self
                .ancestors
                .as_ref()
                .is_none_or(|ids| self.descends(containers, record.image, ids))
            && self.before.as_ref().is_none_or(|before| born(&record.created) < born(before))
            && self.since.as_ref().is_none_or(|since| born(&record.created) > born(since))
            && is_any("network", &network)
            && is_any("volume", &|wanted| {
                record.mounts.iter().any(|mount| is_volume(mount, wanted))
            })
            && self.filters.matches("health", container.health().map_or("none", HealthStatus::word))
            && self.is_task != Some(true)
            && is_any("isolation", &|wanted| wanted == "default" || wanted.is_empty())
            && self.has_port(containers, container)
    }

    /// Whether one of its ports is exposed or published as asked: by the number inside for `expose`, by the host's for
    /// `publish`.
    fn has_port(&self, containers: &Containers, container: &Container) -> bool {
        let wanted = |key: &str, number: u16, protocol: &str| {
            self.filters
                .values(key)
                .filter_map(ports)
                .any(|(first, last, wanted)| wanted == protocol && (first..=last).contains(&number))
        };
        if !self.filters.contains("expose") && !self.filters.contains("publish") {
            return true;
        }
        containers.port_summaries(container).iter().any(|port| {
            wanted("expose", port.private_port, &port.protocol)
                || wanted("publish", port.public_port, &port.protocol)
        })
    }

    /// Whether an image is one of those or made on top of one: it begins with the same layers.
    fn descends(
        &self,
        containers: &Containers,
        image: barge_types::ImageId,
        ancestors: &[barge_types::ImageId],
    ) -> bool {
        if ancestors.contains(&image) {
            return true;
        }
        let Ok(own) = containers.images.image(&image) else {
            return false;
        };
        ancestors.iter().any(|ancestor| {
            containers.images.image(ancestor).is_ok_and(|found| {
                !found.diff_ids.is_empty() && own.diff_ids.starts_with(&found.diff_ids)
            })
        })
    }
}

fn is_volume(mount: &super::record::MountRecord, wanted: &str) -> bool {
    mount.destination == wanted
        || match &mount.source {
            MountSource::Volume { name, .. } => name == wanted,
            MountSource::Bind { path, .. } => path.as_os_str() == wanted,
            MountSource::Image { name, .. } => name == wanted,
            MountSource::Tmpfs { .. } => false,
        }
}

/// The first and the last of `80-90/tcp`, and the protocol.
fn ports(text: &str) -> Option<(u16, u16, &str)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    Some((first.parse().ok()?, last.parse().ok()?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_filter_is_a_port_or_a_range() {
        assert_eq!(ports("80"), Some((80, 80, "tcp")));
        assert_eq!(ports("80-90/udp"), Some((80, 90, "udp")));
        assert_eq!(ports("80-"), None);
        assert_eq!(ports("x"), None);
    }
}
