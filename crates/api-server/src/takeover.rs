//! Attach and exec for clients that do not ask for an upgrade.
//!
//! Old clients POST to `attach` without `Upgrade: tcp` and expect `200 OK` and then the raw connection. hyper hands a
//! connection over only after `101`, and only to a request that asked. So between socket and hyper such a
//! request gets an `Upgrade` header, and the status line of its `101` becomes `200 OK`. Everything else
//! passes untouched: nothing is looked at but the first bytes after an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::request_line;

/// The value of the `Upgrade` header that is put in: by it the handler knows that the client expects `200`.
pub(crate) const PROTOCOL: &str = "barge-takeover";

const INJECTED: &[u8] = b"Upgrade: barge-takeover\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n";
const TAKEN_OVER: &[u8] = b"HTTP/1.1 200 OK\r\n";
/// A head that has not ended by then is hyper's to judge.
const HEAD_LIMIT: usize = 16 << 10;

/// A connection with that rewriting around it.
#[derive(Debug)]
pub(crate) struct Takeover<T> {
    inner: T,
    /// What the next bytes read are.
    next: Next,
    /// Whether the next answer's `101` is to be rewritten.
    rewrite: bool,
    /// Bytes of a head that is still being gathered, or that is ready to be read.
    head: Vec<u8>,
    is_head_ready: bool,
    /// Rewritten bytes not yet written.
    unwritten: Vec<u8>,
}

impl<T> Takeover<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            next: Next::FirstHead,
            rewrite: false,
            head: Vec::new(),
            is_head_ready: false,
            unwritten: Vec::new(),
        }
    }

    /// The connection, what was read ahead of it and what is still to be written to it.
    pub(crate) fn into_parts(self) -> (T, Vec<u8>, Vec<u8>) {
        (self.inner, self.head, self.unwritten)
    }

    /// Looks at what has been read where a request may begin.
    fn inspect(&mut self, filled: &[u8]) -> Verdict {
        if self.next == Next::FirstHead
            && let Some(head) = request_line::escaped(filled)
        {
            self.head = head;
        }
        let so_far = if self.head.is_empty() {
            filled
        } else if self.next == Next::FirstHead {
            &self.head
        } else {
            self.head.extend_from_slice(filled);
            &self.head
        };
        let verdict = judge(so_far);
        match verdict {
            Verdict::More if self.head.is_empty() => self.head.extend_from_slice(filled),
            Verdict::Inject(at) => {
                if self.head.is_empty() {
                    self.head.extend_from_slice(filled);
                }
                self.head.splice(at..at, INJECTED.iter().copied());
                self.rewrite = true;
            }
            Verdict::More | Verdict::Pass => {}
        }
        verdict
    }
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The first request of the connection: nothing else can be there.
    FirstHead,
    /// A request, as far as can be told: an answer has been written, or the beginning was read.
    Head,
    /// A body, or what follows a takeover.
    Other,
}

/// What to do with the beginning of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Not one of ours, or it asks for an upgrade itself.
    Pass,
    /// Cannot be said yet.
    More,
    /// Put the header in at this place.
    Inject(usize),
}

fn judge(bytes: &[u8]) -> Verdict {
    const POST: &[u8] = b"POST ";
    if !bytes.starts_with(&POST[..POST.len().min(bytes.len())]) || bytes.len() > HEAD_LIMIT {
        return Verdict::Pass;
    }
    let Some(line_end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Verdict::More;
    };
    if !takes_over(&bytes[..line_end]) {
        return Verdict::Pass;
    }
    let Some(end) = bytes[line_end..].windows(4).position(|four| four == b"\r\n\r\n") else {
        return Verdict::More;
    };
    let end = line_end + end + 2;
    let has_upgrade = bytes[line_end..end]
        .split(|byte| *byte == b'\n')
        .any(|line| line.len() >= 8 && line[..8].eq_ignore_ascii_case(b"upgrade:"));
    if has_upgrade { Verdict::Pass } else { Verdict::Inject(end) }
}

/// Whether a request line is that of an attach or an exec start over HTTP/1.1.
fn takes_over(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    let Some(target) = line.strip_prefix("POST ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
    else {
        return false;
    };
    let path = target.split('?').next().unwrap_or_default();
    (path.contains("/containers/") && path.ends_with("/attach"))
        || (path.contains("/exec/") && path.ends_with("/start"))
}

impl<T: AsyncRead + Unpin> AsyncRead for Takeover<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.is_head_ready {
                let length = this.head.len().min(buffer.remaining());
                buffer.put_slice(&this.head[..length]);
                this.head.drain(..length);
                if this.head.is_empty() {
                    this.head = Vec::new();
                    this.is_head_ready = false;
                }
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
            if this.next == Next::Other {
                return Poll::Ready(Ok(()));
            }
            if buffer.filled().len() == before {
                // The end of input: what was gathered is all there is.
                this.next = Next::Other;
                this.is_head_ready = !this.head.is_empty();
            } else {
                let verdict = this.inspect(&buffer.filled()[before..]);
                this.next = if verdict == Verdict::More { Next::Head } else { Next::Other };
                if verdict == Verdict::Pass && this.head.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                buffer.set_filled(before);
                this.is_head_ready = verdict != Verdict::More;
            }
            if buffer.remaining() == 0 || (this.next == Next::Other && !this.is_head_ready) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> Takeover<T> {
    /// Writes what a rewriting left over.
    fn poll_unwritten(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(context, &self.unwritten))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unwritten.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Takeover<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unwritten(context))?;
        this.next = Next::Head;
        if std::mem::take(&mut this.rewrite)
            && let Some(rest) = bytes.strip_prefix(SWITCHING)
        {
            this.next = Next::Other;
            this.unwritten = [TAKEN_OVER, rest].concat();
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unwritten(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unwritten(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.rewrite || !self.unwritten.is_empty() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(context, first.map_or(&[], |slice| slice));
        }
        let this = self.get_mut();
        this.next = Next::Head;
        Pin::new(&mut this.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool
    where
        T: AsyncWrite,
    {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attach_without_upgrade_gets_the_header() {
        let head = b"POST /v1.40/containers/x/attach?stream=1 HTTP/1.1\r\nHost: d\r\n\r\nearly";
        let Verdict::Inject(at) = judge(head) else { panic!("{:?}", judge(head)) };
        assert_eq!(&head[at..], b"\r\nearly");
        assert!(matches!(judge(b"POST /exec/x/start HTTP/1.1\r\n\r\n"), Verdict::Inject(_)));
    }

    #[test]
    fn other_requests_pass() {
        for head in [
            &b"GET /info HTTP/1.1\r\n\r\n"[..],
            b"POST /containers/x/start HTTP/1.1\r\n\r\n",
            b"POST /containers/x/attach HTTP/1.0\r\n\r\n",
            b"POST /containers/x/attach HTTP/1.1\r\nupgrade: tcp\r\n\r\n",
            b"\xff\xff\xff",
        ] {
            assert_eq!(judge(head), Verdict::Pass, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn part_of_a_head_waits_for_the_rest() {
        let head = b"POST /containers/x/attach HTTP/1.1\r\nHost: d\r\n\r\n";
        for length in 1..head.len() {
            assert_eq!(judge(&head[..length]), Verdict::More, "{length}");
        }
        assert_eq!(judge(&[b"POST ".as_slice(), &vec![b'x'; HEAD_LIMIT]].concat()), Verdict::Pass);
    }
}
