//! Which daemon is meant: `-H`, `-c`, the environment, the configuration's context, the default
//! socket.
//!
//! Contexts are Docker's own files; of one only the endpoint's host is read. A context or an
//! environment that asks for TLS is refused: a plain connection must not be taken for a protected
//! one.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use barge_client::{ApiVersion, Host};
use serde::Deserialize;

use crate::error::{CliError, Result};
use crate::root::GlobalFlags;

/// The context that stands for "none".
const DEFAULT: &str = "default";

/// Where the daemon is, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: Host,
    pub(crate) origin: Origin,
}

/// Who named the host: only a daemon that nobody named may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    Named,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ConfigFile {
    current_context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    name: String,
    #[serde(default)]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Default => "by default",
            Self::Named => "as named",
        })
    }
}

/// The daemon that is meant.
pub(crate) fn endpoint(globals: &GlobalFlags) -> Result<Endpoint> {
    let wants_tls = globals.tls
        || globals.tlsverify
        || env::var("DOCKER_TLS_VERIFY").is_ok_and(|value| !value.is_empty());
    if wants_tls {
        return Err(CliError::Endpoint("connections by TLS are not supported yet".to_owned()));
    }
    match (globals.host.as_slice(), &globals.context) {
        ([], _) => {}
        (_, Some(_)) => {
            return Err(CliError::Invalid(
                "conflicting options: cannot specify both --host and --context".to_owned(),
            ));
        }
        ([host], None) => return named(host),
        (_, None) => return Err(CliError::Endpoint("Specify only one -H".to_owned())),
    }
    if globals.context.is_none()
        && let Some(host) = variable("BARGE_HOST").or_else(|| variable("DOCKER_HOST"))
    {
        return named(&host);
    }
    let name = name(globals);
    if name == DEFAULT {
        return Ok(Endpoint { host: Host::local(), origin: Origin::Default });
    }
    named(&context_host(&config_folder(globals), &name)?)
}

/// The name of the context in use.
pub(crate) fn name(globals: &GlobalFlags) -> String {
    let has_host = !globals.host.is_empty()
        || variable("BARGE_HOST").or_else(|| variable("DOCKER_HOST")).is_some();
    if let Some(name) = &globals.context {
        return name.clone();
    }
    if has_host {
        return DEFAULT.to_owned();
    }
    variable("DOCKER_CONTEXT")
        .or_else(|| current_context(&config_folder(globals)))
        .unwrap_or_else(|| DEFAULT.to_owned())
}

fn named(text: &str) -> Result<Endpoint> {
    // As in Docker's client, `host:port` is short for `tcp://host:port`.
    let text = if text.contains("://") { text.to_owned() } else { format!("tcp://{text}") };
    let host = text
        .parse()
        .map_err(|error: barge_client::HostError| CliError::Endpoint(error.to_string()))?;
    Ok(Endpoint { host, origin: Origin::Named })
}

/// The version of the API that the environment asks for.
pub(crate) fn api_version() -> Result<Option<ApiVersion>> {
    let Some(text) = variable("DOCKER_API_VERSION") else {
        return Ok(None);
    };
    ApiVersion::parse(&text).map(Some).ok_or_else(|| {
        CliError::Endpoint(format!("DOCKER_API_VERSION={text}: not a version like 1.41"))
    })
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) fn config_folder(globals: &GlobalFlags) -> PathBuf {
    if let Some(folder) = globals.config.clone().or_else(|| variable("DOCKER_CONFIG")) {
        return PathBuf::from(folder);
    }
    PathBuf::from(variable("HOME").unwrap_or_else(|| "/root".to_owned())).join(".docker")
}

/// What `docker context use` has set; a file that cannot be read says nothing.
fn current_context(folder: &std::path::Path) -> Option<String> {
    let text = fs::read(folder.join("config.json")).ok()?;
    let config: ConfigFile = serde_json::from_slice(&text).ok()?;
    Some(config.current_context).filter(|name| !name.is_empty())
}

fn context_host(folder: &std::path::Path, name: &str) -> Result<String> {
    let contexts = folder.join("contexts/meta");
    let missing = || CliError::Endpoint(format!("context {name:?}: context not found"));
    // Folders are named by a hash; reading the few there are needs no hash function.
    for entry in fs::read_dir(&contexts).map_err(|_| missing())?.flatten() {
        let Ok(text) = fs::read(entry.path().join("meta.json")) else {
            continue;
        };
        let Ok(meta) = serde_json::from_slice::<ContextMeta>(&text) else {
            continue;
        };
        if meta.name != name {
            continue;
        }
        let tls = folder.join("contexts/tls").join(entry.file_name()).join("docker");
        if tls.exists() {
            return Err(CliError::Endpoint(format!(
                "context {name:?}: connections by TLS are not supported yet"
            )));
        }
        return meta
            .endpoints
            .get("docker")
            .map(|endpoint| endpoint.host.clone())
            .filter(|host| !host.is_empty())
            .ok_or_else(|| CliError::Endpoint(format!("context {name:?} has no docker endpoint")));
    }
    Err(missing())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals(hosts: &[&str], context: Option<&str>, folder: &tempfile::TempDir) -> GlobalFlags {
        GlobalFlags {
            host: hosts.iter().map(|&host| host.to_owned()).collect(),
            context: context.map(str::to_owned),
            config: Some(folder.path().to_string_lossy().into_owned()),
            ..GlobalFlags::default()
        }
    }

    #[test]
    fn a_context_gives_its_endpoint() {
        let folder = tempfile::tempdir().unwrap();
        let meta = folder.path().join("contexts/meta/abc");
        fs::create_dir_all(&meta).unwrap();
        fs::write(
            meta.join("meta.json"),
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":false}}}"#,
        )
        .unwrap();
        let found = endpoint(&globals(&[], Some("far"), &folder)).unwrap();
        assert_eq!(found.host.to_string(), "tcp://h:1");
        assert_eq!(found.origin, Origin::Named);
        let error = endpoint(&globals(&[], Some("nope"), &folder)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Failed to initialize: unable to resolve barge endpoint: context \"nope\": context not found"
        );
        fs::create_dir_all(folder.path().join("contexts/tls/abc/docker")).unwrap();
        assert!(endpoint(&globals(&[], Some("far"), &folder)).is_err());
    }

    #[test]
    fn a_host_is_taken_as_given() {
        let folder = tempfile::tempdir().unwrap();
        let found = endpoint(&globals(&["unix:///x.sock"], None, &folder)).unwrap();
        assert_eq!(found.host.to_string(), "unix:///x.sock");
        assert_eq!(found.origin, Origin::Named);
        let found = endpoint(&globals(&["h:5"], None, &folder)).unwrap();
        assert_eq!(found.host.to_string(), "tcp://h:5");
        assert!(endpoint(&globals(&["a:1", "b:2"], None, &folder)).is_err());
        assert!(endpoint(&globals(&["a:1"], Some("c"), &folder)).is_err());
    }
}
