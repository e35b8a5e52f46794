//! Files of a container: told of, taken out, put in.

use barge_api_types::PathStat;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::body::Upload;
use crate::connection::Lent;
use crate::containers::Containers;
use crate::error::{ClientError, Result};
use crate::query::Path;
use crate::stream::ByteStream;

/// What carries a [`PathStat`].
const PATH_STAT: &str = "x-docker-container-path-stat";

/// How an archive is put into a container.
#[derive(Clone, Debug, Default)]
pub struct ExtractOptions {
    /// The folder that it is extracted into.
    pub path: String,
    /// Whether a folder and something else do not replace each other.
    pub no_overwrite_dir_non_dir: bool,
    /// Whether everything gets the container's user.
    pub copy_uid_gid: bool,
}

impl Containers<'_> {
    /// What a path of it is. A refusal has a status only: the answer has no body.
    pub async fn stat_path(self, id: &str, path: &str) -> Result<PathStat> {
        let lent = self.client.head(archive_path(id, path)).begin().await?;
        let stat = stat_of(&lent);
        self.client.read(lent).await?;
        stat
    }

    /// The same, and an archive of it.
    pub async fn archive(self, id: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let lent = self.client.get(archive_path(id, path)).begin().await?;
        Ok((stat_of(&lent)?, ByteStream::new(lent)))
    }

    /// Extracts an archive into a folder of it.
    pub async fn extract(self, id: &str, options: &ExtractOptions, archive: Upload) -> Result<()> {
        let path = archive_path(id, &options.path)
            .with("noOverwriteDirNonDir", options.no_overwrite_dir_non_dir)
            .with_flag(("copyUIDGID", options.copy_uid_gid));
        self.client.put(path).upload(archive).done().await
    }
}

fn archive_path(id: &str, path: &str) -> Path {
    Path::new(&["containers", id, "archive"]).with("path", path)
}

fn stat_of(lent: &Lent) -> Result<PathStat> {
    let value = lent.response.headers().get(PATH_STAT).map(http::HeaderValue::as_bytes);
    let text = STANDARD.decode(value.unwrap_or_default()).unwrap_or_default();
    serde_json::from_slice(&text).map_err(ClientError::decode("description of a path"))
}
