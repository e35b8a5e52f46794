//! From the flags to what the daemon is asked: pure but for the files that flags name.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use barge_api_types::{BuildContext, BuildInputs};
use barge_client::{BuildLimits, BuildOptions, Caching, Intermediate, Layers, Pulling};
use barge_types::{Platform, Reference};

use super::agents::Agents;
use super::context::{Located, Source};
use super::fields::wrong;
use super::flags::BuildFlags;
use super::folders::{Folders, Reach};
use super::outputs::{self, Output, Shorthands};
use super::remotes::{self, Way};
use super::secrets;
use super::{annotations, attestations};
use crate::commands::container::config::text::pairs;
use crate::config_file::ConfigFile;
use crate::error::{CliError, Result};

/// The one builder there is, under the names that people give it.
const BUILDERS: [&str; 3] = ["", "default", "barge"];

/// What is done with the Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Build,
    /// Looked at only; what is found is told in words or as JSON.
    Check(CheckFormat),
    /// Its stages are listed.
    Targets(CheckFormat),
    /// What the target uses is listed.
    Outline(CheckFormat),
}

impl Call {
    /// What the daemon knows it by.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Build => None,
            Self::Check(_) => Some("check"),
            Self::Targets(_) => Some("targets"),
            Self::Outline(_) => Some("outline"),
        }
    }
}

/// How an answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckFormat {
    Text,
    Json,
}

/// Everything that does not depend on how the daemon gets at our folders.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) options: BuildOptions,
    pub(super) outputs: Vec<Output>,
    pub(super) call: Call,
    inputs: BuildInputs,
    /// Agents of ours, as long as they are needed.
    #[expect(dead_code, reason = "held, not looked at")]
    agents: Agents,
}

/// The proxies that a build's processes use, from the client's configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies(BTreeMap<String, String>);

impl Proxies {
    /// What `proxies` has for this host, or for all.
    pub(super) fn of(config: &ConfigFile, host: &str) -> Self {
        const NAMES: [(&str, &str); 5] = [
            ("httpProxy", "HTTP_PROXY"),
            ("httpsProxy", "HTTPS_PROXY"),
            ("noProxy", "NO_PROXY"),
            ("ftpProxy", "FTP_PROXY"),
            ("allProxy", "ALL_PROXY"),
        ];
        let entry = |wanted: &str| config.entries("proxies").find(|(name, _)| *name == wanted);
        let mut found = BTreeMap::new();
        if let Some((_, proxies)) = entry(host).or_else(|| entry("default")) {
            for (key, name) in NAMES {
                if let Some(value) = proxies[key].as_str().filter(|value| !value.is_empty()) {
                    found.insert(name.to_owned(), value.to_owned());
                    found.insert(name.to_lowercase(), value.to_owned());
                }
            }
        }
        Self(found)
    }
}

impl Request {
    pub(super) fn new(flags: &BuildFlags, proxies: &Proxies) -> Result<Self> {
        refuse(flags)?;
        let mut build_args = arguments(&flags.build_arg);
        if let Ok(epoch) = env::var("SOURCE_DATE_EPOCH")
            && !epoch.is_empty()
        {
            build_args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(Some(epoch));
        }
        for (name, value) in &proxies.0 {
            build_args.entry(name.clone()).or_insert_with(|| Some(value.clone()));
        }
        let epoch = build_args.get("SOURCE_DATE_EPOCH").cloned().flatten();
        let epoch = epoch.filter(|text| !text.is_empty()).map(|text| {
            text.parse().map_err(|_| wrong(format!("invalid SOURCE_DATE_EPOCH: {text}")))
        });
        let mut allow = flags.allow.clone();
        if flags.network == "host" && !allow.iter().any(|what| what == "network.host") {
            // Who asks for it allows it.
            allow.push("network.host".to_owned());
        }
        let mut agents = Agents::new(&flags.ssh)?;
        let platforms = platforms(&flags.platform)?;
        let shorthands = Shorthands { push: flags.push, load: flags.load };
        Ok(Self {
            outputs: outputs::parse(&flags.output, shorthands)?,
            call: call(flags)?,
            inputs: BuildInputs {
                secrets: secrets::secrets(&flags.secret)?,
                ssh: std::mem::take(&mut agents.wire),
                no_cache_filter: split_all(&flags.no_cache_filter),
                annotations: annotations::parse(&flags.annotation, &platforms)?,
                platforms,
                attestations: attestations::parse(flags)?,
                allow,
                source_date_epoch: epoch.transpose()?,
                on_failure: (!flags.on_failure.is_empty()).then(|| flags.on_failure.clone()),
                call: call(flags)?.name().map(str::to_owned),
                ..BuildInputs::default()
            },
            options: options(flags, build_args)?,
            agents,
        })
    }

    /// What does not fit into the options, for a daemon that gets at our folders that way.
    pub(super) fn inputs(
        &self,
        flags: &BuildFlags,
        located: &Located,
        reach: Reach,
    ) -> Result<(BuildInputs, Folders)> {
        let mut folders = Folders::new(reach);
        if reach == Reach::Archives && !self.inputs.ssh.is_empty() {
            return Err(wrong("--ssh needs a daemon on the same machine"));
        }
        let mut inputs = self.inputs.clone();
        inputs.context = match &located.source {
            Source::Folder(path) if folders.reach() == Reach::Descriptors => BuildContext::Folder {
                fd: folders.open(path, "build context")?,
                identity: identity(path)?,
            },
            Source::Folder(_) | Source::Archive(_) => BuildContext::Tar,
            Source::Remote(_) | Source::Nothing => BuildContext::None,
        };
        inputs.dockerfile.clone_from(&located.dockerfile);
        inputs.named_contexts = remotes::named_contexts(&flags.build_context, &mut folders)?;
        inputs.cache_from = remotes::caches(&flags.cache_from, Way::From, &mut folders)?;
        inputs.cache_to = remotes::caches(&flags.cache_to, Way::To, &mut folders)?;
        inputs.outputs = self.outputs.iter().map(Output::asked).collect();
        Ok((inputs, folders))
    }

    /// The options, with where the context and the Dockerfile are.
    pub(super) fn options(&self, located: &Located) -> BuildOptions {
        let mut options = self.options.clone();
        options.dockerfile.clone_from(&located.path);
        if let Source::Remote(url) = &located.source {
            options.remote = Some(url.clone());
        }
        options
    }
}

/// A name for a folder that stays the same from build to build.
fn identity(path: &Path) -> Result<String> {
    let path = path.canonicalize().map_err(CliError::file("open", path))?;
    Ok(path.to_string_lossy().into_owned())
}

/// Refuses other builders than ours.
pub(super) fn check_builder(name: &str) -> Result<()> {
    if BUILDERS.contains(&name) {
        return Ok(());
    }
    Err(wrong(format!("no builder {name:?} found: there is one, called \"default\"")))
}

/// What we do not have, by its name.
fn refuse(flags: &BuildFlags) -> Result<()> {
    check_builder(&flags.builder)?;
    if !matches!(flags.isolation.as_str(), "" | "default") {
        return Err(wrong(format!("--isolation {}: there is only \"default\"", flags.isolation)));
    }
    for (flag, values) in [("policy", &flags.policy), ("resource", &flags.resource)] {
        if !values.is_empty() {
            return Err(wrong(format!("--{flag} is not supported")));
        }
    }
    if !matches!(flags.on_failure.as_str(), "" | "shell") {
        return Err(wrong(format!("--on-failure {}: there is only \"shell\"", flags.on_failure)));
    }
    for what in &flags.allow {
        let is_known = matches!(what.as_str(), "network.host" | "security.insecure" | "device");
        if !is_known && !what.starts_with("device=") {
            return Err(wrong(format!(
                "--allow {what}: there are \"network.host\", \"security.insecure\" and \"device[=NAME]\""
            )));
        }
    }
    crate::commands::image::check_trust(flags.disable_content_trust)
}

fn call(flags: &BuildFlags) -> Result<Call> {
    let (name, rest) = flags.call.split_once(',').unwrap_or((&flags.call, ""));
    let format = match rest {
        "" | "format=text" => CheckFormat::Text,
        "format=json" => CheckFormat::Json,
        other => return Err(wrong(format!("invalid --call option {other:?}"))),
    };
    match name {
        "" | "build" if flags.check => Ok(Call::Check(CheckFormat::Text)),
        "" | "build" => Ok(Call::Build),
        "check" | "lint" => Ok(Call::Check(format)),
        "targets" => Ok(Call::Targets(format)),
        "outline" => Ok(Call::Outline(format)),
        other => Err(wrong(format!(
            "--call={other}: there are \"build\", \"check\", \"outline\" and \"targets\""
        ))),
    }
}

fn options(
    flags: &BuildFlags,
    build_args: BTreeMap<String, Option<String>>,
) -> Result<BuildOptions> {
    for tag in &flags.tag {
        let name: std::result::Result<Reference, _> = tag.parse();
        match name {
            Ok(name) if name.digest().is_some() => {
                return Err(wrong(format!("invalid tag {tag:?}: a digest cannot be given")));
            }
            Ok(_) => {}
            Err(error) => return Err(wrong(format!("invalid tag {tag:?}: {error}"))),
        }
    }
    Ok(BuildOptions {
        tags: flags.tag.clone(),
        cache: if flags.no_cache { Caching::Unused } else { Caching::Used },
        pull: if flags.pull { Pulling::Always } else { Pulling::Missing },
        layers: if flags.squash { Layers::Squashed } else { Layers::Kept },
        intermediate: match (flags.force_rm, flags.rm) {
            (true, _) => Intermediate::AlwaysRemoved,
            (false, true) => Intermediate::Removed,
            (false, false) => Intermediate::Kept,
        },
        build_args,
        labels: pairs(&flags.label),
        target: flags.target.clone(),
        network: flags.network.clone(),
        extra_hosts: flags.add_host.clone(),
        security: flags.security_opt.clone(),
        limits: BuildLimits {
            memory: flags.memory,
            memory_swap: flags.memory_swap,
            cpu_shares: flags.cpu_shares,
            cpu_period: flags.cpu_period,
            cpu_quota: flags.cpu_quota,
            cpuset_cpus: flags.cpuset_cpus.clone(),
            cpuset_mems: flags.cpuset_mems.clone(),
            shm_size: flags.shm_size,
            ulimits: flags.ulimit.clone(),
            cgroup_parent: flags.cgroup_parent.clone(),
        },
        ..BuildOptions::default()
    })
}

/// `--build-arg`: a name alone takes our own variable's value, if there is one.
fn arguments(texts: &[String]) -> BTreeMap<String, Option<String>> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), env::var(text).ok()),
        })
        .collect()
}

/// Each is a list; the daemon's own is what it takes when there is none.
fn platforms(texts: &[String]) -> Result<Vec<String>> {
    let mut platforms: Vec<String> = Vec::new();
    for text in split_all(texts) {
        if text == "local" {
            continue;
        }
        let platform: Platform =
            text.parse().map_err(|error| wrong(format!("invalid platform {text:?}: {error}")))?;
        let platform = platform.to_string();
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

fn split_all(texts: &[String]) -> Vec<String> {
    let parts = texts.iter().flat_map(|text| text.split(','));
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::flags::{Order, shape};

    fn flags(words: &[&str]) -> BuildFlags {
        let command = BuildFlags::augment_args(clap::Command::new("build"));
        let mut command = shape(command, Order::Any);
        let matches = command.try_get_matches_from_mut(words).unwrap();
        BuildFlags::from_arg_matches(&matches).unwrap()
    }

    fn request(words: &[&str]) -> Result<Request> {
        Request::new(&flags(words), &Proxies::default())
    }

    #[test]
    fn flags_become_options_and_inputs() {
        let words = [
            "-t",
            "a:1",
            "--build-arg",
            "A=b=c",
            "--build-arg=PATH",
            "--label",
            "l=1",
            "--pull",
            "--no-cache-filter",
            "x,y",
            "--platform",
            "linux/amd64,linux/x86_64",
            "--squash",
            "--force-rm",
            "--network=host",
            "--annotation",
            "k=v",
            "-m",
            "1m",
            "--ulimit",
            "nofile=5",
            "--provenance=false",
            "--sbom=0",
            "--attest",
            "type=sbom,disabled=true",
        ];
        let request = request(&words).unwrap();
        let options = &request.options;
        assert_eq!(options.build_args["A"].as_deref(), Some("b=c"));
        assert!(options.build_args["PATH"].as_ref().unwrap().starts_with('/'));
        assert_eq!(options.pull, Pulling::Always);
        assert_eq!(options.layers, Layers::Squashed);
        assert_eq!(options.intermediate, Intermediate::AlwaysRemoved);
        assert_eq!(options.limits.memory, 1 << 20);
        assert_eq!(request.inputs.no_cache_filter, ["x", "y"]);
        assert_eq!(request.inputs.platforms, ["linux/amd64"]);
        assert_eq!(request.inputs.allow, ["network.host"]);
        assert_eq!(request.inputs.annotations["k"], "v");
        assert_eq!(request.call, Call::Build);
    }

    #[test]
    fn the_time_of_everything_is_an_argument_like_others() {
        let made = request(&["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]).unwrap();
        assert_eq!(made.inputs.source_date_epoch, Some(1_700_000_000));
        let error = request(&["--build-arg", "SOURCE_DATE_EPOCH=now"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid SOURCE_DATE_EPOCH: now");
    }

    #[test]
    fn what_we_do_not_have_is_refused_by_its_name() {
        for (words, message) in [
            (
                &["--builder", "far"][..],
                "no builder \"far\" found: there is one, called \"default\"",
            ),
            (&["--attest", "type=vex"], "--attest type=vex: there are \"provenance\" and \"sbom\""),
            (&["--isolation", "hyperv"], "--isolation hyperv: there is only \"default\""),
            (&["--policy", "x"], "--policy is not supported"),
            (&["--on-failure", "stop"], "--on-failure stop: there is only \"shell\""),
            (&["--platform", "a/b/c/d"], "invalid platform \"a/b/c/d\""),
            (&["--annotation", "x"], "invalid annotation \"x\", expected key=value"),
            (&["-t", "UPPER"], "invalid tag \"UPPER\": "),
            (&["--allow", "all"], "--allow all: there are"),
            (&["--call", "outlines"], "--call=outlines: there are"),
        ] {
            let error = request(words).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_check_is_asked_for_in_two_ways() {
        assert_eq!(request(&["--check"]).unwrap().call, Call::Check(CheckFormat::Text));
        let json = request(&["--call=check,format=json"]).unwrap();
        assert_eq!(json.call, Call::Check(CheckFormat::Json));
        assert_eq!(json.inputs.call.as_deref(), Some("check"));
    }

    #[test]
    fn proxies_of_the_configuration_are_arguments_that_flags_override() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"proxies":{"default":{"httpProxy":"http://p:1","noProxy":"h"}}}"#;
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let config = ConfigFile::open(folder.path()).unwrap();
        let proxies = Proxies::of(&config, "unix:///run/barge/barge.sock");
        let made = Request::new(&flags(&["--build-arg", "no_proxy=mine"]), &proxies).unwrap();
        let argument = |name: &str| made.options.build_args[name].clone().unwrap();
        assert_eq!(argument("HTTP_PROXY"), "http://p:1");
        assert_eq!(argument("http_proxy"), "http://p:1");
        assert_eq!(argument("NO_PROXY"), "h");
        assert_eq!(argument("no_proxy"), "mine");
    }
}
