//! Credentials for registries: in `config.json`, or in a store behind a program
//! `docker-credential-<name>` (credHelpers for one registry, credsStore for all).
//!
//! The protocol of those programs is Docker's: `get`, `store`, `erase` as argument, one document on
//! standard input, one on standard output, and an exit code.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use barge_api_types::AuthConfig;
use barge_client::{RegistryAuth, RegistryConfig};
use barge_types::Reference;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config_file::ConfigFile;
use crate::error::{CliError, Result};

/// What Docker Hub's credentials are filed under.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";

/// The user name under which a store keeps a token instead of a password.
const TOKEN_USER: &str = "<token>";

/// What a store answers when it has nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Where the credentials of one registry are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// In the file, readable for whoever can read it.
    File,
    /// Behind the program of that name.
    Program(String),
}

/// What a store's program says and is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// What a registry's credentials are filed under.
pub(crate) fn key(registry: &str) -> String {
    match registry {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        other => other.to_owned(),
    }
}

/// The host of what was typed, `https://host/v2/` → `host`: what credentials are filed under.
pub(crate) fn host(address: &str) -> &str {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    rest.split('/').next().unwrap_or(rest)
}

impl Store {
    /// The one in charge of `key`.
    pub(crate) fn of(config: &ConfigFile, key: &str) -> Self {
        let own = config.entries("credHelpers").find(|(name, _)| *name == key);
        let own = own.and_then(|(_, program)| program.as_str());
        match own.or(config.text("credsStore")).filter(|name| !name.is_empty()) {
            Some(program) => Self::Program(program.to_owned()),
            None => Self::File,
        }
    }

    /// The credentials under `key`.
    pub(crate) fn get(&self, config: &ConfigFile, key: &str) -> Result<Option<AuthConfig>> {
        match self {
            Self::File => filed(config, key),
            Self::Program(name) => {
                let Some(text) = run(name, ("get", key))? else {
                    return Ok(None);
                };
                let stored: Stored = serde_json::from_str(&text).map_err(|error| {
                    CliError::Invalid(format!(
                        "error getting credentials - cannot understand docker-credential-{name}: {error}"
                    ))
                })?;
                Ok(Some(stored.into_auth(key)))
            }
        }
    }

    /// Keeps credentials under `key`.
    pub(crate) fn put(
        &self,
        config: &mut ConfigFile,
        (key, auth): (&str, &AuthConfig),
    ) -> Result<()> {
        match self {
            Self::File => {
                config.insert(("auths", key), to_file(auth));
            }
            Self::Program(name) => {
                let is_token = !auth.identity_token.is_empty();
                let stored = Stored {
                    server_url: key.to_owned(),
                    username: if is_token { TOKEN_USER } else { &auth.username }.to_owned(),
                    secret: if is_token { &auth.identity_token } else { &auth.password }.clone(),
                };
                let text = json!(stored).to_string();
                run(name, ("store", &text))?;
                // Docker leaves an empty entry: which registries there are is seen in the file.
                config.insert(("auths", key), json!({}));
            }
        }
        config.save()
    }

    /// Forgets what is under `key`.
    pub(crate) fn erase(&self, config: &mut ConfigFile, key: &str) -> Result<()> {
        if let Self::Program(name) = self {
            run(name, ("erase", key))?;
        }
        if config.remove(("auths", key)) { config.save() } else { Ok(()) }
    }
}

impl Stored {
    fn into_auth(self, key: &str) -> AuthConfig {
        let (username, password, identity_token) = if self.username == TOKEN_USER {
            (String::new(), String::new(), self.secret)
        } else {
            (self.username, self.secret, String::new())
        };
        AuthConfig {
            username,
            password,
            identity_token,
            server_address: key.to_owned(),
            ..AuthConfig::default()
        }
    }
}

/// The credentials for the registry of `image`, as a header; empty when there are none.
pub(crate) fn for_image(folder: &Path, image: &Reference) -> Result<RegistryAuth> {
    for_registry(folder, image.domain())
}

/// The same by the registry's name.
pub(crate) fn for_registry(folder: &Path, registry: &str) -> Result<RegistryAuth> {
    let config = ConfigFile::open(folder)?;
    let key = key(registry);
    let found = Store::of(&config, &key).get(&config, &key)?;
    Ok(found.map_or_else(RegistryAuth::default, |auth| RegistryAuth::new(&auth)))
}

/// All that there are, by the names that they are filed under, for a build: what it pulls is known
/// to the daemon alone. A store that does not answer is passed over: the build may not need it.
pub(crate) fn all(folder: &Path) -> Result<RegistryConfig> {
    let config = ConfigFile::open(folder)?;
    let filed = config.entries("auths").chain(config.entries("credHelpers"));
    let keys: BTreeSet<&str> = filed.map(|(key, _)| key).collect();
    let found = keys.into_iter().filter_map(|key| {
        let auth = Store::of(&config, key).get(&config, key).ok().flatten()?;
        Some((key.to_owned(), auth))
    });
    Ok(RegistryConfig::new(&found.collect()))
}

/// The entry in the file; older clients filed it under whole URLs.
fn filed(config: &ConfigFile, key: &str) -> Result<Option<AuthConfig>> {
    let exact = config.entries("auths").find(|(name, _)| *name == key);
    let similar = || config.entries("auths").find(|(name, _)| host(name) == host(key));
    let Some((_, entry)) = exact.or_else(similar) else {
        return Ok(None);
    };
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (username, password) = match text("auth") {
        both if both.is_empty() => (text("username"), text("password")),
        both => decode(&both, config)?,
    };
    Ok(Some(AuthConfig {
        username,
        password,
        identity_token: text("identitytoken"),
        registry_token: text("registrytoken"),
        server_address: key.to_owned(),
        ..AuthConfig::default()
    }))
}

fn decode(both: &str, config: &ConfigFile) -> Result<(String, String)> {
    let wrong = || {
        CliError::Invalid(format!("invalid auth configuration file {}", config.path().display()))
    };
    let bytes = STANDARD.decode(both).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (username, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

fn to_file(auth: &AuthConfig) -> Value {
    let mut entry = serde_json::Map::new();
    if !auth.username.is_empty() || !auth.password.is_empty() {
        let both = STANDARD.encode(format!("{}:{}", auth.username, auth.password));
        entry.insert("auth".to_owned(), both.into());
    }
    if !auth.identity_token.is_empty() {
        entry.insert("identitytoken".to_owned(), auth.identity_token.as_str().into());
    }
    Value::Object(entry)
}

/// Runs a store's program; none when it has no such credentials.
fn run(name: &str, (verb, input): (&str, &str)) -> Result<Option<String>> {
    let program = format!("docker-credential-{name}");
    let doing = match verb {
        "get" => "getting",
        "store" => "storing",
        _ => "erasing",
    };
    let failed = |reason: String| {
        CliError::Invalid(format!("error {doing} credentials - err: {reason}, program: {program}"))
    };
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| {
            failed(if error.kind() == std::io::ErrorKind::NotFound {
                format!("exec: {program:?}: executable file not found in $PATH")
            } else {
                error.to_string()
            })
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read tells why by its exit code.
        stdin.write_all(input.as_bytes()).ok();
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(Some(text));
    }
    if text.contains(NOT_FOUND) {
        return Ok(None);
    }
    Err(failed(format!("{}, out: `{text}`", output.status)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(text: &str) -> (tempfile::TempDir, ConfigFile) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), text).unwrap();
        let config = ConfigFile::open(folder.path()).unwrap();
        (folder, config)
    }

    #[test]
    fn the_hub_has_a_key_of_its_own() {
        assert_eq!(key("docker.io"), HUB);
        assert_eq!(key("h:5000"), "h:5000");
        assert_eq!(host("https://h:5000/v2/"), "h:5000");
        assert_eq!(host("h"), "h");
    }

    #[test]
    fn credentials_in_the_file_are_found_by_their_registry() {
        let (_folder, config) = config(
            r#"{"auths":{"h:5":{"auth":"YWxpY2U6c2U6Y3JldA=="},"https://old/v1/":{"auth":"YTpi"},
                "t":{"auth":"YTo=","identitytoken":"tok"},"bad":{"auth":"%%"}}}"#,
        );
        let get = |key: &str| Store::of(&config, key).get(&config, key);
        let auth = get("h:5").unwrap().unwrap();
        // A password may have colons.
        assert_eq!((&*auth.username, &*auth.password), ("alice", "se:cret"));
        assert_eq!(auth.server_address, "h:5");
        assert_eq!(get("old").unwrap().unwrap().username, "a");
        assert_eq!(get("t").unwrap().unwrap().identity_token, "tok");
        assert_eq!(get("none").unwrap(), None);
        let error = get("bad").unwrap_err().to_string();
        assert!(error.starts_with("invalid auth configuration file "), "{error}");
    }

    #[test]
    fn what_is_kept_is_found_again_and_erased() {
        let (_folder, mut config) = config("{}");
        let auth = AuthConfig {
            username: "a".to_owned(),
            password: "b".to_owned(),
            server_address: "h".to_owned(),
            ..AuthConfig::default()
        };
        Store::File.put(&mut config, ("h", &auth)).unwrap();
        assert_eq!(Store::File.get(&config, "h").unwrap(), Some(auth));
        Store::File.erase(&mut config, "h").unwrap();
        assert_eq!(Store::File.get(&config, "h").unwrap(), None);
    }

    #[test]
    fn a_helper_for_one_registry_goes_before_the_store_for_all() {
        let (_folder, config) = config(r#"{"credsStore":"all","credHelpers":{"h":"own"}}"#);
        assert_eq!(Store::of(&config, "h"), Store::Program("own".to_owned()));
        assert_eq!(Store::of(&config, "x"), Store::Program("all".to_owned()));
        let error = Store::of(&config, "x").get(&config, "x").unwrap_err().to_string();
        assert!(
            error.contains("docker-credential-all") && error.contains("not found in $PATH"),
            "{error}"
        );
    }
}
