//! What the daemon's configuration says about registries, checked entry by entry.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::proxy::Proxies;
use crate::url::{Scheme, Url, UrlError};

/// An entry of the configuration is wrong. The texts name the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `insecure-registries` holds something that is neither `host[:port]` nor a network.
    #[error("insecure registry {entry} is not valid: {reason}")]
    Insecure {
        /// As it was written.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `registry-mirrors` holds something that is no address of a server.
    #[error("invalid mirror: {entry:?}: {reason}")]
    Mirror {
        /// As it was written.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A proxy's address is wrong.
    #[error("invalid proxy for {scheme}: {reason}")]
    Proxy {
        /// `http` or `https`: whose proxy it is.
        scheme: &'static str,
        /// What is wrong with it; the address is not shown, it may hold a password.
        reason: String,
    },
}

/// A registry that may be asked without TLS, or with a certificate that nobody checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insecure {
    /// `host` or `host:port`, exactly as references name it.
    Name(String),
    /// Every registry whose address is in this network.
    Network(IpNet),
}

impl Insecure {
    /// Parses an entry of `insecure-registries`. As in Docker, a leading `http://` or `https://` is dropped.
    pub fn parse(entry: &str) -> Result<Self, ConfigError> {
        let wrong = |reason| ConfigError::Insecure { entry: entry.to_owned(), reason };
        let lower = entry.trim().to_ascii_lowercase();
        let rest = lower
            .strip_prefix("http://")
            .or_else(|| lower.strip_prefix("https://"))
            .unwrap_or(&lower)
            .trim_end_matches('/');
        if rest.contains("://") {
            return Err(wrong("it should not contain '://'"));
        }
        if let Ok(network) = rest.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if rest.contains('/') {
            return Err(wrong("expected a host, host:port or a network in CIDR notation"));
        }
        if rest.starts_with('-') || rest.ends_with('-') {
            return Err(wrong("a host cannot begin or end with a hyphen"));
        }
        match Url::of_host(Scheme::Https, rest) {
            Ok(_) => Ok(Self::Name(rest.to_owned())),
            Err(_) => Err(wrong("expected a host, host:port or a network in CIDR notation")),
        }
    }

    pub(crate) fn is_for(&self, host: &str, addresses: &[IpAddr]) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Network(network) => addresses.iter().any(|address| network.contains(address)),
        }
    }
}

/// An entry of `registry-mirrors`: a server that has what docker.io has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(Url);

impl Mirror {
    /// Parses `http[s]://host[:port][/path]`.
    pub fn parse(entry: &str) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Mirror { entry: entry.to_owned(), reason };
        if entry.contains(['?', '#']) {
            return Err(wrong("query or fragment at end of the URI".into()));
        }
        let parsed = entry.trim().parse::<Url>();
        parsed.map(Self).map_err(|error| match error {
            UrlError::User => ConfigError::Mirror {
                entry: "…".into(),
                reason: "username/password not allowed in URI".into(),
            },
            UrlError::Scheme(_) | UrlError::Host(_) => wrong(error.to_string()),
        })
    }

    /// The server's address.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

/// When and how often something is tried again. The pauses double, without any chance in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first; 0 means that the first failure is the end.
    pub retries: u32,
    /// The first pause.
    pub first_pause: Duration,
    /// No pause of ours is longer.
    pub longest_pause: Duration,
    /// A longer `Retry-After` of a server is cut to this.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// The pause before retry number `retry` (the first is 1), where the server named none.
    #[must_use]
    pub fn pause(&self, retry: u32) -> Duration {
        let doublings = retry.saturating_sub(1).min(20);
        self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause)
    }
}

/// How long silence lasts before it counts as failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    /// Name lookup, connection and TLS handshake together.
    pub connect: Duration,
    /// Between the end of a request and the head of its answer.
    pub answer: Duration,
    /// A body that moves no byte for so long, in either direction, has stalled.
    pub silence: Duration,
    /// The answer to the end of an upload: the registry may copy the whole blob first.
    pub commit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            commit: Duration::from_secs(600),
        }
    }
}

/// Everything that is configured about registries.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// `insecure-registries`; 127.0.0.0/8 and `::1` are always among them, as in Docker.
    pub insecure: Vec<Insecure>,
    /// `registry-mirrors`, for docker.io alone, in their order.
    pub mirrors: Vec<Mirror>,
    /// Folders with `<host[:port]>/{hosts.toml,*.crt,*.cert,*.key}`; the first that knows a host decides.
    pub certs_dirs: Vec<PathBuf>,
    /// Proxies, as [`Proxies::from_environment`] reads them or `daemon.json` has them.
    pub proxies: Proxies,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// When something is tried again.
    pub retry: RetryPolicy,
    /// How long silence may last.
    pub deadlines: Deadlines,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            certs_dirs: vec!["/etc/barge/certs.d".into(), "/etc/docker/certs.d".into()],
            proxies: Proxies::default(),
            user_agent: concat!("barge/", env!("CARGO_PKG_VERSION")).into(),
            retry: RetryPolicy::default(),
            deadlines: Deadlines::default(),
        }
    }
}

impl RegistryConfig {
    /// The same with these `insecure-registries`; the first wrong entry is named.
    pub fn insecure(mut self, entries: &[String]) -> Result<Self, ConfigError> {
        self.insecure =
            entries.iter().map(|entry| Insecure::parse(entry)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// The same with these `registry-mirrors`; the first wrong entry is named.
    pub fn mirrors(mut self, entries: &[String]) -> Result<Self, ConfigError> {
        self.mirrors =
            entries.iter().map(|entry| Mirror::parse(entry)).collect::<Result<_, _>>()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insecure_entries_are_names_or_networks() {
        let name = |text: &str| Insecure::Name(text.to_owned());
        assert_eq!(Insecure::parse("Reg.example:5000"), Ok(name("reg.example:5000")));
        assert_eq!(Insecure::parse("http://reg"), Ok(name("reg")));
        assert_eq!(Insecure::parse("[::1]:5000"), Ok(name("[::1]:5000")));
        assert_eq!(
            Insecure::parse("10.0.0.0/8"),
            Ok(Insecure::Network("10.0.0.0/8".parse().unwrap()))
        );
        for wrong in ["", "ftp://x", "a/b", "10.0.0.0/99", "x:port", "-x", "x y"] {
            let error = Insecure::parse(wrong).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("insecure registry {wrong} is not valid")),
                "{error}"
            );
        }
    }

    #[test]
    fn networks_hold_addresses_and_names_are_exact() {
        let network = Insecure::parse("10.0.0.0/8").unwrap();
        assert!(network.is_for("x", &["10.1.2.3".parse().unwrap()]));
        assert!(!network.is_for("10.1.2.3", &["11.1.2.3".parse().unwrap()]));
        let name = Insecure::parse("reg:5000").unwrap();
        assert!(name.is_for("reg:5000", &[]));
        assert!(!name.is_for("reg", &[]) && !name.is_for("reg:5001", &[]));
    }

    #[test]
    fn wrong_mirrors_are_named_but_not_their_passwords() {
        assert_eq!(Mirror::parse("https://m/").unwrap().url().to_string(), "https://m/");
        for wrong in ["m", "ftp://m", "https://m?x=1", "https://m#f", ""] {
            assert!(Mirror::parse(wrong).unwrap_err().to_string().contains(&format!("{wrong:?}")));
        }
        let error = Mirror::parse("https://u:secret@m").unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("username/password"), "{error}");
    }

    #[test]
    fn pauses_double_and_end() {
        let policy = RetryPolicy::default();
        let seconds: Vec<u64> = (1..=7).map(|retry| policy.pause(retry).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(policy.pause(u32::MAX), policy.longest_pause);
    }
}
