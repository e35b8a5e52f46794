//! What the daemon and the shim must agree on, bit for bit.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

use super::*;

fn frame(id: u64, request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    encode_request(id, request, &mut out).unwrap();
    out
}

fn attach() -> Request {
    Request::Attach(AttachStreams { stdin: true, stdout: true, stderr: false })
}

#[test]
fn a_frame_is_a_length_in_big_endian_and_json() {
    let bytes = frame(7, &Request::Start);
    assert_eq!(&bytes[..4], &[0, 0, 0, 26]);
    assert_eq!(&bytes[4..], br#"{"id":7,"request":"start"}"#);
}

#[test]
fn frames_arrive_whole_however_they_are_cut() {
    let mut bytes = frame(1, &Request::Start);
    bytes.extend(frame(2, &Request::Signal { signal: 15, target: SignalTarget::All }));
    bytes.extend(frame(3, &Request::State));
    for step in 1..=bytes.len() {
        let mut decoder = Decoder::new();
        let mut ids = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.push(piece, []).unwrap();
            while let Some((frame, fds)) = decoder.next_request().unwrap() {
                assert!(fds.is_empty());
                ids.push(frame.id);
            }
        }
        assert_eq!(ids, [1, 2, 3], "in pieces of {step}");
        assert!(!decoder.is_inside_frame());
    }
}

#[test]
fn an_unfinished_frame_is_noticed() {
    let bytes = frame(1, &Request::Start);
    let mut decoder = Decoder::new();
    decoder.push(&bytes[..9], []).unwrap();
    assert!(decoder.next_request().unwrap().is_none());
    assert!(decoder.is_inside_frame());
}

#[test]
fn descriptors_go_to_the_frame_that_names_them() {
    let mut bytes = frame(1, &Request::State);
    bytes.extend(frame(2, &attach()));
    bytes.extend(frame(3, &attach()));
    let (first_near, mut first_far) = UnixStream::pair().unwrap();
    let (second_near, mut second_far) = UnixStream::pair().unwrap();
    let mut decoder = Decoder::new();
    decoder.push(&bytes, [OwnedFd::from(first_near), OwnedFd::from(second_near)]).unwrap();

    assert!(decoder.next_request().unwrap().unwrap().1.is_empty());
    for far in [&mut first_far, &mut second_far] {
        let (_, mut fds) = decoder.next_request().unwrap().unwrap();
        assert_eq!(fds.len(), 1);
        UnixStream::from(fds.remove(0)).write_all(b"x").unwrap();
        let mut byte = [0];
        far.read_exact(&mut byte).unwrap();
    }
}

#[test]
fn a_frame_without_its_descriptors_is_refused() {
    let mut decoder = Decoder::new();
    decoder.push(&frame(1, &attach()), []).unwrap();
    assert!(matches!(
        decoder.next_request(),
        Err(FrameError::MissingDescriptors { wanted: 1, arrived: 0 })
    ));
}

#[test]
fn a_flood_of_descriptors_is_refused() {
    let mut decoder = Decoder::new();
    let many = (0..=MAX_DESCRIPTORS).map(|_| OwnedFd::from(std::io::pipe().unwrap().0));
    assert!(matches!(decoder.push(b"", many), Err(FrameError::TooManyDescriptors { .. })));
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_its_bytes_arrive() {
    let mut decoder = Decoder::new();
    decoder.push(&[0xff, 0xff, 0xff, 0xff], []).unwrap();
    assert!(matches!(decoder.next_request(), Err(FrameError::TooLong { .. })));
}

#[test]
fn a_message_beyond_the_limit_is_not_written() {
    let mut out = b"before".to_vec();
    let long = "x".repeat(MAX_FRAME);
    assert!(matches!(encode(&long, &mut out), Err(FrameError::TooLong { .. })));
    assert_eq!(out, b"before");
}

#[test]
fn garbage_is_refused() {
    for text in ["", "nonsense", r#"{"id":1,"request":"dance"}"#, r#"{"id":-1,"request":"start"}"#]
    {
        let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(text.bytes());
        let mut decoder = Decoder::new();
        decoder.push(&bytes, []).unwrap();
        assert!(matches!(decoder.next_request(), Err(FrameError::Malformed { .. })), "{text}");
    }
}

#[test]
fn answers_and_events_survive_the_way() {
    let exit = Exit { code: 137, signal: Some(9), oom_killed: true, at: UnixTime(5) };
    let stats = serde_json::value::RawValue::from_string(r#"{"cpu": 1}"#.to_owned()).unwrap();
    let frames = [
        ShimFrame::Response { id: 1, response: Response::Created { pid: 12 } },
        ShimFrame::Response { id: 2, response: Response::Stats(stats) },
        ShimFrame::Response {
            id: 3,
            response: Response::Error(Failure {
                errno: Some(2),
                ..Failure::new(FailureKind::CommandNotFound, "exec", "no such file")
            }),
        },
        ShimFrame::Event(Event::Exit(exit)),
        ShimFrame::Event(Event::ExecExit { exec_id: "e".to_owned(), exit }),
    ];
    let mut bytes = Vec::new();
    for frame in &frames {
        encode(frame, &mut bytes).unwrap();
    }
    let mut decoder = Decoder::new();
    decoder.push(&bytes, []).unwrap();
    for frame in &frames {
        let back = decoder.next_shim_frame().unwrap().unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), serde_json::to_string(frame).unwrap());
    }
    assert!(decoder.next_shim_frame().unwrap().is_none());
}

#[test]
fn moments_keep_their_nanoseconds() {
    let now = SystemTime::now();
    assert_eq!(SystemTime::from(UnixTime::from(now)), now);
    let early = SystemTime::UNIX_EPOCH - std::time::Duration::from_nanos(3);
    assert_eq!(UnixTime::from(early), UnixTime(-3));
    assert_eq!(SystemTime::from(UnixTime(-3)), early);
}
