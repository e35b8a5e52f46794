//! Frames: four bytes of length in big endian, then JSON.
//!
//! Descriptors are sent with a frame's first byte. The kernel never hands them out later than that
//! byte, and keeps their order (unix(7)), so the decoder keeps arrived descriptors in a queue and
//! each message takes as many from its front as it names.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::FrameError;
use crate::event::Event;
use crate::request::Request;
use crate::response::Response;

/// The longest text of a frame: 16 MiB.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// How many descriptors may wait for their frame; the kernel sends at most 253 at once
/// (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

const HEADER: usize = 4;

/// A buffer that grew beyond this for one big frame is given back when it is empty: a shim is
/// small.
const KEEP: usize = 16 * 1024;

/// What travels from the daemon to the shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonFrame {
    /// Chosen by the daemon; comes back in the answer.
    pub id: u64,
    /// What it asks.
    pub request: Request,
}

/// What travels from the shim to the daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShimFrame {
    /// The answer to a request.
    Response {
        /// The request's id.
        id: u64,
        /// The answer.
        response: Response,
    },
    /// Something happened.
    Event(Event),
}

/// Appends one message as a frame to `out`, which is as before when this fails.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    if let Err(source) = serde_json::to_writer(&mut *out, message) {
        out.truncate(start);
        return Err(FrameError::Unwritable { source });
    }
    let length = out.len() - start - HEADER;
    match u32::try_from(length) {
        Ok(short) if length <= MAX_FRAME => {
            out[start..start + HEADER].copy_from_slice(&short.to_be_bytes());
            Ok(())
        }
        Ok(_) | Err(_) => {
            out.truncate(start);
            Err(FrameError::TooLong { length, limit: MAX_FRAME })
        }
    }
}

/// Appends a request as a frame to `out`, without taking it.
pub fn encode_request(id: u64, request: &Request, out: &mut Vec<u8>) -> Result<(), FrameError> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        id: u64,
        request: &'a Request,
    }
    encode(&Borrowed { id, request }, out)
}

/// Makes messages of the bytes and descriptors of one direction of a connection.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
    descriptors: VecDeque<OwnedFd>,
}

impl Decoder {
    /// With nothing arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read. Descriptors are those that came with these bytes.
    pub fn push(
        &mut self,
        bytes: &[u8],
        descriptors: impl IntoIterator<Item = OwnedFd>,
    ) -> Result<(), FrameError> {
        self.bytes.extend_from_slice(bytes);
        self.descriptors.extend(descriptors);
        if self.descriptors.len() > MAX_DESCRIPTORS {
            return Err(FrameError::TooManyDescriptors { limit: MAX_DESCRIPTORS });
        }
        Ok(())
    }

    /// The next request and its descriptors; none when more must be read first.
    pub fn next_request(&mut self) -> Result<Option<(DaemonFrame, Vec<OwnedFd>)>, FrameError> {
        let Some(frame) = self.next_message::<DaemonFrame>()? else {
            return Ok(None);
        };
        let wanted = frame.request.descriptors();
        let arrived = self.descriptors.len();
        if wanted > arrived {
            return Err(FrameError::MissingDescriptors { wanted, arrived });
        }
        Ok(Some((frame, self.descriptors.drain(..wanted).collect())))
    }

    /// The next answer or event; none when more must be read first.
    pub fn next_shim_frame(&mut self) -> Result<Option<ShimFrame>, FrameError> {
        self.next_message()
    }

    /// Whether a frame has begun and is not complete: an end of file now is a broken connection.
    pub fn is_inside_frame(&self) -> bool {
        self.taken < self.bytes.len()
    }

    fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let waiting = &self.bytes[self.taken..];
        let Some((header, rest)) = waiting.split_first_chunk::<HEADER>() else {
            self.compact();
            return Ok(None);
        };
        let length = u32::from_be_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong { length, limit: MAX_FRAME });
        }
        let Some(text) = rest.get(..length) else {
            self.compact();
            return Ok(None);
        };
        let message =
            serde_json::from_slice(text).map_err(|source| FrameError::Malformed { source })?;
        self.taken += HEADER + length;
        if self.taken == self.bytes.len() {
            self.compact();
        }
        Ok(Some(message))
    }

    /// Moves what is left to the front.
    fn compact(&mut self) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }
}
