//! Answers that come bit by bit: logs, archives, events, progress.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde::de::DeserializeOwned;

use crate::Host;
use crate::body::RequestBody;
use crate::connection::Lent;
use crate::error::{ClientError, Result};

/// The bytes of an answer, as they come.
#[derive(Debug)]
pub struct ByteStream {
    body: Incoming,
    content_type: String,
    host: Host,
    /// The connection ends when nobody can send over it any more.
    _sender: SendRequest<RequestBody>,
}

impl ByteStream {
    pub(crate) fn new(lent: Lent) -> Self {
        let content_type = lent
            .response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let Lent { response, sender, host } = lent;
        Self { body: response.into_body(), content_type, host, _sender: sender }
    }

    /// The media type that the daemon gave.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(ClientError::unfinished(&self.host))?;
            // Trailers carry nothing here.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// A sequence of JSON documents, as they come.
#[derive(Debug)]
pub struct JsonStream<T> {
    bytes: ByteStream,
    buffer: BytesMut,
    ready: VecDeque<T>,
    what: &'static str,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> JsonStream<T> {
    pub(crate) fn new(bytes: ByteStream, what: &'static str) -> Self {
        Self { bytes, buffer: BytesMut::new(), ready: VecDeque::new(), what, of: PhantomData }
    }

    /// The next document; none at the end.
    pub async fn next(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(value) = self.ready.pop_front() {
                return Ok(Some(value));
            }
            match self.bytes.next().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.iter().all(u8::is_ascii_whitespace) => return Ok(None),
                None => {
                    let rest = self.buffer.split();
                    return serde_json::from_slice(&rest)
                        .map(Some)
                        .map_err(ClientError::decode(self.what));
                }
            }
            let (ready, used) = documents(&self.buffer).map_err(ClientError::decode(self.what))?;
            self.ready.extend(ready);
            // What is left is the beginning of a document.
            drop(self.buffer.split_to(used));
        }
    }
}

/// The complete documents at the beginning of `bytes`, and how many bytes they take.
fn documents<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<(Vec<T>, usize)> {
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter();
    let mut ready = Vec::new();
    let mut used = 0;
    while let Some(document) = documents.next() {
        match document {
            Ok(value) => ready.push(value),
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error),
        }
        used = documents.byte_offset();
    }
    Ok((ready, used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_taken_whole() {
        let text = b"{\"a\":1}\r\n{\"a\":2}{\"a\":";
        let (ready, used) = documents::<serde_json::Value>(text).unwrap();
        assert_eq!(ready.len(), 2);
        assert_eq!(&text[used..], b"{\"a\":");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        assert!(documents::<serde_json::Value>(b"{\"a\":1}}").is_err());
    }
}
