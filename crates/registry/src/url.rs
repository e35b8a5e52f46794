//! Absolute http and https addresses, as references, configuration and `Location` headers name them.
//!
//! Only what HTTP needs: scheme, host, port, and the target (path and query) as it goes over the wire. User names in
//! addresses are refused: they would end in logs.

use std::fmt;
use std::str::FromStr;

/// The text is no address that this crate can ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `http://` nor `https://`.
    #[error("unsupported scheme in {0:?}: expected http or https")]
    Scheme(String),
    /// No host, or a port that is no number.
    #[error("{0:?} is not a valid URI")]
    Host(String),
    /// `user:password@`.
    #[error("username/password not allowed in a URI")]
    User,
}

/// With or without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// An absolute address: `scheme://host[:port]/path[?query]`, without fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    /// Lower case; an IPv6 address keeps its brackets.
    host: String,
    port: u16,
    /// Path and query, begins with `/`, only visible ASCII.
    target: String,
}

impl Url {
    /// The root of a host as references name it: `host[:port]`.
    pub fn of_host(scheme: Scheme, host: &str) -> Result<Self, UrlError> {
        format!("{}://{host}", scheme.text()).parse()
    }

    /// With or without TLS.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host without port; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// The port, also when it is the scheme's own.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `host` or, with a port that is not the scheme's own, `host:port`: the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// `host:port`, always with the port.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path without query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("/")
    }

    /// Whether both name the same server: scheme, host and port.
    #[must_use]
    pub fn is_same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }

    /// `path` below this address; slashes in between are made one.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        let base = self.path().trim_end_matches('/');
        Self { target: format!("{base}/{}", path.trim_start_matches('/')), ..self.clone() }
    }

    /// The same with one more query parameter, percent-encoded.
    #[must_use]
    pub fn with_query(&self, key: &str, value: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{separator}{key}={}", self.target, encode(value));
        Self { target, ..self.clone() }
    }

    /// The same host and path over TLS.
    #[must_use]
    pub fn over_tls(&self, port: u16) -> Self {
        Self { scheme: Scheme::Https, port, ..self.clone() }
    }

    /// What a `Location` or `Link` header means here (RFC 3986, section 5).
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.trim().split('#').next().unwrap_or_default();
        if let Some(rest) = reference.strip_prefix("//") {
            return format!("{}://{rest}", self.scheme.text()).parse();
        }
        let before_path = reference.split(['/', '?']).next().unwrap_or_default();
        if before_path.contains(':') {
            return reference.parse();
        }
        let target = if reference.is_empty() {
            self.target.clone()
        } else if reference.starts_with('/') {
            visible(reference)
        } else if reference.starts_with('?') {
            format!("{}{}", self.path(), visible(reference))
        } else {
            let folder = self.path().rfind('/').map_or("", |slash| &self.path()[..slash]);
            format!("{folder}/{}", visible(reference))
        };
        Ok(Self { target, ..self.clone() })
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| UrlError::Scheme(text.to_owned()))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlError::Scheme(text.to_owned())),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let wrong = || UrlError::Host(text.to_owned());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?)
            }
            _ => (authority, scheme.default_port()),
        };
        if !is_host(host) {
            return Err(wrong());
        }
        let target = match target {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{}", visible(query)),
            path => visible(path),
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, target })
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    }
}

/// Percent-encodes what may not stand in a request line, and leaves the rest as the server wrote it.
fn visible(target: &str) -> String {
    escape(target, |byte| byte.is_ascii_graphic())
}

/// Percent-encodes a query's value (RFC 3986, unreserved characters stay).
pub(crate) fn encode(value: &str) -> String {
    escape(value, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

fn escape(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.text(), self.authority(), self.target)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, shown, host, port) in [
            ("https://Example.com", "https://example.com/", "example.com", 443),
            ("http://example.com:80/x?y=1#z", "http://example.com/x?y=1", "example.com", 80),
            ("http://[::1]:5000?a", "http://[::1]:5000/?a", "::1", 5000),
            ("HTTPS://h_1:5/a b", "https://h_1:5/a%20b", "h_1", 5),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.host(), url.port()), (shown, host, port));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "h", "ftp://h", "http://", "http://h:0", "http://h:x", "http://a b/"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
        assert_eq!("http://u:p@h/".parse::<Url>(), Err(UrlError::User));
    }

    #[test]
    fn locations_are_resolved() {
        let base: Url = "https://h:5000/v2/a/blobs/x?q=1".parse().unwrap();
        for (location, whole) in [
            ("/v2/u?_state=a%3D", "https://h:5000/v2/u?_state=a%3D"),
            ("//other/x", "https://other/x"),
            ("http://other:1/x", "http://other:1/x"),
            ("?n=2", "https://h:5000/v2/a/blobs/x?n=2"),
            ("y", "https://h:5000/v2/a/blobs/y"),
            ("y?at=12:30", "https://h:5000/v2/a/blobs/y?at=12:30"),
            ("", "https://h:5000/v2/a/blobs/x?q=1"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), whole, "{location}");
        }
        assert!(base.join("file:///etc/passwd").is_err());
    }

    #[test]
    fn queries_are_encoded() {
        let url: Url = "http://h/v2/".parse().unwrap();
        assert_eq!(
            url.below("/token").with_query("a", "x y&z").with_query("b", "c:d").target(),
            "/v2/token?a=x%20y%26z&b=c%3Ad"
        );
    }
}
