//! What a build tells while it goes on. The same words go over the wire to a client that asks for them.

use serde::{Deserialize, Serialize};

/// Who listens to a build. Called from the build's threads; what it does must be quick.
pub trait Progress: Send + Sync {
    /// Takes note of an event.
    fn tell(&self, event: Event);
}

/// One event. Steps are numbered from 0 in the order in which the plan lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// What will be done, as far as it is known: sent once, before anything starts. Steps may be added by a later one
    /// (`ONBUILD`).
    Planned {
        /// New steps.
        steps: Vec<StepLine>,
    },
    /// A step began.
    Started {
        /// Which.
        step: u32,
    },
    /// A step's process is about to run. For Docker's classic stream alone, which names a container here.
    Running {
        /// Which.
        step: u32,
        /// What the runner knows the process by.
        process: String,
    },
    /// What a step that goes well came to; told before it ends, and for Docker's classic stream alone.
    Made {
        /// Which.
        step: u32,
        /// A digest over files and configuration: the same for the same. The image's id where that is what it is.
        id: String,
    },
    /// A step's process wrote something.
    Output {
        /// Which.
        step: u32,
        /// `1` or `2`.
        stream: u8,
        /// Text, made valid UTF-8 at the border of lines.
        text: String,
    },
    /// Something with a known end goes on within a step: bytes of a pull or a transfer.
    Advanced {
        /// Which.
        step: u32,
        /// What it is, as `sha256:…` or a name.
        what: String,
        /// So far.
        current: u64,
        /// 0 when it is not known.
        total: u64,
    },
    /// A step ended.
    Ended {
        /// Which.
        step: u32,
        /// How.
        outcome: Outcome,
    },
    /// A check of the Dockerfile has something to say.
    Warning(Warning),
    /// What was asked instead of a build: the stages, or what a target uses, as BuildKit's subrequests have it.
    Described {
        /// `{"targets": [{"name", "default", "description", "base", "platform", "location"}]}`, or
        /// `{"name", "description", "args", "secrets", "ssh"}`; what is empty is left out.
        value: serde_json::Value,
    },
    /// The image is there.
    Image {
        /// Its id.
        id: String,
        /// The names that it got.
        names: Vec<String>,
    },
    /// A name of the image is in its registry.
    Pushed {
        /// The name.
        name: String,
        /// Of the manifest that it has there.
        digest: String,
    },
    /// Something can be fetched: the output of this number, by the build's id.
    Ready {
        /// The build.
        build: String,
        /// The number of the output in the request.
        output: u32,
    },
    /// The last one of a build that went wrong.
    Failed {
        /// What to say.
        message: String,
        /// The exit code of the process that failed, if that is what happened.
        code: Option<i32>,
        /// The lines of the Dockerfile around, for a person to read; empty when it is not about a line.
        excerpt: String,
        /// An image of the failed step's files, when the request asked to keep one.
        image: Option<String>,
    },
}

/// One step as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLine {
    /// Its number.
    pub step: u32,
    /// The stage's name or number; empty for what is not in a stage (`internal`).
    pub stage: String,
    /// Its number within the stage, from 1, and how many the stage has: `[build 2/5]`. 0 for a step that changes nothing
    /// but the configuration: the classic stream shows those, a view as BuildKit's does not.
    pub position: u32,
    /// See [`Self::position`].
    pub of: u32,
    /// The instruction as it stands.
    pub text: String,
    /// What a view as BuildKit's says instead: `FROM` with the base in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// Its result was there.
    Cached,
    /// The build ended before.
    Cancelled,
    /// It went wrong.
    Failed(String),
}

/// What `build --check` finds (the reference's build checks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The rule's name, as `StageNameCasing`.
    pub rule: String,
    /// What it is about in general.
    pub description: String,
    /// What it is about here.
    pub detail: String,
    /// Where to read more.
    pub url: String,
    /// The line it is about, from 1; 0 for none.
    pub line: u32,
}
