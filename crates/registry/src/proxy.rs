//! Which proxy stands between here and a server: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` as Go's programs read them.
//!
//! The rules are those of golang.org/x/net/http/httpproxy: lower case names count too, loopback addresses are always
//! asked directly, and an entry of `NO_PROXY` is `*`, an address, a network, a domain (with all below it) or `.domain`
//! (only what is below it), each perhaps with a port.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

use crate::config::ConfigError;
use crate::url::{Scheme, Url};

/// A proxy: where it listens and what it wants to hear. Its password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(crate) url: Url,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

impl Proxy {
    fn parse(text: &str, scheme: &'static str) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Proxy { scheme, reason };
        let text = text.trim();
        let (protocol, rest) = text.split_once("://").unwrap_or(("http", text));
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, _path) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if protocol.starts_with("socks") {
            return Err(wrong("SOCKS proxies are not supported".into()));
        }
        let url = format!("{protocol}://{host}")
            .parse::<Url>()
            .map_err(|error| wrong(error.to_string()))?;
        let authorization = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let pair = [percent_decoded(name), b":".to_vec(), percent_decoded(password)].concat();
            format!("Basic {}", STANDARD.encode(pair))
        });
        Ok(Self { url, authorization })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The proxies for both schemes and who is asked without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    /// Parses the three settings; an empty text is a setting that is absent.
    pub fn parse(http: &str, https: &str, no_proxy: &str) -> Result<Self, ConfigError> {
        let proxy = |text: &str, scheme| {
            (!text.trim().is_empty()).then(|| Proxy::parse(text, scheme)).transpose()
        };
        Ok(Self {
            http: proxy(http, "http")?,
            https: proxy(https, "https")?,
            exceptions: no_proxy.split(',').filter_map(Exception::parse).collect(),
        })
    }

    /// The settings of an environment, of which `lookup` gives a variable's value. Lower case names count where the
    /// upper case ones are absent or empty.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let value = |name: &str| {
            lookup(name)
                .filter(|value| !value.is_empty())
                .or_else(|| lookup(&name.to_ascii_lowercase()))
                .unwrap_or_default()
        };
        Self::parse(&value("HTTP_PROXY"), &value("HTTPS_PROXY"), &value("NO_PROXY"))
    }

    /// The proxy through which `url` is asked.
    #[must_use]
    pub fn for_url(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }?;
        let host = url.host().trim_end_matches('.');
        let address = host.parse::<IpAddr>().ok();
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let is_exception =
            self.exceptions.iter().any(|exception| exception.is_for(host, address, url.port()));
        (!is_local && !is_exception).then_some(proxy)
    }
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    Everything,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    /// The name itself, unless only what is below it is meant.
    Domain {
        name: String,
        reach: Reach,
        port: Option<u16>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    WithItself,
    OnlyBelow,
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = text.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address, port));
        }
        let host = host.strip_prefix('*').unwrap_or(host);
        let (name, reach) = match host.strip_prefix('.') {
            Some(name) => (name, Reach::OnlyBelow),
            None => (host, Reach::WithItself),
        };
        (!name.is_empty()).then(|| Self::Domain { name: name.to_owned(), reach, port })
    }

    fn is_for(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match self {
            Self::Everything => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(wanted, wanted_port) => {
                address == Some(*wanted) && wanted_port.is_none_or(|wanted| wanted == port)
            }
            Self::Domain { name, reach, port: wanted_port } => {
                let is_below =
                    host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                let is_itself = *reach == Reach::WithItself && host == name;
                (is_below || is_itself) && wanted_port.is_none_or(|wanted| wanted == port)
            }
        }
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_through(no_proxy: &str, url: &str) -> bool {
        let proxies = Proxies::parse("http://p:1", "http://q:2", no_proxy).unwrap();
        proxies.for_url(&url.parse().unwrap()).is_some()
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let proxies = Proxies::parse("p:1", "https://q:2/", "").unwrap();
        let of = |url: &str| proxies.for_url(&url.parse().unwrap()).unwrap().url.to_string();
        assert_eq!(of("http://x/"), "http://p:1/");
        assert_eq!(of("https://x/"), "https://q:2/");
        assert!(Proxies::default().for_url(&"http://x/".parse().unwrap()).is_none());
    }

    #[test]
    fn loopback_is_asked_directly() {
        for url in ["http://localhost:5000/", "http://127.0.0.9/", "https://[::1]/"] {
            assert!(!goes_through("", url), "{url}");
        }
    }

    #[test]
    fn exceptions_are_domains_addresses_networks_and_ports() {
        for (no_proxy, url, through) in [
            ("example.com", "http://example.com/", false),
            ("example.com", "http://a.example.com/", false),
            ("example.com", "http://anexample.com/", true),
            (".example.com", "http://example.com/", true),
            (".example.com", "http://a.example.com/", false),
            ("*.example.com", "http://a.example.com/", false),
            ("example.com:81", "http://example.com/", true),
            ("example.com:81", "http://example.com:81/", false),
            ("10.0.0.0/8, x", "http://10.1.1.1/", false),
            ("10.1.1.1", "http://10.1.1.1:5000/", false),
            ("10.1.1.1", "http://10.1.1.2/", true),
            ("*", "https://anything/", false),
            (" , ,", "https://anything/", true),
        ] {
            assert_eq!(goes_through(no_proxy, url), through, "{no_proxy} {url}");
        }
    }

    #[test]
    fn lower_case_variables_count_where_upper_case_ones_are_absent() {
        let proxies = Proxies::from_environment(|name| match name {
            "HTTP_PROXY" => Some("http://upper:1".into()),
            "http_proxy" => Some("http://lower:1".into()),
            "https_proxy" => Some("http://lower:2".into()),
            "no_proxy" => Some("direct".into()),
            _ => None,
        })
        .unwrap();
        let of = |url: &str| proxies.for_url(&url.parse().unwrap()).map(|p| p.url.to_string());
        assert_eq!(of("http://x/").as_deref(), Some("http://upper:1/"));
        assert_eq!(of("https://x/").as_deref(), Some("http://lower:2/"));
        assert_eq!(of("https://direct/"), None);
    }

    #[test]
    fn a_proxys_password_is_sent_and_never_shown() {
        let proxies = Proxies::parse("http://us%20er:pa%3Ass@p:1", "", "").unwrap();
        let proxy = proxies.http.as_ref().unwrap();
        let wanted = format!("Basic {}", STANDARD.encode("us er:pa:ss"));
        assert_eq!(proxy.authorization.as_deref(), Some(wanted.as_str()));
        assert!(!format!("{proxies:?}").contains("pa"));
        let error = Proxies::parse("", "http://u:secret@:x", "").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        let error = Proxies::parse("socks5://p:1", "", "").unwrap_err().to_string();
        assert!(error.contains("SOCKS"), "{error}");
    }
}
