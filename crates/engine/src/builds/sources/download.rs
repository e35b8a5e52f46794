//! Files of the web, by the client that also speaks to registries: the same proxies, the same deadlines.

use std::fs::File;
use std::io::Write as _;

use barge_builder::runner::Cancel;
use barge_builder::sources::Downloaded;
use jiff::fmt::rfc2822;

use super::BuildSources;
use crate::error::{EngineError, Result};

impl BuildSources {
    pub(in crate::builds) fn fetch(
        &self,
        url: &str,
        known: Option<&Downloaded>,
        (into, cancel): (&mut File, &Cancel),
    ) -> Result<Option<Downloaded>> {
        let etag = known.and_then(|known| known.etag.as_deref());
        let work = async {
            let Some(mut download) = self.images.registries.client.download(url, etag).await?
            else {
                return Ok(None);
            };
            let told = Downloaded {
                name: download.name(),
                etag: download.etag().map(str::to_owned),
                modified: download.last_modified().and_then(seconds),
                digest: None,
            };
            while let Some(bytes) = download.next().await {
                // Blocking, on a thread of the build's own.
                into.write_all(&bytes?).map_err(EngineError::io("write", "what is downloaded"))?;
            }
            Ok(Some(told))
        };
        self.wait(work, cancel)
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since the epoch.
fn seconds(date: &str) -> Option<i64> {
    let parsed = rfc2822::DateTimeParser::new().parse_zoned(date).ok()?;
    Some(parsed.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("yesterday"), None);
    }
}
