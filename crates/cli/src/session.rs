//! What every command has at hand: the daemon, once it is asked for, and our own streams.

use std::cell::OnceCell;
use std::path::PathBuf;

use barge_client::{ApiVersion, Client, Host};
use barge_types::Platform;

use crate::context::{self, Endpoint, Origin};
use crate::daemon;
use crate::error::{CliError, Result};
use crate::root::GlobalFlags;
use crate::streams::Streams;

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Session {
    globals: GlobalFlags,
    client: OnceCell<Client>,
    pub(crate) streams: Streams,
}

impl Session {
    pub(crate) fn new(globals: &mut GlobalFlags) -> Self {
        Self { globals: std::mem::take(globals), client: OnceCell::new(), streams: Streams }
    }

    /// The daemon, connected to; started when it is the default one, none runs and we may.
    pub(crate) async fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let Endpoint { host, origin } = context::endpoint(&self.globals)?;
        if self.globals.is_debugging() {
            self.streams.note(format!("level=debug msg=\"daemon at {host}, {origin}\""));
        }
        let mut client = Client::new(host);
        if let Some(version) = context::api_version()? {
            client = client.speaking(version);
        }
        match client.connect().await {
            Err(error)
                if error.is_unreachable()
                    && origin == Origin::Default
                    && rustix::process::geteuid().is_root() =>
            {
                daemon::start(&client).await?;
            }
            result => result?,
        }
        Ok(self.client.get_or_init(|| client))
    }

    /// Which daemon is meant.
    pub(crate) fn host(&self) -> Result<Host> {
        Ok(context::endpoint(&self.globals)?.host)
    }

    /// Whether the user wants to know more than others.
    pub(crate) fn is_debugging(&self) -> bool {
        self.globals.is_debugging()
    }

    /// Refuses a flag that the daemon is too old for, in the words of Docker's client.
    pub(crate) async fn require(&self, flag: &str, least: ApiVersion) -> Result<()> {
        let version = self.client().await?.agree().await?;
        if version >= least {
            return Ok(());
        }
        Err(CliError::Invalid(format!(
            "\"--{flag}\" requires API version {least}, but the daemon API version is {version}"
        )))
    }

    /// The platforms of a `--platform`, as the API wants them; refused where the daemon knows none.
    pub(crate) async fn platforms(
        &self,
        texts: &[String],
        least: ApiVersion,
    ) -> Result<Vec<String>> {
        let platforms = texts.iter().flat_map(|text| text.split(','));
        let platforms = platforms.map(platform).collect::<Result<Vec<_>>>()?;
        if !platforms.is_empty() {
            self.require("platform", least).await?;
        }
        Ok(platforms)
    }

    /// Where the client's configuration and credentials lie.
    pub(crate) fn config_folder(&self) -> PathBuf {
        context::config_folder(&self.globals)
    }

    /// Where the client's configuration lies, and the name of the context in use.
    pub(crate) fn context_name(&self) -> String {
        context::name(&self.globals)
    }
}

/// One platform as the API wants it: the image specification's object.
fn platform(text: &str) -> Result<String> {
    let platform: Platform =
        text.parse().map_err(|error| CliError::Invalid(format!("invalid platform: {error}")))?;
    let mut value = serde_json::json!({
        "architecture": platform.architecture(),
        "os": platform.os(),
    });
    if let Some(variant) = platform.variant() {
        value["variant"] = variant.into();
    }
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_the_specifications_object() {
        assert_eq!(
            platform("linux/arm64/v8").unwrap(),
            r#"{"architecture":"arm64","os":"linux","variant":"v8"}"#
        );
        assert!(platform("a/b/c/d").is_err());
    }
}
