//! Downloads blobs, going on where a connection broke (distribution specification, "pulling blobs"; RFC 9110,
//! section 14). Whether the bytes have the right digest is for the reader to find out while it unpacks them.

use std::sync::Arc;

use barge_types::Digest;
use bytes::Bytes;
use http::{HeaderValue, Method, header};

use crate::error::{Failure, RegistryError, Result};
use crate::hosts::{Capability, Endpoint};
use crate::manifest::digest_of;
use crate::repository::Repository;
use crate::retry::Retrying;
use crate::session::Ask;
use crate::transport::Answer;
use crate::url::Url;

/// Who has moved so many bytes has made progress: failures are counted anew.
const PROGRESS: u64 = 256 << 10;

impl Repository {
    /// Begins to download a blob at byte `from`. See [`BlobStream::start`] for where it really begins.
    pub async fn blob(&self, digest: &Digest, from: u64) -> Result<BlobStream> {
        self.blob_or_elsewhere(digest, from, &[]).await
    }

    /// The same for a layer that registries may not hold: where the repository lacks it, it comes from one of the
    /// `urls` of its descriptor (OCI image specification, "descriptor"), without credentials. They come from who made
    /// the image, so without TLS only servers are asked that `insecure-registries` names.
    pub async fn blob_or_elsewhere(
        &self,
        digest: &Digest,
        from: u64,
        urls: &[String],
    ) -> Result<BlobStream> {
        let mut stream = BlobStream {
            elsewhere: urls.iter().filter_map(|url| url.parse().ok()).collect(),
            is_elsewhere: false,
            repository: self.clone(),
            digest: *digest,
            retrying: self.session.retrying(&self.notices),
            answer: None,
            endpoint: None,
            position: from,
            start: from,
            total: None,
            skip: 0,
            moved: 0,
        };
        loop {
            match stream.open().await {
                Ok(()) => return Ok(stream),
                Err(error) => self.session.after(error, &mut stream.retrying).await?,
            }
        }
    }

    /// A whole blob that is known to be small (a configuration), verified.
    pub async fn small_blob(&self, digest: &Digest, limit: usize) -> Result<Bytes> {
        let mut stream = self.blob(digest, 0).await?;
        let mut all = Vec::new();
        while let Some(chunk) = stream.next().await {
            all.extend_from_slice(&chunk?);
            if all.len() > limit {
                let reason = format!("it is longer than {limit} bytes");
                return Err(RegistryError::Answer {
                    url: format!("{}@{digest}", self.familiar),
                    reason,
                });
            }
        }
        let got = digest_of(&all);
        if got == *digest {
            Ok(all.into())
        } else {
            Err(RegistryError::WrongBlob { expected: *digest, got })
        }
    }

    /// The size of a blob in the repository; none when it is not there.
    pub async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        self.has_blob_for(digest, Capability::Pull).await
    }

    /// The same, asked of those who may be used for something.
    pub(crate) async fn has_blob_for(
        &self,
        digest: &Digest,
        capability: Capability,
    ) -> Result<Option<u64>> {
        let path = self.below(format_args!("blobs/{digest}"));
        let ask = Ask::new(Method::HEAD, path, capability, &[200]);
        match self.session.ask(&ask, &self.notices).await {
            Ok((answer, _)) => {
                let size = answer.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
                answer.discard().await;
                Ok(Some(size.unwrap_or_default()))
            }
            Err(RegistryError::Refused(refusal)) if refusal.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A blob on its way. Dropped, its connection is closed.
pub struct BlobStream {
    repository: Repository,
    digest: Digest,
    retrying: Retrying,
    /// Who sends, and what is still to be read of it.
    answer: Option<Answer>,
    endpoint: Option<Arc<Endpoint>>,
    /// The next byte that the reader gets.
    position: u64,
    start: u64,
    total: Option<u64>,
    /// Bytes that the server sends although nobody wants them again.
    skip: u64,
    /// Since the last failure.
    moved: u64,
    elsewhere: Vec<Url>,
    /// The repository was asked and does not have it.
    is_elsewhere: bool,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("digest", &self.digest)
            .field("position", &self.position)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// What a server will send.
struct Span {
    first: u64,
    total: Option<u64>,
}

impl BlobStream {
    /// The offset of the first byte that [`BlobStream::next`] gives: what was asked for, or 0 where the blob has not
    /// so many bytes, so that what one had cannot have been its beginning.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The size of the whole blob in bytes, where the server says it.
    #[must_use]
    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next bytes; none after the last. Broken and stalled connections are made again, from the byte where they
    /// broke; an error is final.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            match self.try_next().await {
                Ok(Some(bytes)) => {
                    self.position += bytes.len() as u64;
                    self.moved += bytes.len() as u64;
                    return Some(Ok(bytes));
                }
                Ok(None) => return None,
                Err(error) => {
                    self.answer = None;
                    if self.moved >= PROGRESS {
                        self.retrying.progressed();
                    }
                    self.moved = 0;
                    if let Err(error) = self.recover(error).await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Waits for the next try, if there is one; the server that broke is asked after the others.
    async fn recover(&mut self, error: RegistryError) -> Result<()> {
        let session = &self.repository.session;
        if let Some(endpoint) = self.endpoint.take() {
            session.put_mirror_last(&endpoint).await?;
        }
        session.after(error, &mut self.retrying).await
    }

    async fn try_next(&mut self) -> Result<Option<Bytes>> {
        if self.total == Some(self.position) {
            // Waits for the body's end, so that the connection can be used again.
            if let Some(mut answer) = self.answer.take()
                && let Some(Ok(more)) = answer.chunk().await
            {
                return Err(self.wrong_length(&answer, &format!("{} bytes too many", more.len())));
            }
            return Ok(None);
        }
        if self.answer.is_none() {
            self.open().await?;
        }
        let Some(mut answer) = self.answer.take() else { return Ok(None) };
        loop {
            let Some(chunk) = answer.chunk().await.transpose()? else {
                return match self.total {
                    Some(total) if self.position < total => {
                        let text = format!("it ended at byte {} of {total}", self.position);
                        Err(self.wrong_length(&answer, &text))
                    }
                    _ => {
                        self.total = Some(self.position);
                        Ok(None)
                    }
                };
            };
            let skipped = self.skip.min(chunk.len() as u64);
            self.skip -= skipped;
            let chunk = chunk.slice(usize::try_from(skipped).unwrap_or(chunk.len())..);
            if self.total.is_some_and(|total| self.position + chunk.len() as u64 > total) {
                return Err(self.wrong_length(&answer, "it is longer than the server said"));
            }
            if !chunk.is_empty() {
                self.answer = Some(answer);
                return Ok(Some(chunk));
            }
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is about")]
    fn wrong_length(&self, answer: &Answer, text: &str) -> RegistryError {
        Failure::Length(text.to_owned()).on(&answer.method, &answer.url)
    }

    /// Asks for the rest.
    async fn open(&mut self) -> Result<()> {
        let path = self.repository.below(format_args!("blobs/{}", self.digest));
        let mut ask = Ask::new(Method::GET, path, Capability::Pull, &[200, 206, 416]);
        if self.position > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.position));
            ask.headers.extend(range.map(|range| (header::RANGE, range)));
        }
        let answer = self.ask(&ask).await?;
        let Some(span) = self.span(&answer)? else {
            answer.discard().await;
            return Ok(());
        };
        if let (Some(before), Some(now)) = (self.total, span.total)
            && before != now
        {
            let text = format!("the blob had {before} bytes and now has {now}");
            return Err(answer.useless(text));
        }
        self.total = self.total.or(span.total);
        self.skip = self.position - span.first;
        self.answer = Some(answer);
        Ok(())
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Answer> {
        let session = &self.repository.session;
        if !self.is_elsewhere {
            let error = match session.ask_once(ask).await {
                Ok((answer, endpoint)) => {
                    self.endpoint = Some(endpoint);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let is_missing =
                matches!(&error, RegistryError::Refused(refusal) if refusal.status == 404);
            if !is_missing || self.elsewhere.is_empty() {
                return Err(self.repository.denied(error));
            }
            self.is_elsewhere = true;
        }
        let mut last = None;
        for url in &self.elsewhere {
            match session.ask_elsewhere(url, ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(RegistryError::Answer {
            url: format!("{}@{}", self.repository.familiar, self.digest),
            reason: "it is nowhere".to_owned(),
        }))
    }

    /// Which bytes an answer brings; none when there are none to bring, or when it is to be asked from byte 0.
    fn span(&mut self, answer: &Answer) -> Result<Option<Span>> {
        let range = answer.header(header::CONTENT_RANGE);
        match answer.status.as_u16() {
            206 => {
                let (first, total) = range
                    .and_then(parse_content_range)
                    .ok_or_else(|| answer.useless("its Content-Range is missing or wrong"))?;
                if first > self.position {
                    return Err(answer.useless("it begins later than was asked for"));
                }
                Ok(Some(Span { first, total }))
            }
            416 => {
                let total = range.and_then(|text| text.strip_prefix("bytes */")?.parse().ok());
                if total == Some(self.position) {
                    self.total = total;
                    return Ok(None);
                }
                if self.position != self.start || self.position == 0 {
                    return Err(answer.useless("there is nothing at the place where it broke"));
                }
                // What the reader has is no beginning of this blob: all anew.
                self.position = 0;
                self.start = 0;
                Ok(None)
            }
            _ => {
                let total =
                    answer.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
                if total.is_some_and(|total| total < self.position) && self.position == self.start {
                    self.position = 0;
                    self.start = 0;
                }
                Ok(Some(Span { first: 0, total }))
            }
        }
    }
}

/// `bytes 5-9/10` → first byte and size of the whole.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_content_range("bytes 5-9/*"), Some((5, None)));
        for wrong in ["", "bytes */10", "bytes 9-5/10", "bytes 5-10/10", "5-9/10", "bytes 5-9"] {
            assert_eq!(parse_content_range(wrong), None, "{wrong}");
        }
    }
}
