//! What goes to a client, in order: counted for XEP-0198, held back for XEP-0352, written in batches.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use sammen_core::Seq;

use crate::wire::{Context, Element, Str, write};

/// Stanzas held back for an inactive client; then they go out.
const HELD: usize = 256;
/// Bytes of a fresh buffer that stanzas are written into.
const PIECE: usize = 4096;

/// A session's output.
pub struct Out {
    scratch: BytesMut,
    ready: VecDeque<Bytes>,
    ready_bytes: usize,
    sm: Option<Sm>,
    most_unacked: usize,
    inactive: bool,
    /// Everything up to here was sent, but for the event that is being written.
    seq: Seq,
    showing: bool,
    held: Vec<(Str, Bytes)>,
}

/// Counting of what was sent (XEP-0198 §4).
#[derive(Default)]
pub struct Sm {
    /// Stanzas that the client said it has.
    acked: u32,
    /// Sent and not acknowledged, each with the first seq that reaches the client with it or later.
    unacked: VecDeque<(Bytes, Seq)>,
    /// An answer to `<r/>` is due.
    asked: bool,
    /// Stanzas were sent since the last `<r/>`.
    news: bool,
}

/// The client acknowledged more than it was sent (XEP-0198 §4, `handled-count-too-high`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh {
    /// What it said.
    pub h: u32,
    /// What was sent.
    pub sent: u32,
}

impl Out {
    /// An empty queue that keeps at most `most_unacked` stanzas.
    pub fn new(most_unacked: usize) -> Self {
        Self {
            scratch: BytesMut::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            sm: None,
            most_unacked,
            inactive: false,
            seq: Seq(0),
            showing: false,
            held: Vec::new(),
        }
    }

    /// What comes next shows the event of this seq, until [`Out::shown`].
    pub fn show(&mut self, seq: Seq) {
        self.seq = self.seq.max(seq);
        self.showing = true;
    }

    /// The event is written.
    pub fn shown(&mut self) {
        self.showing = false;
    }

    /// The first seq that reaches the client with the next stanza or later.
    fn mark(&self) -> Seq {
        if self.showing {
            self.seq
        } else {
            Seq(self.seq.0 + 1)
        }
    }

    /// Everything up to here reached the client, as far as it said; `None` where it has all that was sent.
    pub fn reached(&self) -> Option<Seq> {
        let (_, seq) = self.sm.as_ref()?.unacked.front()?;
        Some(Seq(seq.0.saturating_sub(1)))
    }

    /// Adds a stanza.
    pub fn stanza(&mut self, stanza: &Element) {
        self.written(|out| write::element(out, stanza, Context::CLIENT));
    }

    /// Adds a stanza that `write` writes.
    pub fn written(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let stanza = self.piece(write);
        self.bytes(stanza);
    }

    /// Adds a stanza as bytes.
    pub fn bytes(&mut self, stanza: Bytes) {
        self.release();
        self.push(stanza);
    }

    /// Adds a stanza that may wait while the client is inactive; true if it went out.
    pub fn quiet(&mut self, key: &str, write: impl FnOnce(&mut BytesMut)) -> bool {
        let stanza = self.piece(write);
        if !self.inactive {
            self.push(stanza);
            return true;
        }
        if !key.is_empty() {
            self.held.retain(|(k, _)| k != key);
        }
        self.held.push((Str::new(key), stanza));
        if self.held.len() < HELD {
            return false;
        }
        self.release();
        true
    }

    /// Adds something that is no stanza and so is not counted.
    pub fn nonza(&mut self, el: &Element) {
        let bytes = self.piece(|out| write::element(out, el, Context::CLIENT));
        self.raw(bytes);
    }

    /// Adds bytes that are not counted.
    pub fn raw(&mut self, bytes: Bytes) {
        self.ready_bytes += bytes.len();
        self.ready.push_back(bytes);
    }

    /// XEP-0352: the client is active or not.
    pub fn set_inactive(&mut self, inactive: bool) {
        self.inactive = inactive;
        if !inactive {
            self.release();
        }
    }

    /// Whether the client said that it is inactive.
    pub fn is_inactive(&self) -> bool {
        self.inactive
    }

    fn release(&mut self) {
        for (_, stanza) in std::mem::take(&mut self.held) {
            self.push(stanza);
        }
    }

    fn piece(&mut self, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.scratch.capacity() < 512 {
            self.scratch.reserve(PIECE);
        }
        write(&mut self.scratch);
        self.scratch.split().freeze()
    }

    fn push(&mut self, stanza: Bytes) {
        let mark = self.mark();
        if let Some(sm) = &mut self.sm {
            sm.unacked.push_back((stanza.clone(), mark));
            sm.news = true;
        }
        self.raw(stanza);
    }

    /// Bytes that wait for the connection.
    pub fn waiting(&self) -> usize {
        self.ready_bytes
    }

    /// Whether there is something to move.
    pub fn is_due(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Moves up to `most` pieces to the connection; after the last one a request for acknowledgement where one is due.
    pub fn take(&mut self, most: usize, mut to: impl FnMut(Bytes)) {
        for piece in self.ready.drain(..most.min(self.ready.len())) {
            self.ready_bytes -= piece.len();
            to(piece);
        }
        if !self.ready.is_empty() {
            return;
        }
        if let Some(sm) = &mut self.sm
            && sm.news
            && !sm.asked
        {
            sm.asked = true;
            sm.news = false;
            to(Bytes::from_static(b"<r xmlns='urn:xmpp:sm:3'/>"));
        }
        // An idle session holds no buffers.
        if self.ready.capacity() > 64 {
            self.ready = VecDeque::new();
        }
        self.scratch = BytesMut::new();
    }

    /// Too many stanzas wait for the client's acknowledgement: nothing more is taken from its mailbox.
    pub fn overdue(&self) -> bool {
        self.sm
            .as_ref()
            .is_some_and(|sm| sm.unacked.len() > self.most_unacked)
    }

    /// Far too many do: answers alone have filled the queue.
    pub fn overflows(&self) -> bool {
        self.sm
            .as_ref()
            .is_some_and(|sm| sm.unacked.len() / 2 > self.most_unacked)
    }

    /// XEP-0198 §3: counting begins.
    pub fn enable(&mut self) {
        self.sm = Some(Sm::default());
    }

    /// Counting goes on where a checkpoint left it.
    pub fn restore(&mut self, acked: u32, unacked: Vec<Bytes>) {
        self.sm = Some(Sm {
            acked,
            unacked: unacked.into_iter().map(|b| (b, self.seq)).collect(),
            ..Sm::default()
        });
    }

    /// Whether stream management is on.
    pub fn is_managed(&self) -> bool {
        self.sm.is_some()
    }

    /// The client has had everything up to `h`.
    pub fn acked(&mut self, h: u32) -> Result<(), TooHigh> {
        let Some(sm) = &mut self.sm else {
            return Ok(());
        };
        sm.asked = false;
        let n = h.wrapping_sub(sm.acked);
        // Older than what it said before: nothing new.
        if n > u32::MAX / 2 {
            return Ok(());
        }
        let sent = sm
            .acked
            .wrapping_add(u32::try_from(sm.unacked.len()).unwrap_or(u32::MAX));
        if n as usize > sm.unacked.len() {
            return Err(TooHigh { h, sent });
        }
        sm.unacked.drain(..n as usize);
        sm.acked = h;
        if sm.unacked.is_empty() && sm.unacked.capacity() > 64 {
            sm.unacked = VecDeque::new();
        }
        Ok(())
    }

    /// A new connection: what is not acknowledged is sent again, and nothing else that waited for the old one.
    pub fn resend(&mut self) {
        self.ready.clear();
        self.ready_bytes = 0;
        self.inactive = false;
        let Some(sm) = &mut self.sm else { return };
        sm.asked = false;
        sm.news = !sm.unacked.is_empty();
        for (stanza, _) in &sm.unacked {
            self.ready_bytes += stanza.len();
            self.ready.push_back(stanza.clone());
        }
        self.release();
    }

    /// What a later process needs to go on: what was acknowledged, and what was not.
    pub fn checkpoint(&mut self) -> Option<(u32, Vec<Bytes>)> {
        self.release();
        let sm = self.sm.as_ref()?;
        Some((
            sm.acked,
            sm.unacked
                .iter()
                .map(|(stanza, _)| stanza.clone())
                .collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ns;

    fn taken(out: &mut Out) -> String {
        let mut all = Vec::new();
        out.take(usize::MAX, |b| all.extend_from_slice(&b));
        String::from_utf8_lossy(&all).into_owned()
    }

    fn message(id: &'static str) -> Element {
        Element::new(ns::CLIENT, "message").attr("id", id)
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order() {
        let mut out = Out::new(10);
        out.enable();
        out.stanza(&message("1"));
        out.stanza(&message("2"));
        assert_eq!(
            taken(&mut out),
            "<message id='1'/><message id='2'/><r xmlns='urn:xmpp:sm:3'/>"
        );
        out.stanza(&message("3"));
        assert_eq!(
            taken(&mut out),
            "<message id='3'/>",
            "one request at a time"
        );
        assert_eq!(out.acked(1), Ok(()));
        assert_eq!(out.acked(4), Err(TooHigh { h: 4, sent: 3 }));
        out.resend();
        assert_eq!(
            taken(&mut out),
            "<message id='2'/><message id='3'/><r xmlns='urn:xmpp:sm:3'/>"
        );
        assert_eq!(out.acked(3), Ok(()));
        assert_eq!(
            out.checkpoint().map(|(h, rest)| (h, rest.len())),
            Some((3, 0))
        );
    }

    #[test]
    fn an_inactive_client_gets_presence_before_the_next_message() {
        let mut out = Out::new(10);
        out.set_inactive(true);
        let presence = |kind: &'static [u8]| move |o: &mut BytesMut| o.extend_from_slice(kind);
        assert!(!out.quiet("bob", presence(b"<a/>")));
        assert!(!out.quiet("eve", presence(b"<b/>")));
        assert!(!out.quiet("bob", presence(b"<c/>")));
        assert_eq!(taken(&mut out), "");
        out.stanza(&message("1"));
        assert_eq!(taken(&mut out), "<b/><c/><message id='1'/>");
    }
}
