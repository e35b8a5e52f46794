//! What a client says of a build, parsed at the door into the builder's own words.

use std::collections::BTreeMap;

use barge_api_types::Ulimit;
use barge_builder::BuildRequest;
use barge_builder::request::{CacheRemote, CacheUse, Context, DockerfileSource, Limits};
use barge_builder::runner::StepNetwork;
use barge_builder::sources::Pull;
use barge_network::hosts_file::ExtraHost;
use barge_types::{Platform, Reference};

use crate::error::{EngineError, Result};

/// The query of `POST /build`, by the API's names.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the parameters of the API, by its names")]
pub struct BuildQuery {
    /// `t`.
    pub tags: Vec<String>,
    /// `dockerfile`.
    pub dockerfile: String,
    /// `remote`.
    pub remote: String,
    /// `q`: only the image's id.
    pub quiet: bool,
    /// `nocache`.
    pub no_cache: bool,
    /// `cachefrom`.
    pub cache_from: Vec<String>,
    /// `pull`.
    pub pull: bool,
    /// `squash`.
    pub squash: bool,
    /// `buildargs`.
    pub build_args: BTreeMap<String, Option<String>>,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `networkmode`.
    pub network: String,
    /// `platform`.
    pub platform: String,
    /// `target`.
    pub target: String,
    /// `extrahosts`.
    pub extra_hosts: Vec<String>,
    /// Limits of each step.
    pub limits: BuildLimits,
}

/// The part of it that limits steps.
#[derive(Clone, Debug, Default)]
pub struct BuildLimits {
    /// `memory`.
    pub memory: i64,
    /// `memswap`.
    pub memory_swap: i64,
    /// `cpushares`.
    pub cpu_shares: i64,
    /// `cpuperiod`.
    pub cpu_period: i64,
    /// `cpuquota`.
    pub cpu_quota: i64,
    /// `cpusetcpus`.
    pub cpuset_cpus: String,
    /// `cpusetmems`.
    pub cpuset_mems: String,
    /// `shmsize`.
    pub shm_size: i64,
    /// `ulimits`.
    pub ulimits: Vec<Ulimit>,
    /// `cgroupparent`.
    pub cgroup_parent: String,
    /// `securityopt`.
    pub security_options: Vec<String>,
}

/// Where Dockerfiles are unless somebody says otherwise.
pub(super) const DOCKERFILE: &str = "Dockerfile";

impl BuildQuery {
    /// The builder's request, without what comes with the context.
    pub(super) fn parse(&self) -> Result<BuildRequest> {
        let path = if self.dockerfile.is_empty() { DOCKERFILE } else { &self.dockerfile };
        for host in &self.extra_hosts {
            ExtraHost::parse(host).map_err(invalid)?;
        }
        let platforms = match self.platform.as_str() {
            "" => Vec::new(),
            list => list.split(',').map(platform).collect::<Result<_>>()?,
        };
        Ok(BuildRequest {
            context: Context::None,
            dockerfile: DockerfileSource::InContext(path.to_owned()),
            target: Some(self.target.clone()).filter(|target| !target.is_empty()),
            build_args: self.build_args.clone(),
            labels: self.labels.clone(),
            tags: tags(&self.tags)?,
            platforms,
            pull: if self.pull { Pull::Always } else { Pull::WhenMissing },
            cache: CacheUse {
                is_off: self.no_cache,
                from: self.cache_from.iter().cloned().map(CacheRemote::Image).collect(),
                ..CacheUse::default()
            },
            network: network(&self.network)?,
            extra_hosts: self.extra_hosts.clone(),
            limits: self.limits.parse()?,
            squash: self.squash,
            ..BuildRequest::default()
        })
    }
}

impl BuildLimits {
    fn parse(&self) -> Result<Limits> {
        let unsigned = |name: &str, value: i64| {
            u64::try_from(value)
                .map_err(|_| EngineError::Invalid(format!("invalid {name}: {value} is negative")))
        };
        let ulimits = self
            .ulimits
            .iter()
            .map(|limit| format!("{}={}:{}", limit.name, limit.soft, limit.hard))
            .collect();
        Ok(Limits {
            memory: self.memory,
            memory_swap: self.memory_swap,
            cpu_shares: unsigned("CPU shares", self.cpu_shares)?,
            cpu_period: unsigned("CPU period", self.cpu_period)?,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            ulimits,
            shm_size: unsigned("size of /dev/shm", self.shm_size)?,
            cgroup_parent: self.cgroup_parent.clone(),
            security_options: self.security_options.clone(),
        })
    }
}

pub(super) fn platform(text: &str) -> Result<Platform> {
    text.trim().parse().map_err(invalid)
}

/// Names, each once.
fn tags(texts: &[String]) -> Result<Vec<Reference>> {
    let mut all: Vec<Reference> = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let tag = name(text)?;
        if !all.contains(&tag) {
            all.push(tag);
        }
    }
    Ok(all)
}

/// A name for an image; without a tag it is `latest`.
pub(super) fn name(text: &str) -> Result<Reference> {
    let reference: Reference = text.parse().map_err(invalid)?;
    if reference.digest().is_some() {
        // Docker's words.
        return Err(EngineError::Invalid("build tag cannot contain a digest".to_owned()));
    }
    Ok(reference)
}

fn network(mode: &str) -> Result<StepNetwork> {
    match mode {
        "" | "default" | "bridge" => Ok(StepNetwork::Default),
        "none" => Ok(StepNetwork::None),
        "host" => Ok(StepNetwork::Host),
        other => Err(EngineError::NotImplemented(format!(
            "network mode {other:?} is not supported for builds: expected default, none or host"
        ))),
    }
}

pub(super) fn invalid(error: impl std::fmt::Display) -> EngineError {
    EngineError::Invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_a_request() {
        let query = BuildQuery {
            tags: vec!["a".to_owned(), "a:latest".to_owned(), String::new(), "b:1".to_owned()],
            network: "none".to_owned(),
            platform: "linux/amd64,linux/arm64".to_owned(),
            ..BuildQuery::default()
        };
        let request = query.parse().unwrap();
        assert_eq!(request.tags.len(), 2);
        assert_eq!(request.network, StepNetwork::None);
        assert_eq!(request.platforms.len(), 2);
        assert_eq!(request.target, None);
        assert!(
            matches!(request.dockerfile, DockerfileSource::InContext(path) if path == "Dockerfile")
        );
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let error = |query: BuildQuery| query.parse().unwrap_err().to_string();
        let network = BuildQuery { network: "container:x".to_owned(), ..BuildQuery::default() };
        assert!(error(network).contains("container:x"));
        let tags = vec![format!("a@sha256:{}", "0".repeat(64))];
        let digest = BuildQuery { tags, ..BuildQuery::default() };
        assert_eq!(error(digest), "build tag cannot contain a digest");
        let limits = BuildLimits { cpu_shares: -1, ..BuildLimits::default() };
        let shares = BuildQuery { limits, ..BuildQuery::default() };
        assert_eq!(error(shares), "invalid CPU shares: -1 is negative");
    }
}
