//! Containers: from create to remove, their streams and their logs.

use barge_api_types::{
    ContainerCreateRequest, ContainerCreateResponse, ContainerInspect, ContainerOrigin,
    ContainerSummary, ContainerTopResponse, ContainerUpdateRequest, ContainerUpdateResponse,
    ContainerWaitResponse, ContainersPruneResponse, FilesystemChange, Filters, StatsResponse,
};
use bytes::Bytes;
use serde::Deserialize;

use crate::connection::{Client, Lent};
use crate::error::{ClientError, Result};
use crate::hijack::Hijacked;
use crate::query::Path;
use crate::stream::{ByteStream, JsonStream};

/// Calls on containers.
#[derive(Clone, Copy, Debug)]
pub struct Containers<'a> {
    pub(crate) client: &'a Client,
}

/// What a listing shows.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// Also their sizes.
    pub size: bool,
    /// No more than so many, the newest.
    pub limit: Option<u32>,
    /// Which.
    pub filters: Filters,
}

/// How a container is stopped.
#[derive(Clone, Debug, Default)]
pub struct StopOptions {
    /// Instead of its own stop signal.
    pub signal: Option<String>,
    /// Seconds until it is killed; -1 is never.
    pub timeout: Option<i64>,
}

/// What else goes with a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill it first if it runs.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
    /// Remove the link of that name, not the container.
    pub link: bool,
}

/// Which streams to attach to.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the API has them")]
pub struct AttachOptions {
    /// What was written before, too.
    pub logs: bool,
    /// What will be written.
    pub stream: bool,
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Instead of the daemon's.
    pub detach_keys: Option<String>,
}

/// What of a log is wanted.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the API has them")]
pub struct LogsOptions {
    /// Wait for more.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// With times.
    pub timestamps: bool,
    /// With the attributes given by the log options.
    pub details: bool,
    /// Not before: seconds and fraction since 1970.
    pub since: Option<String>,
    /// Not after.
    pub until: Option<String>,
    /// So many lines from the end, or `all`.
    pub tail: Option<String>,
}

/// What an image made of a container is called and carries.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// The name, without tag; none leaves it without one.
    pub repository: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The comment in its history.
    pub message: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Dockerfile instructions for its configuration.
    pub changes: Vec<String>,
    /// Let the container run meanwhile.
    pub running: bool,
}

/// The answer to a commit.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Committed {
    id: String,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The container does not run; at once if it does not now.
    NotRunning,
    /// The next exit, also of one that is not started yet.
    NextExit,
    /// It is gone.
    Removed,
}

impl WaitFor {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not-running",
            Self::NextExit => "next-exit",
            Self::Removed => "removed",
        }
    }
}

/// A wait that the daemon has taken note of.
#[must_use = "the daemon waits until the result is read"]
pub struct Wait<'a> {
    client: &'a Client,
    lent: Lent,
}

impl std::fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}

impl Wait<'_> {
    /// Waits, and tells how it ended.
    pub async fn result(self) -> Result<ContainerWaitResponse> {
        let bytes = self.client.read(self.lent).await?;
        serde_json::from_slice(&bytes).map_err(ClientError::decode("exit status"))
    }
}

impl<'a> Containers<'a> {
    /// Makes a container.
    pub async fn create(
        self,
        name: Option<&str>,
        platform: Option<&str>,
        request: &ContainerCreateRequest,
    ) -> Result<ContainerCreateResponse> {
        let path = Path::new(&["containers", "create"])
            .with_some("name", name)
            .with_some("platform", platform);
        let call = self.client.post(path).json(request)?;
        call.decode("created container").await
    }

    /// Starts it; no error if it runs.
    pub async fn start(self, id: &str) -> Result<()> {
        self.act(id, "start").await
    }

    /// Stops it; no error if it does not run.
    pub async fn stop(self, id: &str, options: &StopOptions) -> Result<()> {
        self.client.post(stop_path(id, "stop", options)).done().await
    }

    /// Stops it and starts it again.
    pub async fn restart(self, id: &str, options: &StopOptions) -> Result<()> {
        let path = stop_path(id, "restart", options);
        self.client.post(path).done().await
    }

    /// Sends a signal, `KILL` when none is given.
    pub async fn kill(self, id: &str, signal: Option<&str>) -> Result<()> {
        let path = Path::new(&["containers", id, "kill"]).with_some("signal", signal);
        self.client.post(path).done().await
    }

    /// Freezes its processes.
    pub async fn pause(self, id: &str) -> Result<()> {
        self.act(id, "pause").await
    }

    /// Lets its processes go on.
    pub async fn unpause(self, id: &str) -> Result<()> {
        self.act(id, "unpause").await
    }

    /// Gives it another name.
    pub async fn rename(self, id: &str, name: &str) -> Result<()> {
        let path = Path::new(&["containers", id, "rename"]).with("name", name);
        self.client.post(path).done().await
    }

    /// Changes its limits, its restart policy and more. Answers with warnings.
    pub async fn update(self, id: &str, request: &ContainerUpdateRequest) -> Result<Vec<String>> {
        let path = Path::new(&["containers", id, "update"]);
        let answer: ContainerUpdateResponse =
            self.client.post(path).json(request)?.decode("update").await?;
        Ok(answer.warnings)
    }

    /// What made it, as it was asked.
    pub async fn origin(self, id: &str) -> Result<ContainerOrigin> {
        self.client.get(Path::new(&["containers", id, "request"])).decode("request").await
    }

    /// Removes it.
    pub async fn remove(self, id: &str, options: RemoveOptions) -> Result<()> {
        let path = Path::new(&["containers", id])
            .with_flag(("v", options.volumes))
            .with_flag(("link", options.link))
            .with_flag(("force", options.force));
        self.client.delete(path).done().await
    }

    /// Has the daemon wait; when this returns, no exit will be missed.
    pub async fn wait(self, id: &str, condition: WaitFor) -> Result<Wait<'a>> {
        let path = Path::new(&["containers", id, "wait"]).with("condition", condition.as_str());
        let lent = self.client.post(path).begin().await?;
        Ok(Wait { client: self.client, lent })
    }

    /// Which containers there are.
    pub async fn list(self, options: &ListOptions) -> Result<Vec<ContainerSummary>> {
        let path = Path::new(&["containers", "json"])
            .with_flag(("all", options.all))
            .with_some("limit", options.limit)
            .with_flag(("size", options.size))
            .with_filters(&options.filters);
        self.client.get(path).decode("list of containers").await
    }

    /// All about one.
    pub async fn inspect(self, id: &str) -> Result<ContainerInspect> {
        let path = Path::new(&["containers", id, "json"]);
        self.client.get(path).decode("container").await
    }

    /// All about one, as the daemon wrote it.
    pub async fn inspect_raw(self, id: &str, sizes: Sizes) -> Result<Bytes> {
        let path =
            Path::new(&["containers", id, "json"]).with_flag(("size", sizes == Sizes::Include));
        self.client.get(path).bytes().await
    }

    /// Its processes, as `ps` with `arguments` shows them.
    pub async fn top(self, id: &str, arguments: &str) -> Result<ContainerTopResponse> {
        let arguments = (!arguments.is_empty()).then_some(arguments);
        let path = Path::new(&["containers", id, "top"]).with_some("ps_args", arguments);
        self.client.get(path).decode("list of processes").await
    }

    /// What it uses, once a second.
    pub async fn stats(self, id: &str) -> Result<JsonStream<StatsResponse>> {
        let path = Path::new(&["containers", id, "stats"]).with("stream", 1);
        let bytes = self.client.get(path).stream().await?;
        Ok(JsonStream::new(bytes, "sample"))
    }

    /// What it uses now, with the sample of a second before.
    pub async fn stats_once(self, id: &str) -> Result<StatsResponse> {
        let path = Path::new(&["containers", id, "stats"]).with("stream", 0);
        self.client.get(path).decode("sample").await
    }

    /// Its log: raw when it has a terminal, else stdcopy frames.
    pub async fn logs(self, id: &str, options: &LogsOptions) -> Result<ByteStream> {
        let path = Path::new(&["containers", id, "logs"])
            .with_flag(("stdout", options.stdout))
            .with_flag(("stderr", options.stderr))
            .with_flag(("follow", options.follow))
            .with_flag(("timestamps", options.timestamps))
            .with_flag(("details", options.details))
            .with_some("since", options.since.as_deref())
            .with_some("until", options.until.as_deref())
            .with_some("tail", options.tail.as_deref());
        self.client.get(path).stream().await
    }

    /// Its streams.
    pub async fn attach(self, id: &str, options: &AttachOptions) -> Result<Hijacked> {
        let path = Path::new(&["containers", id, "attach"])
            .with_flag(("stream", options.stream))
            .with_flag(("stdin", options.stdin))
            .with_flag(("stdout", options.stdout))
            .with_flag(("stderr", options.stderr))
            .with_flag(("logs", options.logs))
            .with_some("detachKeys", options.detach_keys.as_deref());
        self.client.post(path).hijack().await
    }

    /// Tells its terminal the window's size.
    pub async fn resize(self, id: &str, height: u16, width: u16) -> Result<()> {
        let path = Path::new(&["containers", id, "resize"]).with("h", height).with("w", width);
        self.client.post(path).done().await
    }

    /// Removes those that do not run.
    pub async fn prune(self, filters: &Filters) -> Result<ContainersPruneResponse> {
        let path = Path::new(&["containers", "prune"]).with_filters(filters);
        self.client.post(path).decode("list of removed containers").await
    }

    /// Makes an image of it; its identifier.
    pub async fn commit(self, id: &str, options: &CommitOptions) -> Result<String> {
        let mut path = Path::new(&["commit"])
            .with("container", id)
            .with_some("repo", options.repository.as_deref())
            .with_some("tag", options.tag.as_deref())
            .with_some("comment", options.message.as_deref())
            .with_some("author", options.author.as_deref())
            .with("pause", u8::from(!options.running));
        for change in &options.changes {
            path = path.with("changes", change);
        }
        let committed: Committed = self.client.post(path).decode("made image").await?;
        Ok(committed.id)
    }

    /// What differs from its image.
    pub async fn changes(self, id: &str) -> Result<Vec<FilesystemChange>> {
        let path = Path::new(&["containers", id, "changes"]);
        let changes: Option<Vec<FilesystemChange>> =
            self.client.get(path).decode("list of changes").await?;
        Ok(changes.unwrap_or_default())
    }

    /// Its file system as an archive.
    pub async fn export(self, id: &str) -> Result<ByteStream> {
        self.client.get(Path::new(&["containers", id, "export"])).stream().await
    }

    async fn act(self, id: &str, verb: &str) -> Result<()> {
        let path = Path::new(&["containers", id, verb]);
        self.client.post(path).done().await
    }
}

/// Whether an inspection adds up the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// No.
    Omit,
    /// Yes; takes time.
    Include,
}

fn stop_path(id: &str, verb: &str, options: &StopOptions) -> Path {
    Path::new(&["containers", id, verb])
        .with_some("signal", options.signal.as_deref())
        .with_some("t", options.timeout)
}
