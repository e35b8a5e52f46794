//! Signals that we get and the container is meant to have, and the window's changes.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::attached::Tty;
use crate::error::{CliError, Result};

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    /// A signal to pass on.
    Signal(&'static str),
    /// The window has another size.
    Resized,
}

/// Whether signals are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forward {
    Yes,
    No,
}

/// Signals being listened for; what is not passed on keeps its usual effect.
#[derive(Debug, Default)]
pub(super) struct Signals {
    listening: Vec<(Signal, Proxy)>,
    ends: u32,
}

/// What asks a program to end.
const ENDS: [&str; 2] = ["INT", "TERM"];
/// How many of these mean ourselves: the container may not heed one, and its user wants the prompt back.
const ENOUGH: u32 = 3;

/// What makes sense to pass on. Stop signals of the terminal are left alone, so that Ctrl-Z stops
/// the client.
const FORWARDED: [(SignalKind, &str); 7] = [
    (SignalKind::hangup(), "HUP"),
    (SignalKind::interrupt(), "INT"),
    (SignalKind::quit(), "QUIT"),
    (SignalKind::terminate(), "TERM"),
    (SignalKind::user_defined1(), "USR1"),
    (SignalKind::user_defined2(), "USR2"),
    (SignalKind::alarm(), "ALRM"),
];

impl Signals {
    /// Starts to listen: from now on none is missed.
    pub(super) fn listen(forward: Forward, tty: Tty) -> Result<Self> {
        let mut listening = Vec::new();
        let mut add = |kind, proxy| {
            let signal = signal(kind).map_err(CliError::stdio("listen for signals"))?;
            listening.push((signal, proxy));
            Ok::<_, CliError>(())
        };
        if forward == Forward::Yes {
            for (kind, name) in FORWARDED {
                add(kind, Proxy::Signal(name))?;
            }
        }
        if tty == Tty::Yes {
            add(SignalKind::window_change(), Proxy::Resized)?;
        }
        Ok(Self { listening, ends: 0 })
    }

    /// The next one; never, when nothing is listened for.
    pub(super) async fn next(&mut self) -> Proxy {
        let next = std::future::poll_fn(|context| {
            for (signal, proxy) in &mut self.listening {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*proxy);
                }
            }
            std::task::Poll::Pending
        })
        .await;
        if matches!(next, Proxy::Signal(name) if ENDS.contains(&name)) {
            self.ends += 1;
        }
        next
    }

    /// Whether we are to end ourselves, whatever the container does.
    pub(super) fn are_enough(&self) -> bool {
        self.ends >= ENOUGH
    }
}

impl From<bool> for Forward {
    fn from(forward: bool) -> Self {
        if forward { Self::Yes } else { Self::No }
    }
}
