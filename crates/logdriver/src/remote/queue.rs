//! What waits to be sent, between the loop that brings it and the thread that sends it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::Packets;

/// A buffer that is empty and larger than this is given back.
const KEEP: usize = 16 * 1024;

/// Packets one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Where to append a packet.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was appended is a packet, if it is anything.
    pub(crate) fn end_packet(&mut self) {
        if self.bytes.len() > self.ends.last().copied().unwrap_or(0) {
            self.ends.push(self.bytes.len());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// From the packet with this number on.
    pub(crate) fn packets(&self, first: usize) -> Packets<'_> {
        let start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        Packets { bytes: &self.bytes, ends: &self.ends[first..], start }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(KEEP);
        self.ends.shrink_to(KEEP / 16);
    }
}

#[derive(Debug)]
struct State {
    waiting: Batch,
    /// Bytes that were pushed and are not sent yet.
    unsent: usize,
    /// When the remote last took something, or the queue got its first packet.
    progress: Instant,
    /// Packets that the sender has given up.
    lost: u64,
    /// Whether somebody wants to be woken.
    wants_room: bool,
    end: End,
}

/// Whether more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It may.
    Open,
    /// No, and what waits may be sent until then.
    Until(Instant),
    /// All is sent, or given up.
    Done,
}

/// Packets on their way between two threads.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told of packets, and of the end.
    changed: Condvar,
    wake: OwnedFd,
}

impl Queue {
    pub(crate) fn new() -> io::Result<Self> {
        let state = State {
            waiting: Batch::default(),
            unsent: 0,
            progress: Instant::now(),
            lost: 0,
            wants_room: false,
            end: End::Open,
        };
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::new(state), changed: Condvar::new(), wake })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes packets while no more than `limit` bytes wait (one more always when none do); how many
    /// were dropped.
    pub(crate) fn push(&self, batch: &mut Batch, limit: usize) -> u64 {
        let mut state = self.state();
        let mut dropped = 0;
        for packet in batch.packets(0).iter() {
            if state.unsent > 0 && state.unsent.saturating_add(packet.len()) > limit {
                dropped += 1;
                continue;
            }
            if state.unsent == 0 {
                state.progress = Instant::now();
            }
            state.unsent += packet.len();
            state.waiting.bytes.extend_from_slice(packet);
            state.waiting.end_packet();
        }
        drop(state);
        batch.clear();
        self.changed.notify_all();
        dropped
    }

    /// Since when nothing was taken, when more than so much waits; then a wake follows once
    /// something was taken.
    pub(crate) fn full_since(&self, limit: usize) -> Option<Instant> {
        let mut state = self.state();
        state.wants_room = state.unsent > limit;
        state.wants_room.then_some(state.progress)
    }

    pub(crate) fn unsent(&self) -> usize {
        self.state().unsent
    }

    pub(crate) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.state().lost)
    }

    pub(crate) fn wake(&self) -> &OwnedFd {
        &self.wake
    }

    pub(crate) fn take_wake(&self) {
        // Nothing to take is as good.
        rustix::io::read(&self.wake, &mut [0_u8; 8]).ok();
    }

    /// No more comes; waits until all is sent, or `limit` has passed.
    pub(crate) fn finish(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.state();
        if state.end == End::Open {
            state.end = End::Until(until);
        }
        self.changed.notify_all();
        while state.end != End::Done {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nobody waits for what is left.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        if state.end == End::Open {
            state.end = End::Until(Instant::now());
        }
        drop(state);
        self.changed.notify_all();
    }

    #[cfg(test)]
    pub(crate) fn set_progress(&self, moment: Instant) {
        self.state().progress = moment;
    }

    /// For the sender: exchanges an empty batch for what waits, and waits for that. False at the
    /// end.
    pub(crate) fn next(&self, batch: &mut Batch) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.end != End::Open {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.waiting, batch);
        true
    }

    /// For the sender: so many bytes are sent.
    pub(crate) fn sent(&self, bytes: usize) {
        self.done_with(bytes, 0);
    }

    /// For the sender: a packet of so many bytes is given up.
    pub(crate) fn lost(&self, bytes: usize) {
        self.done_with(bytes, 1);
    }

    fn done_with(&self, bytes: usize, lost: u64) {
        let mut state = self.state();
        state.unsent = state.unsent.saturating_sub(bytes);
        state.lost += lost;
        if lost == 0 {
            state.progress = Instant::now();
        }
        if state.wants_room {
            state.wants_room = false;
            // Full only when it was written 2^64 times and never read.
            rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).ok();
        }
    }

    /// For the sender: waits before it tries again. False when there is no time left.
    pub(crate) fn pause(&self, span: Duration) -> bool {
        let until = Instant::now() + span;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let last = match state.end {
                End::Open => until,
                End::Until(end) if now >= end => return false,
                End::Until(end) => until.min(end),
                End::Done => return false,
            };
            if now >= until {
                return true;
            }
            let left = last.saturating_duration_since(now);
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// For the sender: it goes.
    pub(crate) fn done(&self) {
        self.state().end = End::Done;
        self.changed.notify_all();
    }
}
