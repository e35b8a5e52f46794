//! Images: imported, loaded, saved, named, removed.

use barge_api_types::{
    Filters, ImageDeleteResponseItem, ImageHistoryItem, ImageSummary, ImagesPruneResponse,
    ProgressMessage,
};
use bytes::Bytes;

use crate::body::Upload;
use crate::connection::Client;
use crate::error::Result;
use crate::query::Path;
use crate::registry::RegistryAuth;
use crate::stream::{ByteStream, JsonStream};

/// Calls on images.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    pub(crate) client: &'a Client,
}

/// What a listing shows.
#[derive(Clone, Debug, Default)]
pub struct ImageListOptions {
    /// Also those between.
    pub all: bool,
    /// With the bytes that each shares with others.
    pub shared_size: bool,
    /// With the manifests of each.
    pub manifests: bool,
    /// Which.
    pub filters: Filters,
}

/// What an import is called and carries.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The name, without tag.
    pub repository: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The comment in its history.
    pub message: Option<String>,
    /// Dockerfile instructions for its configuration.
    pub changes: Vec<String>,
    /// What it runs on.
    pub platform: Option<String>,
}

/// What is fetched from a registry.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// The name, without tag.
    pub repository: String,
    /// A tag or a digest; all tags when there is none.
    pub tag: Option<String>,
    /// What it is to run on, `linux/arm64`; what the daemon runs on otherwise.
    pub platform: Option<String>,
    /// Credentials for the registry.
    pub auth: RegistryAuth,
}

/// What is sent to a registry.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// The name, without tag.
    pub repository: String,
    /// All tags when there is none.
    pub tag: Option<String>,
    /// Only this one of a multi-platform image, as the API wants it: a JSON object.
    pub platform: Option<String>,
    /// Credentials for the registry.
    pub auth: RegistryAuth,
}

/// How far a removal goes.
#[derive(Clone, Debug, Default)]
pub struct ImageRemoveOptions {
    /// Also when stopped containers use it.
    pub force: bool,
    /// Leave parents without a name.
    pub keep_parents: bool,
    /// Only these of a multi-platform image, as the API wants them: JSON objects.
    pub platforms: Vec<String>,
}

impl Images<'_> {
    /// Makes an image of a root file system's archive.
    pub async fn import(
        self,
        archive: Upload,
        options: &ImportOptions,
    ) -> Result<JsonStream<ProgressMessage>> {
        let mut path = Path::new(&["images", "create"])
            .with("fromSrc", "-")
            .with_some("repo", options.repository.as_deref())
            .with_some("tag", options.tag.as_deref())
            .with_some("message", options.message.as_deref())
            .with_some("platform", options.platform.as_deref());
        for change in &options.changes {
            path = path.with("changes", change);
        }
        let bytes = self.client.post(path).upload(archive).stream().await?;
        Ok(JsonStream::new(bytes, "progress"))
    }

    /// Fetches an image from its registry.
    pub async fn pull(self, options: &PullOptions) -> Result<JsonStream<ProgressMessage>> {
        let path = Path::new(&["images", "create"])
            .with("fromImage", &options.repository)
            .with_some("tag", options.tag.as_deref())
            .with_some("platform", options.platform.as_deref());
        let call = self.client.post(path).header(options.auth.header())?;
        Ok(JsonStream::new(call.stream().await?, "progress"))
    }

    /// Sends an image to its registry.
    pub async fn push(self, options: &PushOptions) -> Result<JsonStream<ProgressMessage>> {
        let path = Path::new(&["images", &options.repository, "push"])
            .with_some("tag", options.tag.as_deref())
            .with_some("platform", options.platform.as_deref());
        let call = self.client.post(path).header(options.auth.header())?;
        Ok(JsonStream::new(call.stream().await?, "progress"))
    }

    /// Takes images out of an archive that `save` wrote; `platforms` are JSON objects.
    pub async fn load(
        self,
        archive: Upload,
        (verbosity, platforms): (Verbosity, &[String]),
    ) -> Result<JsonStream<ProgressMessage>> {
        let quiet = u8::from(verbosity == Verbosity::Quiet);
        let mut path = Path::new(&["images", "load"]).with("quiet", quiet);
        for platform in platforms {
            path = path.with("platform", platform);
        }
        let bytes = self.client.post(path).upload(archive).stream().await?;
        Ok(JsonStream::new(bytes, "progress"))
    }

    /// Writes images into an archive; `platforms` are JSON objects.
    pub async fn save(self, names: &[String], platforms: &[String]) -> Result<ByteStream> {
        let mut path = Path::new(&["images", "get"]);
        for name in names {
            path = path.with("names", name);
        }
        for platform in platforms {
            path = path.with("platform", platform);
        }
        self.client.get(path).stream().await
    }

    /// Which images there are.
    pub async fn list(self, options: &ImageListOptions) -> Result<Vec<ImageSummary>> {
        let path = Path::new(&["images", "json"])
            .with_flag(("all", options.all))
            .with_flag(("shared-size", options.shared_size))
            .with_flag(("manifests", options.manifests))
            .with_filters(&options.filters);
        self.client.get(path).decode("list of images").await
    }

    /// All about one, as the daemon wrote it; `platform` is a JSON object.
    pub async fn inspect_raw(self, name: &str, platform: Option<&str>) -> Result<Bytes> {
        let path = Path::new(&["images", name, "json"]).with_some("platform", platform);
        self.client.get(path).bytes().await
    }

    /// How it came to be, the newest step first; `platform` is a JSON object.
    pub async fn history(
        self,
        name: &str,
        platform: Option<&str>,
    ) -> Result<Vec<ImageHistoryItem>> {
        let path = Path::new(&["images", name, "history"]).with_some("platform", platform);
        self.client.get(path).decode("history").await
    }

    /// Gives it another name.
    pub async fn tag(self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let path = Path::new(&["images", name, "tag"]).with("repo", repository).with("tag", tag);
        self.client.post(path).done().await
    }

    /// Takes a name away, and the image with its last one.
    pub async fn remove(
        self,
        name: &str,
        options: &ImageRemoveOptions,
    ) -> Result<Vec<ImageDeleteResponseItem>> {
        let mut path = Path::new(&["images", name])
            .with_flag(("force", options.force))
            .with_flag(("noprune", options.keep_parents));
        for platform in &options.platforms {
            path = path.with("platforms", platform);
        }
        self.client.delete(path).decode("list of removed images").await
    }

    /// Removes those that nobody uses.
    pub async fn prune(self, filters: &Filters) -> Result<ImagesPruneResponse> {
        let path = Path::new(&["images", "prune"]).with_filters(filters);
        self.client.post(path).decode("list of removed images").await
    }
}

/// How much a daemon tells of what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// How far each step has come.
    Progress,
    /// Results only.
    Quiet,
}
