//! Which servers stand for a registry, and how each is asked: `certs.d/<host>/hosts.toml` as containerd reads it,
//! certificates beside it as Docker reads them, `registry-mirrors`, `insecure-registries`.
//!
//! A folder's `*.crt`, `*.cert` and `*.key` are for the registry's own server. Where `hosts.toml` names that server, its
//! scheme counts, and nobody tries another; an entry of `insecure-registries` takes its certificate unseen all the same.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::config::{Insecure, RegistryConfig};
use crate::connect;
use crate::error::{RegistryError, Result};
use crate::tls::{PemFile, TlsSettings, Verification};
use crate::transport::Downgrade;
use crate::url::{Scheme, Url};

/// The domain that references are given when they name none, and who answers for it.
pub(crate) const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_SERVER: &str = "registry-1.docker.io";

/// There is no telling which of several a server wants.
const ONE_CLIENT: &str = "more than one client certificate for a registry is not supported";

/// What a server may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    /// Blobs, and manifests by digest.
    Pull,
    /// What a tag means.
    Resolve,
    Push,
}

impl Capability {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Resolve => "resolve",
            Self::Push => "push",
        }
    }
}

/// Whether a server gets the credentials: one that only has copies does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Mirror,
}

/// One way to ask one server.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// What stands before `<repository>/manifests/…`, usually `https://host/v2`.
    pub(crate) base: Url,
    pub(crate) role: Role,
    pub(crate) tls: TlsSettings,
    pub(crate) downgrade: Downgrade,
    pub(crate) headers: HeaderMap,
    /// Containerd tells a mirror for whom it stands in: `?ns=<host>`.
    pub(crate) namespace: Option<String>,
    capabilities: Vec<Capability>,
    /// What stands before `v1/…`.
    pub(crate) root: Url,
}

const ALL: [Capability; 3] = [Capability::Pull, Capability::Resolve, Capability::Push];

impl Endpoint {
    fn new(root: Url, role: Role) -> Self {
        Self {
            base: root.below("v2"),
            role,
            tls: TlsSettings::default(),
            downgrade: Downgrade::Refused,
            headers: HeaderMap::new(),
            namespace: None,
            capabilities: ALL.to_vec(),
            root,
        }
    }

    /// Learns who the registry itself is: that gets credentials, and need not be told for whom it stands.
    fn is_of(&mut self, registry: &Url) {
        if self.root.is_same_origin(registry) {
            self.role = Role::Server;
            self.namespace = None;
        }
    }

    pub(crate) fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// The same server without TLS.
    fn in_the_clear(&self, host: &str) -> Result<Self> {
        let plain = |url: &Url| {
            Url::of_host(Scheme::Http, host)
                .map(|root| root.below(url.path()))
                .map_err(|source| RegistryError::Host { host: host.to_owned(), source })
        };
        Ok(Self { base: plain(&self.base)?, root: plain(&self.root)?, ..self.clone() })
    }
}

/// The servers of a registry in the order in which they are asked.
pub(crate) async fn endpoints(config: &RegistryConfig, host: &str) -> Result<Vec<Endpoint>> {
    let host = if host == "index.docker.io" { DEFAULT_DOMAIN } else { host };
    let server = if host == DEFAULT_DOMAIN { DEFAULT_SERVER } else { host };
    let folders = Folders(&config.certs_dirs);
    let mut endpoints = Vec::new();
    let mut own = None;
    if let Some(folder) = folders.with_hosts_file(host) {
        let read = from_file(&folder, host, server)?;
        endpoints = read.hosts;
        own = read.server;
    }
    if host == DEFAULT_DOMAIN {
        for mirror in &config.mirrors {
            let url = mirror.url();
            let endpoint = Endpoint {
                capabilities: vec![Capability::Pull, Capability::Resolve],
                ..Endpoint::new(url.clone(), Role::Mirror)
            };
            endpoints.push(match url.scheme() {
                Scheme::Http => Endpoint { downgrade: Downgrade::Allowed, ..endpoint },
                Scheme::Https => with_certificates(config, endpoint, &url.authority()).await?,
            });
        }
    }
    if let Some(mut own) = own {
        if is_listed(&config.insecure, &own.root.authority()).await {
            own.tls.verification = Verification::None;
            own.downgrade = Downgrade::Allowed;
        }
        // A host that is the registry itself is no mirror of it, and asking it twice brings nothing.
        for endpoint in &mut endpoints {
            endpoint.is_of(&own.root);
        }
        if !endpoints.iter().any(|one| one.base == own.base && ALL.iter().all(|c| one.can(*c))) {
            endpoints.push(own);
        }
        return Ok(endpoints);
    }
    let url = Url::of_host(Scheme::Https, server)
        .map_err(|source| RegistryError::Host { host: host.to_owned(), source })?;
    for endpoint in &mut endpoints {
        endpoint.is_of(&url);
    }
    let secure = with_certificates(config, Endpoint::new(url, Role::Server), server).await?;
    let plain = match secure.downgrade {
        Downgrade::Allowed => Some(secure.in_the_clear(server)?),
        Downgrade::Refused => None,
    };
    endpoints.push(secure);
    endpoints.extend(plain);
    Ok(endpoints)
}

/// How a server is asked that an image names. Loopback is insecure only where it is listed: the image's maker chose it.
pub(crate) async fn elsewhere(config: &RegistryConfig, url: &Url) -> Result<Endpoint> {
    let host = url.authority();
    let folder = Folders(&config.certs_dirs).of_host(&host);
    let mut endpoint = Endpoint::new(url.clone(), Role::Mirror);
    endpoint.tls = folder.map(|folder| certificates_in(&folder)).transpose()?.unwrap_or_default();
    if is_listed(&config.insecure, &host).await {
        endpoint.tls.verification = Verification::None;
        endpoint.downgrade = Downgrade::Allowed;
    }
    Ok(endpoint)
}

/// How a server with TLS is asked where no `hosts.toml` speaks of it.
async fn with_certificates(
    config: &RegistryConfig,
    endpoint: Endpoint,
    host: &str,
) -> Result<Endpoint> {
    let folders = Folders(&config.certs_dirs);
    let folder = folders
        .of_host(host)
        .or_else(|| (host == DEFAULT_SERVER).then(|| folders.of_host(DEFAULT_DOMAIN)).flatten());
    let mut tls = folder.map(|folder| certificates_in(&folder)).transpose()?.unwrap_or_default();
    if !is_insecure(&config.insecure, host).await {
        return Ok(Endpoint { tls, ..endpoint });
    }
    tls.verification = Verification::None;
    Ok(Endpoint { tls, downgrade: Downgrade::Allowed, ..endpoint })
}

/// Loopback needs no entry, as in Docker.
async fn is_insecure(entries: &[Insecure], host: &str) -> bool {
    let Ok(url) = Url::of_host(Scheme::Https, host) else { return false };
    let address: Option<IpAddr> = url.host().parse().ok();
    url.host() == "localhost"
        || address.is_some_and(|address| address.is_loopback())
        || is_listed(entries, host).await
}

/// Names are compared, networks hold the addresses that the name has now.
async fn is_listed(entries: &[Insecure], host: &str) -> bool {
    if entries.iter().any(|entry| entry.is_for(host, &[])) {
        return true;
    }
    let Ok(url) = Url::of_host(Scheme::Https, host) else { return false };
    let addresses: Vec<IpAddr> = match url.host().parse() {
        Ok(address) => vec![address],
        Err(_) if entries.iter().any(|entry| matches!(entry, Insecure::Network(_))) => {
            let found = connect::lookup(url.host(), url.port()).await.unwrap_or_default();
            found.iter().map(SocketAddr::ip).collect()
        }
        Err(_) => Vec::new(),
    };
    entries.iter().any(|entry| entry.is_for(host, &addresses))
}

struct Folders<'a>(&'a [PathBuf]);

impl Folders<'_> {
    /// Containerd also has names without colon, and one for all that have none of their own.
    fn with_hosts_file(&self, host: &str) -> Option<PathBuf> {
        let bare = host.replace(':', "_");
        let has_file = |folder: &PathBuf| folder.join("hosts.toml").is_file();
        [host.to_owned(), format!("{bare}_"), "_default".to_owned()]
            .iter()
            .flat_map(|name| self.0.iter().map(move |folder| folder.join(name)))
            .find(has_file)
    }

    fn of_host(&self, host: &str) -> Option<PathBuf> {
        self.0.iter().map(|folder| folder.join(host)).find(|folder| folder.is_dir())
    }
}

/// Docker's rules: `*.crt` are authorities, `X.cert` with `X.key` is a certificate of this side.
fn certificates_in(folder: &Path) -> Result<TlsSettings> {
    let unreadable = |source| RegistryError::ReadFile { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.path());
    }
    names.sort();
    let mut tls = TlsSettings::default();
    for path in &names {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.authorities.push(PemFile::read(path)?),
            Some("cert") => {
                let key = path.with_extension("key");
                if !names.contains(&key) {
                    let reason = format!(
                        "missing key {} for client certificate; CA certificates must use the extension .crt",
                        key.display()
                    );
                    return Err(RegistryError::BadFile { path: path.clone(), reason });
                }
                if tls.client.is_some() {
                    let reason = ONE_CLIENT.to_owned();
                    return Err(RegistryError::BadFile { path: path.clone(), reason });
                }
                tls.client = Some((PemFile::read(path)?, PemFile::read(&key)?));
            }
            Some("key") if !names.contains(&path.with_extension("cert")) => {
                let certificate = path.with_extension("cert");
                let reason =
                    format!("missing client certificate {} for key", certificate.display());
                return Err(RegistryError::BadFile { path: path.clone(), reason });
            }
            _ => {}
        }
    }
    Ok(tls)
}

/// `hosts.toml`; the names are containerd's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsFile {
    server: Option<String>,
    #[serde(default)]
    host: toml::Table,
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMore>,
    client: Option<Client>,
    skip_verify: Option<bool>,
    #[serde(default)]
    header: std::collections::BTreeMap<String, OneOrMore>,
    override_path: Option<bool>,
}

/// What stands below `[host."…"]`, and what stands at the top for the server itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostEntry {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMore>,
    client: Option<Client>,
    skip_verify: Option<bool>,
    #[serde(default)]
    header: std::collections::BTreeMap<String, OneOrMore>,
    override_path: Option<bool>,
}

impl HostEntry {
    fn is_empty(&self) -> bool {
        self.capabilities.is_none()
            && self.ca.is_none()
            && self.client.is_none()
            && self.skip_verify.is_none()
            && self.header.is_empty()
            && self.override_path.is_none()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Client {
    /// Certificate and key in one file.
    One(String),
    Files(Vec<String>),
    /// Certificate and key in two.
    Pairs(Vec<Vec<String>>),
}

struct HostsReader<'a> {
    path: PathBuf,
    folder: &'a Path,
    host: &'a str,
}

/// What a file says: who is asked before the registry itself, and how that is asked where the file says it.
struct HostsRead {
    hosts: Vec<Endpoint>,
    server: Option<Endpoint>,
}

fn from_file(folder: &Path, host: &str, server: &str) -> Result<HostsRead> {
    let path = folder.join("hosts.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| RegistryError::ReadFile { path: path.clone(), source })?;
    let reader = HostsReader { path, folder, host };
    let file: HostsFile = toml::from_str(&text).map_err(|error| reader.bad(&error.to_string()))?;
    let mut hosts = Vec::new();
    for (address, entry) in file.host {
        let entry = entry.try_into().map_err(|error: toml::de::Error| {
            reader.bad(&format!("[host.{address:?}]: {}", error.message()))
        })?;
        hosts.push(reader.endpoint(&address, &entry, Role::Mirror)?);
    }
    let entry = HostEntry {
        capabilities: file.capabilities,
        ca: file.ca,
        client: file.client,
        skip_verify: file.skip_verify,
        header: file.header,
        override_path: file.override_path,
    };
    if file.server.is_none() && entry.is_empty() {
        return Ok(HostsRead { hosts, server: None });
    }
    let address = file.server.unwrap_or_else(|| format!("https://{server}"));
    let mut own = reader.endpoint(&address, &entry, Role::Server)?;
    let beside = certificates_in(folder)?;
    if entry.ca.is_none() {
        own.tls.authorities = beside.authorities;
    }
    if entry.client.is_none() {
        own.tls.client = beside.client;
    }
    Ok(HostsRead { hosts, server: Some(own) })
}

impl HostsReader<'_> {
    fn bad(&self, reason: &str) -> RegistryError {
        RegistryError::BadFile { path: self.path.clone(), reason: reason.trim().to_owned() }
    }

    fn endpoint(&self, address: &str, entry: &HostEntry, role: Role) -> Result<Endpoint> {
        let with_scheme =
            if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let root: Url = with_scheme.parse().map_err(|error| self.bad(&format!("{error}")))?;
        let mut endpoint = Endpoint::new(root.clone(), role);
        if entry.override_path == Some(true) || root.path().trim_end_matches('/').ends_with("/v2") {
            endpoint.base = root.clone();
        }
        if let Some(names) = &entry.capabilities {
            endpoint.capabilities =
                names.iter().map(|name| self.capability(name)).collect::<Result<_>>()?;
        }
        for name in entry.ca.as_ref().map(OneOrMore::as_slice).unwrap_or_default() {
            endpoint.tls.authorities.push(PemFile::read(&self.folder.join(name))?);
        }
        endpoint.tls.client =
            entry.client.as_ref().map(|client| self.client(client)).transpose()?;
        if entry.skip_verify == Some(true) {
            endpoint.tls.verification = Verification::None;
        }
        if root.scheme() == Scheme::Http {
            endpoint.downgrade = Downgrade::Allowed;
        }
        for (name, values) in &entry.header {
            let wrong = || self.bad(&format!("header {name:?} is not valid"));
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            for value in values.as_slice() {
                let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
                value.set_sensitive(true);
                endpoint.headers.append(name.clone(), value);
            }
        }
        endpoint.namespace = (role == Role::Mirror).then(|| self.host.to_owned());
        Ok(endpoint)
    }

    fn capability(&self, name: &str) -> Result<Capability> {
        ALL.into_iter()
            .find(|capability| capability.name() == name.to_ascii_lowercase())
            .ok_or_else(|| self.bad(&format!("unknown capability {name:?}")))
    }

    fn client(&self, client: &Client) -> Result<(PemFile, PemFile)> {
        let files: Vec<&str> = match client {
            Client::One(file) => vec![file],
            Client::Files(files) if files.len() > 1 => return Err(self.bad(ONE_CLIENT)),
            Client::Pairs(pairs) if pairs.len() > 1 => return Err(self.bad(ONE_CLIENT)),
            Client::Files(files) => files.iter().map(String::as_str).collect(),
            Client::Pairs(pairs) => pairs.iter().flatten().map(String::as_str).collect(),
        };
        let read = |name: &str| PemFile::read(&self.folder.join(name));
        match files.as_slice() {
            [both] | [both, ""] => Ok((read(both)?, read(both)?)),
            [certificate, key] => Ok((read(certificate)?, read(key)?)),
            _ => Err(self.bad("client needs a file, or a certificate and its key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> RegistryConfig {
        RegistryConfig { certs_dirs: vec![folder.to_owned()], ..RegistryConfig::default() }
    }

    async fn bases(config: &RegistryConfig, host: &str) -> Vec<String> {
        let endpoints = endpoints(config, host).await.unwrap();
        endpoints.iter().map(|endpoint| endpoint.base.to_string()).collect()
    }

    #[tokio::test]
    async fn docker_io_has_its_own_server_and_mirrors_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path())
            .mirrors(&["http://m:5000/x/".into(), "https://n".into()])
            .unwrap();
        let all = ["http://m:5000/x/v2", "https://n/v2", "https://registry-1.docker.io/v2"];
        assert_eq!(bases(&config, "docker.io").await, all);
        assert_eq!(bases(&config, "ghcr.io").await, ["https://ghcr.io/v2"]);
        let endpoints = endpoints(&config, "docker.io").await.unwrap();
        assert!(!endpoints[0].can(Capability::Push) && endpoints[2].can(Capability::Push));
        assert_eq!((endpoints[0].role, endpoints[2].role), (Role::Mirror, Role::Server));
    }

    #[tokio::test]
    async fn insecure_registries_are_asked_with_tls_first_and_then_without() {
        let folder = tempfile::tempdir().unwrap();
        let entries = ["reg.example:5000".to_owned(), "192.0.2.0/24".to_owned()];
        let config = config(folder.path()).insecure(&entries).unwrap();
        for host in ["reg.example:5000", "192.0.2.7", "127.0.0.1:5000", "localhost:1", "[::1]:5000"]
        {
            let both = [format!("https://{host}/v2"), format!("http://{host}/v2")];
            assert_eq!(bases(&config, host).await, both);
            let endpoints = endpoints(&config, host).await.unwrap();
            assert_eq!(endpoints[0].tls.verification, Verification::None);
        }
        for host in ["reg.example", "192.0.3.7", "reg.example:5001"] {
            assert_eq!(bases(&config, host).await, [format!("https://{host}/v2")]);
        }
    }

    #[tokio::test]
    async fn a_hosts_file_gives_mirrors_to_any_registry() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("reg.example:5000");
        std::fs::create_dir(&host).unwrap();
        std::fs::write(host.join("m.pem"), "x").unwrap();
        let text = r#"
            server = "https://upstream.example"
            [host."http://z.example:5000"]
              capabilities = ["pull"]
            [host."https://a.example/proxy"]
              capabilities = ["pull", "resolve"]
              ca = "m.pem"
              skip_verify = true
              override_path = true
              [host."https://a.example/proxy".header]
                x-one = "1"
                x-two = ["2", "3"]
        "#;
        std::fs::write(host.join("hosts.toml"), text).unwrap();
        let config = config(folder.path());
        let endpoints = endpoints(&config, "reg.example:5000").await.unwrap();
        let [first, second, own] = endpoints.as_slice() else { panic!("three expected") };
        assert_eq!(first.base.to_string(), "http://z.example:5000/v2");
        assert!(first.can(Capability::Pull) && !first.can(Capability::Resolve));
        assert_eq!(first.namespace.as_deref(), Some("reg.example:5000"));
        assert_eq!(second.base.to_string(), "https://a.example/proxy");
        assert_eq!(second.tls.verification, Verification::None);
        assert_eq!(second.headers.get_all("x-two").iter().count(), 2);
        assert_eq!(
            (own.base.to_string().as_str(), own.role),
            ("https://upstream.example/v2", Role::Server)
        );
        assert_eq!(own.namespace, None);
    }

    #[tokio::test]
    async fn a_wrong_hosts_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("reg_5000_");
        std::fs::create_dir(&host).unwrap();
        for (text, wrong) in [
            ("server = 1", "invalid type"),
            ("sever = \"x\"", "sever"),
            ("[host.\"ftp://x\"]", "unsupported scheme"),
            ("[host.x]\ncapabilities = [\"fly\"]", "unknown capability \"fly\""),
            ("[host.x]\ncolour = 1", "colour"),
        ] {
            std::fs::write(host.join("hosts.toml"), text).unwrap();
            let error = endpoints(&config(folder.path()), "reg:5000").await.err().unwrap();
            let error = error.to_string();
            assert!(error.contains("hosts.toml") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.cert"), "").unwrap();
        let error = certificates_in(folder.path()).err().unwrap().to_string();
        assert!(error.contains("missing key") && error.contains("a.key"), "{error}");
        std::fs::remove_file(folder.path().join("a.cert")).unwrap();
        std::fs::write(folder.path().join("b.key"), "").unwrap();
        let error = certificates_in(folder.path()).err().unwrap().to_string();
        assert!(error.contains("missing client certificate"), "{error}");
    }
}
