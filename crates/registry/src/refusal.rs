//! An answer that is no: status and the error body of the distribution specification, in Docker's words.

use std::fmt;
use std::time::{Duration, SystemTime};

use barge_types::ErrorKind;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::challenge::{self, Challenge};
use crate::error::is_transient_status;

/// So much of a body that is no error of the specification is shown.
const SHOWN_BODY: usize = 512;

/// One error of a body: `{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RefusalEntry {
    /// The specification's code, upper case with underscores.
    #[serde(default)]
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// The registry (or its token service) said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What the body says; empty when it has no error of the specification.
    pub entries: Vec<RefusalEntry>,
    /// The body, cut, where it has no such error.
    pub body: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

impl std::error::Error for Refusal {}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<RefusalEntry>,
    /// Some servers write this in the place of `errors`; token services of Docker's kind do.
    #[serde(default)]
    details: String,
}

impl Refusal {
    /// Reads an answer whose status is no success.
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut entries = Vec::new();
        // RFC 6750, section 3.1: what is wrong with a token stands in the challenge.
        entries.extend(challenge::parse(headers).iter().find_map(of_challenge));
        match serde_json::from_slice::<Body>(body) {
            Ok(parsed) if !parsed.errors.is_empty() => {
                for entry in parsed.errors {
                    if !entries.iter().any(|known| known.code == entry.code) {
                        entries.push(entry);
                    }
                }
            }
            Ok(Body { details, .. }) if !details.is_empty() => {
                let code = match status.as_u16() {
                    401 => "UNAUTHORIZED",
                    429 => "TOOMANYREQUESTS",
                    _ => "UNKNOWN",
                };
                entries.push(RefusalEntry { code: code.into(), message: details });
            }
            Ok(_) | Err(_) => {}
        }
        if entries.is_empty() && status == StatusCode::UNAUTHORIZED {
            let message = "authentication required".into();
            entries.push(RefusalEntry { code: "UNAUTHORIZED".into(), message });
        }
        if entries.is_empty() && status == StatusCode::TOO_MANY_REQUESTS {
            let message = "too many requests".into();
            entries.push(RefusalEntry { code: "TOOMANYREQUESTS".into(), message });
        }
        let body = text.chars().take(SHOWN_BODY).collect();
        Self { status, entries, body, retry_after: retry_after(headers, SystemTime::now()) }
    }

    /// Whether one of the errors has this code.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.entries.iter().any(|entry| entry.code == code)
    }

    /// The same with what it means.
    pub(crate) fn with(mut self, code: &str, message: &str) -> Self {
        self.entries.push(RefusalEntry { code: code.into(), message: message.into() });
        self
    }

    pub(crate) fn is_transient(&self) -> bool {
        is_transient_status(self.status)
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        if self.has_code("DENIED") {
            return ErrorKind::Forbidden;
        }
        match self.status.as_u16() {
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            400 | 405 | 416 => ErrorKind::InvalidParameter,
            408 | 429 | 500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::System,
        }
    }
}

fn of_challenge(challenge: &Challenge) -> Option<RefusalEntry> {
    let Challenge::Bearer(bearer) = challenge else { return None };
    let (code, usual) = match bearer.error.as_deref() {
        Some("invalid_token") => ("UNAUTHORIZED", "authentication required"),
        Some("insufficient_scope") => ("DENIED", "requested access to the resource is denied"),
        _ => return None,
    };
    let message = bearer.error_description.clone().unwrap_or_else(|| usual.to_owned());
    Some(RefusalEntry { code: code.into(), message })
}

/// Seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

impl fmt::Display for RefusalEntry {
    /// As Docker: `manifest unknown: manifest unknown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.to_lowercase().replace('_', " ");
        match (code.as_str(), self.message.as_str()) {
            ("", message) => f.write_str(message),
            (code, "") => f.write_str(code),
            (code, message) => write!(f, "{code}: {message}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entries.as_slice() {
            [] if self.status.is_server_error() => {
                write!(f, "received unexpected HTTP status: {}", self.status)
            }
            [] if self.body.is_empty() => {
                write!(f, "unexpected HTTP status {} with an empty body", self.status)
            }
            [] => write!(
                f,
                "error parsing HTTP {} response body: no error of the specification: {:?}",
                self.status.as_u16(),
                self.body
            ),
            [only] => fmt::Display::fmt(only, f),
            several => {
                f.write_str("errors:")?;
                several.iter().try_for_each(|entry| write!(f, "\n{entry}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::new(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn bodies_of_the_specification_are_said_as_docker_says_them() {
        for (status, body, text) in [
            (
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
                "manifest unknown: manifest unknown",
            ),
            (401, "", "unauthorized: authentication required"),
            (
                401,
                r#"{"details":"incorrect username or password"}"#,
                "unauthorized: incorrect username or password",
            ),
            (429, "slow down", "toomanyrequests: too many requests"),
            (500, "oops", "received unexpected HTTP status: 500 Internal Server Error"),
            (
                403,
                r#"{"errors":[{"code":"DENIED","message":"a"},{"code":"UNSUPPORTED","message":"b"}]}"#,
                "errors:\ndenied: a\nunsupported: b",
            ),
            (
                403,
                "<html>",
                "error parsing HTTP 403 response body: no error of the specification: \"<html>\"",
            ),
        ] {
            assert_eq!(refusal(status, body).to_string(), text);
        }
    }

    #[test]
    fn a_scope_that_does_not_suffice_is_denied() {
        let mut headers = HeaderMap::new();
        let value = r#"Bearer realm="https://t/token",service="s",scope="repository:x:pull",error="insufficient_scope""#;
        headers.insert(header::WWW_AUTHENTICATE, value.parse().unwrap());
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, &headers, body.as_bytes());
        assert!(refusal.has_code("DENIED"));
        assert_eq!(refusal.kind(), ErrorKind::Forbidden);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:27 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }
}
