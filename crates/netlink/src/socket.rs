//! A netlink socket: requests go out, acknowledgements and dumps come back.
//!
//! The kernel works a request off inside of send(2), so an acknowledgement is there when send returns: nothing here
//! waits. A socket belongs to the network namespace it was opened in, whichever thread uses it later; that is what
//! makes work in a container's namespace cheap.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{NetlinkError, Result};
use crate::message::{self, Attributes, HEADER, Message, Request, flags};

/// `NLMSG_ERROR`: an acknowledgement when the number is 0.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
const DONE: u16 = 3;
/// `NLMSGERR_ATTR_MSG`: the kernel's sentence.
const ERROR_TEXT: u16 = 1;
/// The kernel fills at most this much of a dump at a time.
const RECEIVE: usize = 32 * 1024;
/// Above this a message does not fit the default send buffer.
const LARGE_SEND: usize = 100 * 1024;
/// How often a dump that changed under the reader is asked for again.
const DUMP_TRIES: usize = 16;

/// Whom to talk to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Links, addresses, routes, neighbours.
    Route,
    /// nftables and connection tracking.
    Netfilter,
}

/// A socket to the kernel of the network namespace it was opened in.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel lacks the family.
    pub fn open(family: Family) -> Result<Self> {
        let protocol = match family {
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let fail = |source| NetlinkError::Socket { action: "open", source };
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
            .map_err(fail)?;
        // Without it an error is a number only; kernels before 4.12 have no sentences.
        barge_sys::netlink::explain_errors(&fd).ok();
        Ok(Self { fd, sequence: 0 })
    }

    /// Opens a socket that is told what happens to the objects of these groups (`RTMGRP_…`).
    pub(crate) fn subscribe(groups: u32) -> Result<Self> {
        let socket = Self::open(Family::Route)?;
        let fail = |source| NetlinkError::Socket { action: "subscribe with", source };
        rustix::net::bind(&socket.fd, &SocketAddrNetlink::new(0, groups)).map_err(fail)?;
        Ok(socket)
    }

    /// What `read` makes of the messages of one datagram, once there is one of interest; nothing when the time is over.
    pub(crate) fn wait<T>(
        &mut self,
        patience: Duration,
        mut read: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        let deadline = Instant::now() + patience;
        let fail = |source| NetlinkError::Socket { action: "wait for", source };
        let mut buffer = vec![0; RECEIVE];
        let mut list = Vec::new();
        while list.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(|_| fail(Errno::INVAL))?;
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(0) => break,
                Ok(_) => self.receive(&mut buffer, RecvFlags::DONTWAIT, "watch", |message| {
                    list.extend(read(message.kind, message.payload));
                    Ok(())
                })?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(list)
    }

    /// Sends requests in one go and collects their acknowledgements.
    ///
    /// All are worked off, in order, whatever becomes of the ones before.
    ///
    /// # Errors
    /// The first refusal.
    pub fn send(&mut self, requests: &[Request]) -> Result<()> {
        let first = self.sequence + 1;
        let mut datagram = Vec::with_capacity(512);
        for request in requests {
            self.sequence += 1;
            request.write(self.sequence, flags::ACK, &mut datagram)?;
        }
        if requests.is_empty() {
            return Ok(());
        }
        self.transmit(&datagram)?;
        let mut refusal = None;
        let mut open = requests.len();
        let mut buffer = vec![0; 4096];
        while open > 0 {
            self.receive(&mut buffer, RecvFlags::DONTWAIT, &requests[0].what, |message| {
                let index = message.sequence.wrapping_sub(first) as usize;
                let Some(request) = requests.get(index).filter(|_| message.kind == ERROR) else {
                    return Ok(());
                };
                open -= 1;
                if let Err(error) = acknowledgement(&message, &request.what) {
                    refusal.get_or_insert(error);
                }
                Ok(())
            })?;
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Sends a request that is answered by one message and hands its payload to `read`.
    ///
    /// # Errors
    /// The refusal, or that of `read`.
    pub fn get<T>(
        &mut self,
        request: &Request,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T> {
        self.sequence += 1;
        let sequence = self.sequence;
        let mut datagram = Vec::with_capacity(128);
        request.write(sequence, 0, &mut datagram)?;
        self.transmit(&datagram)?;
        let mut buffer = vec![0; RECEIVE];
        let mut read = Some(read);
        let mut answer = None;
        while answer.is_none() {
            self.receive(&mut buffer, RecvFlags::DONTWAIT, &request.what, |message| {
                if message.sequence != sequence {
                    return Ok(());
                }
                if message.kind == ERROR {
                    return acknowledgement(&message, &request.what);
                }
                let value = read.take().and_then(|read| read(message.payload));
                answer = Some(value.ok_or_else(|| malformed(&request.what, "a field is missing"))?);
                Ok(())
            })?;
        }
        answer.ok_or_else(|| malformed(&request.what, "no answer"))
    }

    /// Sends a request for all objects of a kind; `read` makes a value of each one's payload, or skips it.
    ///
    /// # Errors
    /// The refusal; or that the objects changed each time they were listed.
    pub fn dump<T>(
        &mut self,
        request: &Request,
        mut read: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        for _ in 0..DUMP_TRIES {
            if let Some(list) = self.dump_once(request, &mut read)? {
                return Ok(list);
            }
        }
        Err(NetlinkError::Interrupted { request: request.what.clone() })
    }

    fn dump_once<T>(
        &mut self,
        request: &Request,
        read: &mut impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.sequence += 1;
        let sequence = self.sequence;
        let mut datagram = Vec::with_capacity(64);
        request.write(sequence, 0, &mut datagram)?;
        self.transmit(&datagram)?;
        let mut buffer = vec![0; RECEIVE];
        let (mut list, mut done, mut consistent) = (Vec::new(), false, true);
        while !done {
            self.receive(&mut buffer, RecvFlags::empty(), &request.what, |message| {
                if message.sequence != sequence {
                    return Ok(());
                }
                consistent &= message.flags & flags::DUMP_INTERRUPTED == 0;
                match message.kind {
                    ERROR => acknowledgement(&message, &request.what)?,
                    DONE => {
                        done = true;
                        refusal(&message, 4, &request.what)?;
                    }
                    _ => {
                        done |= message.flags & flags::MULTI == 0;
                        list.extend(read(message.payload));
                    }
                }
                Ok(())
            })?;
        }
        Ok(consistent.then_some(list))
    }

    /// Sends requests framed by a begin and an end; they take effect together or not at all (nfnetlink).
    pub(crate) fn transaction(
        &mut self,
        begin: &Request,
        requests: &[Request],
        end: &Request,
    ) -> Result<()> {
        let Some((last, others)) = requests.split_last() else {
            return Ok(());
        };
        self.sequence += 1;
        let first = self.sequence;
        let mut datagram = Vec::with_capacity(2048);
        begin.write(first, 0, &mut datagram)?;
        for request in others {
            self.sequence += 1;
            request.write(self.sequence, 0, &mut datagram)?;
        }
        self.sequence += 1;
        let final_sequence = self.sequence;
        last.write(final_sequence, flags::ACK, &mut datagram)?;
        self.sequence += 1;
        end.write(self.sequence, 0, &mut datagram)?;
        self.transmit(&datagram)?;
        let mut answer = None;
        let mut buffer = vec![0; 8192];
        while answer.is_none() {
            self.receive(&mut buffer, RecvFlags::DONTWAIT, &begin.what, |message| {
                let index = message.sequence.wrapping_sub(first) as usize;
                if message.kind != ERROR
                    || message.sequence > final_sequence
                    || index > requests.len()
                {
                    return Ok(());
                }
                let what = index.checked_sub(1).map_or(&begin.what, |index| &requests[index].what);
                match acknowledgement(&message, what) {
                    // Only the last request asked for one.
                    Ok(()) => answer = answer.take().or(Some(Ok(()))),
                    // The first error counts; the acknowledgement of the last one may follow and is skipped later,
                    // by its number.
                    Err(error) => {
                        answer = Some(answer.take().filter(Result::is_err).unwrap_or(Err(error)));
                    }
                }
                Ok(())
            })?;
        }
        answer.unwrap_or(Ok(()))
    }

    fn transmit(&mut self, datagram: &[u8]) -> Result<()> {
        if datagram.len() > LARGE_SEND {
            rustix::net::sockopt::set_socket_send_buffer_size_force(&self.fd, datagram.len() * 2)
                .map_err(|source| NetlinkError::Socket {
                action: "enlarge the buffer of",
                source,
            })?;
        }
        let fail = |source| NetlinkError::Socket { action: "send to", source };
        let kernel = SocketAddrNetlink::new(0, 0);
        loop {
            match rustix::net::sendto(&self.fd, datagram, SendFlags::empty(), &kernel) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(fail(error)),
            }
        }
    }

    fn receive(
        &mut self,
        buffer: &mut [u8],
        flags: RecvFlags,
        what: &str,
        mut each: impl FnMut(Message<'_>) -> Result<()>,
    ) -> Result<()> {
        let fail = |source| NetlinkError::Socket { action: "receive from", source };
        let length = loop {
            match rustix::net::recv(&self.fd, &mut *buffer, flags | RecvFlags::TRUNC) {
                Ok((_, length)) => break length,
                Err(Errno::INTR) => {}
                Err(error) => return Err(fail(error)),
            }
        };
        let datagram = buffer
            .get(..length)
            .ok_or_else(|| malformed(what, "longer than the kernel promises"))?;
        for message in message::messages(datagram) {
            each(message.ok_or_else(|| malformed(what, "a message ends early"))?)?;
        }
        Ok(())
    }
}

fn malformed(what: &str, reason: &'static str) -> NetlinkError {
    NetlinkError::Malformed { request: what.to_owned(), reason }
}

/// Reads `struct nlmsgerr`: the number, the header of the request, the request unless capped, then attributes.
fn acknowledgement(message: &Message<'_>, what: &str) -> Result<()> {
    let header = 4;
    let repeated = if message.flags & flags::CAPPED == 0 {
        message::u32_at(message.payload, header)
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(HEADER)
    } else {
        HEADER
    };
    refusal(message, header + repeated, what)
}

/// An error number at the start and attributes with an explanation at `explanation`.
fn refusal(message: &Message<'_>, explanation: usize, what: &str) -> Result<()> {
    match message::i32_at(message.payload, 0) {
        // The end of a dump carries no number on old kernels.
        None if message.kind == DONE => Ok(()),
        None => Err(malformed(what, "an error without a number")),
        Some(number) if number >= 0 => Ok(()),
        Some(number) => Err(NetlinkError::Refused {
            request: what.to_owned(),
            text: (message.flags & flags::ACK_ATTRIBUTES != 0)
                .then(|| Attributes::after(message.payload, explanation).text(ERROR_TEXT))
                .flatten(),
            source: Errno::from_raw_os_error(-number),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_message(flags: u16, payload: &[u8]) -> Message<'_> {
        Message { kind: ERROR, flags, sequence: 1, payload }
    }

    #[test]
    fn the_kernels_sentence_is_found_behind_the_repeated_request() {
        let mut payload = (-17_i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&20_u32.to_ne_bytes());
        payload.extend_from_slice(&[0; 16]);
        payload.extend_from_slice(&[9, 0, 1, 0, b'b', b'u', b's', b'y', 0, 0, 0, 0]);
        let error = acknowledgement(&error_message(flags::ACK_ATTRIBUTES, &payload), "make it")
            .unwrap_err();
        assert!(error.is_exists());
        assert_eq!(error.to_string(), "kernel refused to make it (busy)");
    }

    #[test]
    fn zero_is_an_acknowledgement_and_nothing_is_malformed() {
        assert!(acknowledgement(&error_message(0, &[0; 20]), "x").is_ok());
        assert!(matches!(
            acknowledgement(&error_message(0, &[]), "x"),
            Err(NetlinkError::Malformed { .. })
        ));
    }
}
