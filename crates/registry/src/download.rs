//! Files of the web, for builds: one request, no credentials, no repository.

use barge_types::shown_address;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::Registry;
use crate::error::{RegistryError, Result};
use crate::transport::{Answer, Request};
use crate::url::Url;

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    answer: Answer,
}

/// The question whether a file is another one than what a server called `etag`. Dates are not asked about: a server
/// answers that a file has not changed since then also when it went back to an older one (RFC 9110, section 13.1.3).
fn condition(etag: &str) -> Option<(HeaderName, HeaderValue)> {
    // What no header can carry cannot be asked about.
    HeaderValue::from_str(etag).ok().map(|value| (header::IF_NONE_MATCH, value))
}

/// An error without what of an address may be a secret.
fn quiet(mut error: RegistryError) -> RegistryError {
    if let RegistryError::Request { url, .. } = &mut error {
        *url = shown_address(url);
    }
    error
}

impl Registry {
    /// Asks for `http(s)://…`; through the same proxies as registries. `None` when the file is still the one that the server
    /// called `known` (its `ETag`).
    ///
    /// # Errors
    /// What is no such address, nobody who answers, a status that is no success.
    pub async fn download(&self, url: &str, known: Option<&str>) -> Result<Option<Download>> {
        let bad = |source| RegistryError::BadUrl { url: shown_address(url), source };
        let parsed: Url = url.parse().map_err(bad)?;
        let mut request = Request::new(Method::GET, parsed);
        let condition = known.and_then(condition);
        let is_asked = condition.is_some();
        request.headers.extend(condition);
        let answer = self.live().transport.send(request).await.map_err(quiet)?;
        match answer.status {
            StatusCode::NOT_MODIFIED if is_asked => {
                answer.discard().await;
                Ok(None)
            }
            status if status.is_success() => Ok(Some(Download { answer })),
            status => Err(RegistryError::Elsewhere { url: shown_address(url), status }),
        }
    }
}

impl Download {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        self.answer.chunk().await.map(|chunk| chunk.map_err(quiet))
    }

    /// What the server calls this state of the file.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.answer.header(header::ETAG)
    }

    /// When it changed, as the server writes it (RFC 9110, section 5.6.7).
    #[must_use]
    pub fn last_modified(&self) -> Option<&str> {
        self.answer.header(header::LAST_MODIFIED)
    }

    /// What kind of file it is said to be.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.answer.header(header::CONTENT_TYPE)
    }

    /// How long it is, when that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.answer.header(header::CONTENT_LENGTH)?.parse().ok()
    }

    /// What it is to be called: what the server says, or the last part of where it was found in the end. Never with a
    /// slash, and empty when there is no name.
    #[must_use]
    pub fn name(&self) -> String {
        let said = self.answer.header(header::CONTENT_DISPOSITION).and_then(file_name);
        let path = self.answer.url.path();
        let last = || path.rsplit('/').next().unwrap_or_default().to_owned();
        let name = said.unwrap_or_else(last);
        if matches!(name.as_str(), "." | "..") { String::new() } else { name }
    }
}

/// `attachment; filename="x"` (RFC 6266), without folders in front.
fn file_name(disposition: &str) -> Option<String> {
    let value = disposition.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("filename").then(|| value.trim().trim_matches('"'))
    })?;
    let name = value.rsplit(['/', '\\']).next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_asked_about_by_what_its_server_called_it() {
        let (name, value) = condition("\"one\"").unwrap();
        assert_eq!((name, value.as_bytes()), (header::IF_NONE_MATCH, &b"\"one\""[..]));
        assert_eq!(condition("a\nb"), None);
    }

    #[test]
    fn a_servers_name_for_a_file_has_no_folders() {
        let name = |text| file_name(text);
        assert_eq!(name(r#"attachment; filename="a.tar""#).as_deref(), Some("a.tar"));
        assert_eq!(name("attachment; FileName=../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(name("inline"), None);
        assert_eq!(name(r#"attachment; filename="x/""#), None);
    }
}
