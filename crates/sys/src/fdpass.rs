//! Handing open files to another process over a unix socket (`SCM_RIGHTS`).
//!
//! Received files are always close-on-exec, and a message whose files did not fit is an error, never a silent loss.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Most files that one message can carry (`SCM_MAX_FD` of the kernel).
pub const MAX_FDS: usize = 253;

/// Sends bytes and files with one `sendmsg`; tells how many bytes went (the files go with the first).
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let message = SendAncillaryMessage::ScmRights(fds);
    let mut space = vec![MaybeUninit::<u8>::uninit(); message.size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(message) {
        return Err(Errno::INVAL.into());
    }
    let iov = [IoSlice::new(bytes)];
    loop {
        match rustix::net::sendmsg(&socket, &iov, &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Receives bytes with one `recvmsg` (0 is the end of the stream) and adds the files that came with them to `fds`.
pub fn recv_with_fds(
    socket: impl AsFd,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut iov = [IoSliceMut::new(bytes)];
        match rustix::net::recvmsg(&socket, &mut iov, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            fds.extend(files);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "passed files were lost"));
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn files_arrive_with_their_bytes_and_close_on_exec() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send_with_fds(&left, b"hi", &[writer.as_fd()]).unwrap();
        drop(writer);
        let (mut bytes, mut fds) = ([0; 16], Vec::new());
        assert_eq!(recv_with_fds(&right, &mut bytes, &mut fds).unwrap(), 2);
        let passed = fds.pop().unwrap();
        let flags = rustix::io::fcntl_getfd(&passed).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        std::fs::File::from(passed).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn no_files_and_the_end_of_the_stream() {
        let (left, right) = UnixStream::pair().unwrap();
        send_with_fds(&left, b"x", &[]).unwrap();
        drop(left);
        let (mut bytes, mut fds) = ([0; 16], Vec::new());
        assert_eq!(recv_with_fds(&right, &mut bytes, &mut fds).unwrap(), 1);
        assert_eq!(recv_with_fds(&right, &mut bytes, &mut fds).unwrap(), 0);
        assert!(fds.is_empty());
    }
}
