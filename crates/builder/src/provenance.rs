//! Provenance: what a build was made from and how it was asked for, as SLSA has it and in BuildKit's words.
//!
//! It says what is known and nothing else: there is no LLB here, so that `mode=max` has the Dockerfile and no list of
//! BuildKit's own steps. No secret is in it, nor what could be one: of an address neither a password nor a query. With a
//! `SOURCE_DATE_EPOCH` it is the same wherever the same is built.

use std::collections::{BTreeMap, BTreeSet};

use barge_image::Predicate;
use barge_types::{Digest, Platform, Reference, shown_address};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::request::{BuildRequest, Context, DockerfileSource, NamedContext};
use crate::runner::StepNetwork;

/// The one frontend that there is, by BuildKit's name.
const FRONTEND: &str = "dockerfile.v0";

/// `--attest type=provenance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenanceOptions {
    /// `mode`.
    pub detail: Detail,
    /// `version`.
    pub version: SlsaVersion,
    /// `builder-id`.
    pub builder_id: String,
    /// `reproducible`: who builds says so.
    pub is_reproducible: bool,
    /// `inline-only`: not beside files.
    pub is_inline_only: bool,
    /// `filename`, beside files.
    pub filename: String,
}

impl Default for ProvenanceOptions {
    fn default() -> Self {
        Self {
            detail: Detail::Min,
            version: SlsaVersion::V02,
            builder_id: String::new(),
            is_reproducible: false,
            is_inline_only: false,
            filename: "provenance.json".to_owned(),
        }
    }
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What can be said of every build: no values of arguments.
    #[default]
    Min,
    /// Those too, the Dockerfile and the names of secrets.
    Max,
}

/// The form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlsaVersion {
    /// `https://slsa.dev/provenance/v0.2`.
    #[default]
    V02,
    /// `https://slsa.dev/provenance/v1`.
    V1,
}

/// Something that a build was made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Material {
    uri: String,
    algorithm: &'static str,
    digest: String,
}

impl Material {
    /// A file of the web.
    #[must_use]
    pub fn file(url: &str, digest: &Digest) -> Self {
        Self { uri: shown_address(url), algorithm: "sha256", digest: digest.hex() }
    }

    /// A repository at a commit.
    #[must_use]
    pub fn repository(url: &str, reference: Option<&str>, commit: &str) -> Self {
        let fragment = reference.map(|reference| format!("#{reference}")).unwrap_or_default();
        // The digests of git's newer form are longer.
        let algorithm = if commit.len() == 64 { "sha256" } else { "sha1" };
        Self { uri: shown_address(url) + &fragment, algorithm, digest: commit.to_owned() }
    }

    /// An image.
    pub(crate) fn image(uri: String, digest: &Digest) -> Self {
        Self { uri, algorithm: "sha256", digest: digest.hex() }
    }

    fn digests(&self) -> Value {
        json!({self.algorithm: self.digest})
    }

    fn to_json(&self) -> Value {
        json!({"uri": self.uri, "digest": self.digests()})
    }
}

/// What came together while a build went on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) materials: BTreeSet<Material>,
    /// Ids of secrets, and whether the build goes without them.
    pub(crate) secrets: BTreeMap<String, bool>,
    /// Ids of agents, and whether the build goes without them.
    pub(crate) agents: BTreeMap<String, bool>,
    /// Whether a process could reach anything.
    pub(crate) has_network: bool,
    /// What a scanner found.
    pub(crate) documents: Vec<Document>,
}

/// Something that is said, and the file that says it beside files.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) predicate: Predicate,
}

/// One build of one platform.
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) options: &'a ProvenanceOptions,
    pub(crate) evidence: &'a Evidence,
    /// The Dockerfile as it stands.
    pub(crate) dockerfile: &'a str,
    /// The build's name; none where it is to be the same everywhere.
    pub(crate) invocation: Option<&'a str>,
    /// When it began and ended, RFC 3339.
    pub(crate) times: (String, String),
}

impl Facts<'_> {
    /// What is said.
    pub(crate) fn predicate(&self) -> Predicate {
        let (kind, body) = match self.options.version {
            SlsaVersion::V02 => ("https://slsa.dev/provenance/v0.2", self.older()),
            SlsaVersion::V1 => ("https://slsa.dev/provenance/v1", self.newer()),
        };
        Predicate { kind: kind.to_owned(), body }
    }

    fn older(&self) -> Value {
        let (started, finished) = &self.times;
        let mut metadata = json!({
            "buildStartedOn": started,
            "buildFinishedOn": finished,
            "completeness": {
                "parameters": self.has_all_parameters(),
                "environment": true,
                "materials": self.has_all_materials(),
            },
            "reproducible": self.options.is_reproducible,
            "https://mobyproject.org/buildkit@v1#metadata": self.own_metadata(),
        });
        if let Some(invocation) = self.invocation {
            metadata["buildInvocationID"] = invocation.into();
        }
        if !self.evidence.has_network {
            metadata["https://mobyproject.org/buildkit@v1#hermetic"] = true.into();
        }
        json!({
            "builder": {"id": self.options.builder_id},
            "buildType": "https://mobyproject.org/buildkit@v1",
            "materials": self.materials(),
            "invocation": {
                "configSource": self.config_source("entryPoint"),
                "parameters": self.parameters(),
                "environment": {"platform": Platform::host().to_string()},
            },
            "metadata": metadata,
        })
    }

    fn newer(&self) -> Value {
        let (started, finished) = &self.times;
        let mut metadata = json!({
            "startedOn": started,
            "finishedOn": finished,
            "buildkit_completeness": {
                "request": self.has_all_parameters(),
                "resolvedDependencies": self.has_all_materials(),
            },
            "buildkit_reproducible": self.options.is_reproducible,
            "buildkit_hermetic": !self.evidence.has_network,
            "buildkit_metadata": self.own_metadata(),
        });
        if let Some(invocation) = self.invocation {
            metadata["invocationId"] = invocation.into();
        }
        json!({
            "buildDefinition": {
                "buildType":
                    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
                "externalParameters": {
                    "configSource": self.config_source("path"),
                    "request": self.parameters(),
                },
                "internalParameters": {"builderPlatform": Platform::host().to_string()},
                "resolvedDependencies": self.materials(),
            },
            "runDetails": {"builder": {"id": self.options.builder_id}, "metadata": metadata},
        })
    }

    fn materials(&self) -> Vec<Value> {
        let own = self.request.origin.iter();
        let all: BTreeSet<&Material> = self.evidence.materials.iter().chain(own).collect();
        all.into_iter().map(Material::to_json).collect()
    }

    /// Where the Dockerfile is.
    fn config_source(&self, key: &str) -> Value {
        let (DockerfileSource::InContext(name) | DockerfileSource::Text { name, .. }) =
            &self.request.dockerfile;
        match &self.request.origin {
            Some(origin) => json!({"uri": origin.uri, "digest": origin.digests(), key: name}),
            None => json!({key: name}),
        }
    }

    fn parameters(&self) -> Value {
        let mut parameters = json!({"frontend": FRONTEND, "args": self.arguments()});
        if self.request.origin.is_none() {
            let context = matches!(self.request.context, Context::Folder { .. });
            let names = context.then_some("context").into_iter().chain(["dockerfile"]);
            let locals: Vec<Value> = names.map(|name| json!({"name": name})).collect();
            parameters["locals"] = locals.into();
        }
        if self.options.detail == Detail::Max {
            let listed = |ids: &BTreeMap<String, bool>| -> Value {
                ids.iter().map(|(id, optional)| json!({"id": id, "optional": optional})).collect()
            };
            parameters["secrets"] = listed(&self.evidence.secrets);
            parameters["ssh"] = listed(&self.evidence.agents);
        }
        parameters
    }

    /// What the frontend was asked, by BuildKit's names of it.
    fn arguments(&self) -> Map<String, Value> {
        let request = self.request;
        let mut all = BTreeMap::new();
        let mut add = |key: String, value: &str| all.insert(key, Value::from(value));
        if let Some(target) = &request.target {
            add("target".to_owned(), target);
        }
        match request.network {
            StepNetwork::Default => None,
            StepNetwork::None => add("force-network-mode".to_owned(), "none"),
            StepNetwork::Host => add("force-network-mode".to_owned(), "host"),
        };
        if request.cache.is_off || !request.cache.off_for.is_empty() {
            add("no-cache".to_owned(), &request.cache.off_for.join(","));
        }
        if !request.extra_hosts.is_empty() {
            add("add-hosts".to_owned(), &request.extra_hosts.join(","));
        }
        for (name, context) in &request.named_contexts {
            let value = match context {
                NamedContext::Folder(_) => format!("local:{name}"),
                NamedContext::Image(image) => format!("docker-image://{image}"),
                NamedContext::Url(url) => shown_address(url),
                NamedContext::Stage(stage) => format!("target:{stage}"),
                NamedContext::Layout { .. } => format!("oci-layout://{name}"),
            };
            add(format!("context:{name}"), &value);
        }
        if self.options.detail == Detail::Max {
            for (name, value) in &request.build_args {
                let Some(value) = value else { continue };
                let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
                let value = if is_proxy { shown_address(value) } else { value.clone() };
                add(format!("build-arg:{name}"), &value);
            }
            for (name, value) in &request.labels {
                add(format!("label:{name}"), value);
            }
        }
        all.into_iter().collect()
    }

    fn has_all_parameters(&self) -> bool {
        let request = self.request;
        let is_empty =
            request.labels.is_empty() && request.build_args.values().all(Option::is_none);
        self.options.detail == Detail::Max || is_empty
    }

    /// Files of the client have no digest here.
    fn has_all_materials(&self) -> bool {
        let is_local = |context: &NamedContext| matches!(context, NamedContext::Folder(_));
        self.request.origin.is_some() && !self.request.named_contexts.values().any(is_local)
    }

    fn own_metadata(&self) -> Value {
        if self.options.detail == Detail::Min {
            return json!({});
        }
        let (DockerfileSource::InContext(name) | DockerfileSource::Text { name, .. }) =
            &self.request.dockerfile;
        let info = json!({
            "filename": name,
            "language": "Dockerfile",
            "data": STANDARD.encode(self.dockerfile),
        });
        json!({"source": {"infos": [info]}})
    }
}

/// `pkg:docker/…`: an image's name as the package URL specification has it.
pub(crate) fn package_url(reference: &Reference, platform: &Platform) -> String {
    let name = reference.familiar_name();
    let tag = reference.tag().map(|tag| format!("@{tag}")).unwrap_or_default();
    let mut qualifiers = Vec::new();
    qualifiers.extend(reference.digest().map(|digest| format!("digest={digest}")));
    qualifiers.push(format!("platform={}", platform.to_string().replace('/', "%2F")));
    format!("pkg:docker/{name}{tag}?{}", qualifiers.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> BuildRequest {
        BuildRequest {
            build_args: BTreeMap::from([
                ("A".to_owned(), Some("value".to_owned())),
                ("https_proxy".to_owned(), Some("http://me:word@proxy:1/".to_owned())),
            ]),
            labels: BTreeMap::from([("l".to_owned(), "1".to_owned())]),
            target: Some("last".to_owned()),
            named_contexts: BTreeMap::from([(
                "far".to_owned(),
                NamedContext::Url("https://token@host/x.git?sig=hush#main".to_owned()),
            )]),
            ..BuildRequest::default()
        }
    }

    fn predicate(request: &BuildRequest, options: &ProvenanceOptions) -> Predicate {
        let material = Material::file("https://h/f?sig=hush", &Digest::from_bytes([1; 32]));
        let evidence = Evidence {
            materials: [material].into(),
            secrets: [("key".to_owned(), true)].into(),
            ..Evidence::default()
        };
        let times = ("2024-01-01T00:00:00Z".to_owned(), "2024-01-01T00:00:01Z".to_owned());
        let dockerfile = "FROM scratch\n";
        let invocation = Some("build");
        Facts { request, options, evidence: &evidence, dockerfile, invocation, times }.predicate()
    }

    #[test]
    fn the_little_form_has_no_values_of_arguments() {
        let Predicate { kind, body } = predicate(&request(), &ProvenanceOptions::default());
        assert_eq!(kind, "https://slsa.dev/provenance/v0.2");
        let parameters = &body["invocation"]["parameters"];
        assert_eq!(
            parameters["args"],
            json!({"target": "last", "context:far": "https://host/x.git#main"})
        );
        assert_eq!(parameters["frontend"], "dockerfile.v0");
        assert!(parameters.get("secrets").is_none());
        assert_eq!(body["invocation"]["configSource"], json!({"entryPoint": "Dockerfile"}));
        let metadata = &body["metadata"];
        assert_eq!(metadata["completeness"]["parameters"], false);
        assert_eq!(metadata["buildInvocationID"], "build");
        assert_eq!(metadata["https://mobyproject.org/buildkit@v1#hermetic"], true);
        assert_eq!(body["materials"][0]["uri"], "https://h/f");
        assert_eq!(body["materials"][0]["digest"]["sha256"], "01".repeat(32));
    }

    #[test]
    fn the_great_form_has_the_dockerfile_and_names_of_secrets() {
        let options = ProvenanceOptions { detail: Detail::Max, ..ProvenanceOptions::default() };
        let body = predicate(&request(), &options).body;
        let parameters = &body["invocation"]["parameters"];
        assert_eq!(parameters["args"]["build-arg:A"], "value");
        assert_eq!(parameters["args"]["build-arg:https_proxy"], "http://proxy:1/");
        assert_eq!(parameters["args"]["label:l"], "1");
        assert_eq!(parameters["secrets"], json!([{"id": "key", "optional": true}]));
        let own = &body["metadata"]["https://mobyproject.org/buildkit@v1#metadata"];
        assert_eq!(own["source"]["infos"][0]["data"], STANDARD.encode("FROM scratch\n"));
        assert!(!body.to_string().contains("hush") && !body.to_string().contains("word@"));
    }

    #[test]
    fn the_newer_form_says_the_same_elsewhere() {
        let options = ProvenanceOptions {
            version: SlsaVersion::V1,
            builder_id: "https://ci/1".to_owned(),
            ..ProvenanceOptions::default()
        };
        let origin = Material::repository("https://me:word@h/r.git", Some("main"), &"a".repeat(40));
        let request = BuildRequest { origin: Some(origin), ..BuildRequest::default() };
        let Predicate { kind, body } = predicate(&request, &options);
        assert_eq!(kind, "https://slsa.dev/provenance/v1");
        let definition = &body["buildDefinition"];
        let source = &definition["externalParameters"]["configSource"];
        assert_eq!(source["uri"], "https://h/r.git#main");
        assert_eq!(source["digest"]["sha1"], "a".repeat(40));
        assert_eq!(definition["resolvedDependencies"].as_array().unwrap().len(), 2);
        let details = &body["runDetails"];
        assert_eq!(details["builder"]["id"], "https://ci/1");
        let completeness = &details["metadata"]["buildkit_completeness"];
        assert_eq!(completeness, &json!({"request": true, "resolvedDependencies": true}));
    }

    #[test]
    fn images_are_named_as_packages() {
        let named = |text: &str| {
            let platform = "linux/arm/v7".parse().unwrap();
            package_url(&text.parse().unwrap(), &platform)
        };
        assert_eq!(named("busybox"), "pkg:docker/busybox@latest?platform=linux%2Farm%2Fv7");
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            named(&format!("h:5000/a/b@{digest}")),
            format!("pkg:docker/h:5000/a/b?digest={digest}&platform=linux%2Farm%2Fv7")
        );
    }
}
