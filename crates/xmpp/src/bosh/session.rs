//! One BOSH session between its requests (XEP-0124 §8–§14): which are held, what is answered, what is sent again.
//! No IO: requests and the time come in, answers go out through the requests' own channels.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::wire::body::Body;
use crate::wire::{Frame, Str, ns};

/// The longest that a request is held.
pub const WAIT: Duration = Duration::from_secs(120);
/// Requests that are held at once, at most.
pub const HOLD: u64 = 2;
/// Without a request for so long, the client is gone.
pub const INACTIVITY: Duration = Duration::from_secs(60);
/// The longest pause.
pub const PAUSE: Duration = Duration::from_secs(120);

/// Where an answer goes.
pub type Answer = oneshot::Sender<Bytes>;

/// Why a session ends at once (XEP-0124 §17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A request that can't belong to it.
    ItemNotFound,
    /// More at once than agreed.
    PolicyViolation,
}

impl Fault {
    /// The condition's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ItemNotFound => "item-not-found",
            Self::PolicyViolation => "policy-violation",
        }
    }
}

struct Held {
    rid: u64,
    answer: Answer,
    until: Instant,
    /// It brought nothing, or the client paused: no payload goes with it.
    paused: bool,
}

/// A session.
pub struct Session {
    next: u64,
    wait: Duration,
    hold: usize,
    early: BTreeMap<u64, (Body, Answer)>,
    held: VecDeque<Held>,
    sent: VecDeque<(u64, Bytes)>,
    /// What came in and was not taken.
    pub frames: VecDeque<Frame>,
    out: VecDeque<Bytes>,
    /// Bytes in `out`.
    pub out_bytes: usize,
    /// Attributes of the first answer.
    first: Option<String>,
    quiet_since: Instant,
    patience: Duration,
    /// How it ended, with what is said at the end.
    ended: Option<Bytes>,
}

impl Session {
    /// Begins with the first request.
    pub fn new(sid: &str, from: &str, first: &Body, now: Instant) -> Self {
        let wait = Duration::from_secs(first.wait.unwrap_or(60)).min(WAIT);
        let hold = first.hold.unwrap_or(1).min(HOLD);
        let polling = if hold == 0 || wait.is_zero() {
            " polling='2'"
        } else {
            ""
        };
        let ack = first.ack.map(|_| format!(" ack='{}'", first.rid));
        let attrs = format!(
            " sid='{sid}' wait='{}' hold='{hold}' requests='{}' inactivity='{}' maxpause='{}' ver='1.11' from='{from}' \
             xmpp:version='1.0' xmpp:restartlogic='true'{polling}{}",
            wait.as_secs(),
            hold + 1,
            INACTIVITY.as_secs(),
            PAUSE.as_secs(),
            ack.unwrap_or_default(),
        );
        Self {
            next: first.rid,
            wait,
            hold: usize::try_from(hold).unwrap_or(1),
            early: BTreeMap::new(),
            held: VecDeque::new(),
            sent: VecDeque::new(),
            frames: VecDeque::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            first: Some(attrs),
            quiet_since: now,
            patience: INACTIVITY,
            ended: None,
        }
    }

    fn window(&self) -> u64 {
        u64::try_from(self.hold).unwrap_or(1) + 1
    }

    /// A request came. A fault ends the session.
    ///
    /// # Errors
    /// When it can't be one of this session's.
    pub fn arrives(&mut self, body: Body, answer: Answer, now: Instant) -> Result<(), Fault> {
        if let Some(ended) = &self.ended {
            let _ = answer.send(ended.clone());
            return Ok(());
        }
        let rid = body.rid;
        if rid < self.next {
            return self.again(rid, answer);
        }
        // §11: one more than agreed, to pause or to end.
        let spare = u64::from(body.pause.is_some() || body.terminate);
        if rid >= self.next.saturating_add(self.window() + spare) {
            return Err(Fault::ItemNotFound);
        }
        if let Some((_, older)) = self.early.insert(rid, (body, answer)) {
            drop(older);
        }
        while let Some((body, answer)) = self.early.remove(&self.next) {
            self.takes(body, answer, now)?;
        }
        Ok(())
    }

    fn takes(&mut self, body: Body, answer: Answer, now: Instant) -> Result<(), Fault> {
        self.next += 1;
        self.patience = INACTIVITY;
        let paused = body.pause.is_some();
        if let Some(pause) = body.pause {
            self.patience = Duration::from_secs(pause).min(PAUSE);
        }
        self.frames.extend(body.frames);
        self.held.push_back(Held {
            rid: body.rid,
            answer,
            until: now + self.wait,
            paused,
        });
        // §11: who keeps asking while nothing is answered asks too much. The driver answers what is more than `hold`.
        if self.held.len() > self.hold + 4 {
            return Err(Fault::PolicyViolation);
        }
        Ok(())
    }

    /// §14.3: a request that was there already; its answer is sent again, or goes to the new connection.
    fn again(&mut self, rid: u64, answer: Answer) -> Result<(), Fault> {
        if let Some((_, bytes)) = self.sent.iter().find(|(sent, _)| *sent == rid) {
            let _ = answer.send(bytes.clone());
            return Ok(());
        }
        match self.held.iter_mut().find(|h| h.rid == rid) {
            Some(held) => {
                held.answer = answer;
                Ok(())
            }
            None => Err(Fault::ItemNotFound),
        }
    }

    /// Adds to what goes out.
    pub fn queue(&mut self, piece: Bytes) {
        self.out_bytes += piece.len();
        self.out.push_back(piece);
    }

    /// Throws away what waits: nobody reads it.
    pub fn clear(&mut self) {
        self.out.clear();
        self.out_bytes = 0;
    }

    /// Answers what is to be answered now. What a request brought has to be taken before it is answered.
    pub fn respond(&mut self, now: Instant) {
        while let Some(oldest) = self.held.front() {
            let full = self.held.len() > self.hold;
            let paused = self.held.iter().any(|h| h.paused);
            let due = full || paused || !self.out.is_empty() || oldest.until <= now;
            if !self.frames.is_empty() || !due {
                return;
            }
            let Some(held) = self.held.pop_front() else {
                return;
            };
            let bytes = self.body(paused, held.rid);
            self.answers(held, bytes, now);
        }
    }

    fn answers(&mut self, held: Held, bytes: Bytes, now: Instant) {
        if !held.paused {
            self.sent.push_back((held.rid, bytes.clone()));
            if self.sent.len() > self.hold + 1 {
                self.sent.pop_front();
            }
        }
        let _ = held.answer.send(bytes);
        if self.held.is_empty() {
            self.quiet_since = now;
        }
    }

    fn body(&mut self, empty: bool, rid: u64) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(b"<body xmlns='http://jabber.org/protocol/httpbind'");
        if let Some(first) = self.first.take() {
            out.put_slice(b" xmlns:xmpp='urn:xmpp:xbosh' xmlns:stream='");
            out.put_slice(ns::STREAM.as_bytes());
            out.put_slice(b"'");
            out.put_slice(first.as_bytes());
        } else if self.next - 1 > rid {
            // §9.1: what came meanwhile.
            out.put_slice(format!(" ack='{}'", self.next - 1).as_bytes());
        }
        if empty || self.out.is_empty() {
            out.put_slice(b"/>");
            return out.freeze();
        }
        out.put_slice(b">");
        for piece in self.out.drain(..) {
            out.put_slice(&piece);
        }
        self.out_bytes = 0;
        out.put_slice(b"</body>");
        out.freeze()
    }

    /// When something is to be done without a request: an answer, or the end.
    pub fn deadline(&self) -> Instant {
        match self.held.front() {
            Some(oldest) => oldest.until,
            None => self.quiet_since + self.patience,
        }
    }

    /// Whether no request came for too long.
    pub fn is_gone(&self, now: Instant) -> bool {
        self.held.is_empty() && self.quiet_since + self.patience <= now
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Ends it: everything that waits goes out with the last words; requests that come later get those alone.
    /// `condition` and `inside` are of XEP-0124 §17.2.
    pub fn end(&mut self, condition: Option<&str>, inside: &[u8]) {
        if self.ended.is_some() {
            return;
        }
        let last = |pieces: &VecDeque<Bytes>| {
            let mut out = BytesMut::new();
            out.put_slice(b"<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'");
            if let Some(condition) = condition {
                out.put_slice(format!(" condition='{condition}'").as_bytes());
            }
            out.put_slice(b">");
            for piece in pieces {
                out.put_slice(piece);
            }
            out.put_slice(inside);
            out.put_slice(b"</body>");
            out.freeze()
        };
        let mut words = last(&self.out);
        self.clear();
        let alone = last(&self.out);
        for held in self.held.drain(..) {
            let _ = held
                .answer
                .send(std::mem::replace(&mut words, alone.clone()));
        }
        for (_, (_, answer)) in std::mem::take(&mut self.early) {
            let _ = answer.send(alone.clone());
        }
        self.ended = Some(words);
    }
}

/// A terminating answer where there is no session.
pub fn refusal(condition: &str) -> Bytes {
    Bytes::from(format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' condition='{condition}'/>"
    ))
}

/// A session's name: 128 random bits.
pub fn sid(random: u128) -> Str {
    Str::new(format!("{random:032x}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::Limits;
    use crate::wire::body::parse_body;

    struct Client {
        session: Session,
        now: Instant,
    }

    fn request(attrs: &str, inside: &str) -> Body {
        let text =
            format!("<body xmlns='http://jabber.org/protocol/httpbind' {attrs}>{inside}</body>");
        parse_body(text.as_bytes(), &Limits::default()).unwrap()
    }

    impl Client {
        fn new() -> Self {
            let now = Instant::now();
            let first = request("rid='10' to='a.b' wait='30' hold='1'", "");
            let session = Session::new("s", "a.b", &first, now);
            let mut client = Self { session, now };
            let mut answer = client.asks(first).unwrap();
            assert!(client.session.frames.pop_front().is_some());
            client.session.queue(Bytes::from_static(b"<f/>"));
            let told = client.gets(&mut answer).unwrap();
            assert!(
                told.contains("sid='s'") && told.ends_with("<f/></body>"),
                "{told}"
            );
            client
        }

        fn asks(&mut self, body: Body) -> Result<oneshot::Receiver<Bytes>, Fault> {
            let (answer, told) = oneshot::channel();
            self.session.arrives(body, answer, self.now).map(|()| told)
        }

        fn plain(&mut self, rid: u64) -> Result<oneshot::Receiver<Bytes>, Fault> {
            self.asks(request(&format!("rid='{rid}' sid='s'"), ""))
        }

        fn gets(&mut self, told: &mut oneshot::Receiver<Bytes>) -> Option<String> {
            self.session.frames.clear();
            self.session.respond(self.now);
            let bytes = told.try_recv().ok()?;
            Some(String::from_utf8(bytes.to_vec()).unwrap())
        }
    }

    const EMPTY: &str = "<body xmlns='http://jabber.org/protocol/httpbind'/>";

    #[test]
    fn a_request_is_held_until_there_is_something_or_time_is_up() {
        let mut client = Client::new();
        let mut told = client.plain(11).unwrap();
        assert_eq!(client.gets(&mut told), None);
        client.session.queue(Bytes::from_static(b"<m/>"));
        assert!(client.gets(&mut told).unwrap().contains("<m/>"));
        let mut told = client.plain(12).unwrap();
        client.now += Duration::from_secs(29);
        assert_eq!(client.gets(&mut told), None);
        client.now = client.session.deadline();
        assert_eq!(client.gets(&mut told).as_deref(), Some(EMPTY));
        assert!(!client.session.is_gone(client.now));
        client.now = client.session.deadline();
        assert!(client.session.is_gone(client.now));
    }

    #[test]
    fn only_so_many_are_held_and_answers_keep_their_order() {
        let mut client = Client::new();
        let mut later = client.plain(12).unwrap();
        let mut told = client.plain(11).unwrap();
        // §9.1: the answer says what came meanwhile.
        assert_eq!(
            client.gets(&mut told).as_deref(),
            Some("<body xmlns='http://jabber.org/protocol/httpbind' ack='12'/>")
        );
        assert_eq!(client.gets(&mut later), None);
    }

    #[test]
    fn what_was_lost_on_the_way_is_sent_again() {
        let mut client = Client::new();
        let said = "<message xmlns='jabber:client'/>";
        let body = request("rid='11' sid='s'", said);
        let _lost = client.asks(body.clone()).unwrap();
        assert_eq!(client.session.frames.len(), 1);
        // While it is held, the new connection gets the answer, and the message is taken once.
        let mut told = client.asks(body.clone()).unwrap();
        assert_eq!(client.session.frames.len(), 1);
        client.session.queue(Bytes::from_static(b"<m/>"));
        let answer = client.gets(&mut told).unwrap();
        let mut again = client.asks(body).unwrap();
        assert_eq!(client.gets(&mut again).unwrap(), answer);
        assert!(client.session.frames.is_empty());
        assert_eq!(client.plain(1).err(), Some(Fault::ItemNotFound));
    }

    #[test]
    fn numbers_beyond_the_window_and_floods_end_it() {
        let mut client = Client::new();
        assert_eq!(client.plain(13).err(), Some(Fault::ItemNotFound));
        assert_eq!(
            client.plain(u64::MAX >> 11).err(),
            Some(Fault::ItemNotFound)
        );
        assert!(
            client
                .asks(request("rid='13' sid='s' pause='5'", ""))
                .is_ok()
        );
        let mut client = Client::new();
        let flood = (11..100).map(|rid| client.plain(rid)).find_map(Result::err);
        assert_eq!(flood, Some(Fault::PolicyViolation));
    }

    #[test]
    fn a_pause_answers_everything_without_payload() {
        let mut client = Client::new();
        let mut told = client.plain(11).unwrap();
        assert_eq!(client.gets(&mut told), None);
        let mut pause = client
            .asks(request("rid='12' sid='s' pause='500'", ""))
            .unwrap();
        client.session.queue(Bytes::from_static(b"<m/>"));
        assert!(!client.gets(&mut told).unwrap().contains("<m/>"));
        assert_eq!(client.gets(&mut pause).as_deref(), Some(EMPTY));
        client.now += PAUSE - Duration::from_secs(1);
        assert!(!client.session.is_gone(client.now));
        let mut told = client.plain(13).unwrap();
        assert!(client.gets(&mut told).unwrap().contains("<m/>"));
        client.now += INACTIVITY;
        assert!(client.session.is_gone(client.now));
    }

    #[test]
    fn the_end_says_what_waits_and_why() {
        let mut client = Client::new();
        let mut told = client.plain(11).unwrap();
        client.session.queue(Bytes::from_static(b"<m/>"));
        client.session.end(Some("remote-stream-error"), b"<e/>");
        let last = client.gets(&mut told).unwrap();
        assert!(
            last.contains("type='terminate' condition='remote-stream-error'><m/><e/>"),
            "{last}"
        );
        let mut late = client.plain(12).unwrap();
        assert!(client.gets(&mut late).unwrap().contains("terminate"));
    }
}
