//! Builds: what barge's own client says before one, what it hears while one goes on, and records of the cache.
//!
//! Docker's own clients put all of a build into the query of `POST /build` and read lines of
//! [`ProgressMessage`](crate::ProgressMessage). What does not fit there goes to `POST /build/inputs` first.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a client sends in `Accept` to hear [`BuildEvent`]s, one per line.
pub const BUILD_EVENTS: &str = "application/vnd.barge.build-events";

/// Body of `POST /build/inputs`: what a build needs beyond the query of `POST /build`.
///
/// Kept in memory only, until its build ends or a minute has gone without one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildInputs {
    /// Where the files are.
    pub context: BuildContext,
    /// The Dockerfile's text, for one that is not in the context.
    pub dockerfile: Option<BuildDockerfile>,
    /// `--build-context`, by name.
    pub named_contexts: BTreeMap<String, NamedBuildContext>,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// `--ssh`, by id.
    pub ssh: BTreeMap<String, SshAgent>,
    /// `--no-cache-filter`.
    pub no_cache_filter: Vec<String>,
    /// `--cache-from`.
    pub cache_from: Vec<BuildCacheRemote>,
    /// `--cache-to`.
    pub cache_to: Vec<BuildCacheRemote>,
    /// `--platform`; more than one makes an index.
    pub platforms: Vec<String>,
    /// `--annotation`.
    pub annotations: BTreeMap<String, String>,
    /// `--output`.
    pub outputs: Vec<BuildOutput>,
    /// `--attest`: parameters by type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attestations: BTreeMap<String, BTreeMap<String, String>>,
    /// `--allow`: `security.insecure`, `network.host`, `device[=NAME]`.
    pub allow: Vec<String>,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub source_date_epoch: Option<i64>,
    /// `--on-failure`: `shell` keeps an image of a failed step's files.
    pub on_failure: Option<String>,
    /// `--check`: looks at the Dockerfile only.
    pub check: bool,
    /// `--call`: `build`, `check`, `targets`, `outline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// The main context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum BuildContext {
    /// An archive, which is the body of `POST /build`.
    #[default]
    Tar,
    /// A folder that the client has open while the build goes on. Only over a unix socket of the same machine.
    Folder {
        /// The client's descriptor.
        fd: i32,
        /// A name that stays the same from build to build: the folder's path.
        identity: String,
    },
    /// None: a Dockerfile alone.
    None,
}

/// A Dockerfile that does not come with the context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildDockerfile {
    /// For errors.
    pub name: String,
    pub text: String,
    /// `<Dockerfile>.dockerignore`, when there is one.
    pub ignore: Option<String>,
}

/// A `--build-context`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum NamedBuildContext {
    /// A folder that the client has open.
    Folder {
        /// The client's descriptor.
        fd: i32,
    },
    /// `docker-image://…`.
    Image {
        /// The image.
        reference: String,
    },
    /// An archive or a git repository.
    Url {
        /// Where.
        url: String,
    },
    /// `target:…`.
    Stage {
        /// The stage's name.
        stage: String,
    },
    /// `oci-layout://…`: an image of an OCI layout.
    Layout {
        /// The client's descriptor of the layout's folder.
        fd: i32,
        /// A tag, `latest` when there is neither.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
        /// A digest, which counts before the tag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
}

/// A secret's bytes in base64 (the usual alphabet, padded); never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildSecret(pub String);

impl fmt::Debug for BuildSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BuildSecret(…)")
    }
}

/// An SSH agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SshAgent {
    /// Its socket, an absolute path as the daemon sees it.
    pub path: String,
}

/// A `--cache-from` or `--cache-to`: `type=…,key=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildCacheRemote {
    /// `registry`, `local`, `inline`, or nothing for a plain reference (then in `ref`).
    #[serde(rename = "type")]
    pub kind: String,
    /// The folder of `local`, which the client has open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// The rest, `ref` among it.
    pub attributes: BTreeMap<String, String>,
}

/// A `--output`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildOutput {
    /// `image`, `local`, `tar`, `oci`, `docker`, `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Names, separated by commas; the build's tags when empty.
    pub name: String,
    /// The rest. `dest` stays with the client.
    pub attributes: BTreeMap<String, String>,
}

wire! {
    /// Answer of `POST /build/inputs`.
    pub struct BuildInputsResponse {
        /// For `inputs=` of `POST /build`.
        pub id: String,
    }

    /// `aux` of the line that has the image's id.
    pub struct BuildResult {
        #[serde(rename = "ID")]
        pub id: String,
    }

    /// One record of the build cache in `GET /system/df`.
    pub struct BuildCacheRecord {
        #[serde(rename = "ID")]
        pub id: String,
        /// The first of them; what API 1.41 and before had.
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub parent: String,
        #[serde(skip_serializing_if = "crate::null::is_empty")]
        pub parents: Vec<String>,
        #[serde(rename = "Type")]
        pub kind: String,
        pub description: String,
        pub in_use: bool,
        /// Whether an image has it too.
        pub shared: bool,
        pub size: i64,
        pub created_at: String,
        pub last_used_at: Option<String>,
        pub usage_count: i64,
    }
}

/// What happens in a build; one line each of an answer to [`BUILD_EVENTS`]. Steps are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum BuildEvent {
    /// What will be done. A later one adds steps.
    Planned { steps: Vec<BuildStep> },
    /// A step began.
    Started { step: u32 },
    /// A step's process wrote to `stream` 1 or 2.
    Output { step: u32, stream: u8, text: String },
    /// Something with a known end goes on within a step; `total` is 0 when it is not known.
    Advanced { step: u32, what: String, current: u64, total: u64 },
    /// A step ended.
    Ended { step: u32, outcome: BuildOutcome },
    /// A check has something to say.
    Warning(BuildWarning),
    /// What was asked instead of a build: `targets` or an outline, as BuildKit's subrequests have them.
    Described { value: serde_json::Value },
    /// The image is there.
    Image { id: String, names: Vec<String> },
    /// A name of the image is in its registry, for a manifest of this digest.
    Pushed { name: String, digest: String },
    /// An output can be fetched: `GET /build/outputs/{build}/{output}`.
    Ready { build: String, output: u32 },
    /// The last one of a build that went wrong.
    Failed {
        message: String,
        /// The exit code of the process that failed, if that is what happened.
        code: Option<i32>,
        /// Lines of the Dockerfile around, for a person.
        excerpt: String,
        /// An image of the failed step's files.
        image: Option<String>,
    },
}

/// One step as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildStep {
    pub step: u32,
    /// Its stage; empty for what is in none.
    pub stage: String,
    /// Its number in the stage, from 1.
    pub position: u32,
    /// How many the stage has.
    pub of: u32,
    /// The instruction as it stands.
    pub text: String,
    /// What is shown instead of it: `FROM` with the base in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildOutcome {
    /// It was done.
    Done,
    /// Its result was there.
    Cached,
    /// The build ended before.
    Cancelled,
    /// It went wrong.
    Failed(String),
}

/// What `build --check` finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildWarning {
    /// The rule's name.
    pub rule: String,
    /// In general.
    pub description: String,
    /// Here.
    pub detail: String,
    pub url: String,
    /// From 1; 0 for none.
    pub line: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_may_lack_everything_and_show_no_secret() {
        let inputs: BuildInputs = serde_json::from_str("{}").unwrap();
        assert_eq!(inputs, BuildInputs::default());
        let text = r#"{"context":{"kind":"folder","fd":7,"identity":"/src"},
            "named_contexts":{"lib":{"kind":"url","url":"https://x/y.git"}},
            "secrets":{"key":"c2VjcmV0"},
            "cache_to":[{"type":"local","fd":9,"attributes":{"mode":"max"}}]}"#;
        let inputs: BuildInputs = serde_json::from_str(text).unwrap();
        assert_eq!(inputs.context, BuildContext::Folder { fd: 7, identity: "/src".to_owned() });
        assert_eq!(inputs.cache_to[0].fd, Some(9));
        assert!(!format!("{inputs:?}").contains("c2VjcmV0"));
        let back: BuildInputs =
            serde_json::from_str(&serde_json::to_string(&inputs).unwrap()).unwrap();
        assert_eq!(back, inputs);
    }

    #[test]
    fn events_are_tagged_lines() {
        let ended = BuildEvent::Ended { step: 2, outcome: BuildOutcome::Failed("x".to_owned()) };
        assert_eq!(
            serde_json::to_string(&ended).unwrap(),
            r#"{"event":"ended","step":2,"outcome":{"failed":"x"}}"#
        );
        let warning = BuildWarning { rule: "StageNameCasing".to_owned(), ..Default::default() };
        let line = serde_json::to_string(&BuildEvent::Warning(warning.clone())).unwrap();
        assert_eq!(
            serde_json::from_str::<BuildEvent>(&line).unwrap(),
            BuildEvent::Warning(warning)
        );
    }
}
