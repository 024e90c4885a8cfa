//! What moves the bytes of a stream between servers, in either direction: frames in, stanzas out, acknowledgements, time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sammen_net::dial::Certificate;
use sammen_net::{
    CancellationToken, Connection, Link, LinkConfig, Peer as Client, Rate, Stream, Turn,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::barrier::Barrier;
use super::component::{self, Seat};
use super::incoming::{self, Ground, Incoming};
use super::opening::{Outcome, negotiate};
use super::outgoing::Purpose;
use super::peer::Peer;
use super::pipe::{Failure, Pipe, Unacked};
use super::tally::Tally;
use super::{Federation, is_ours, route};
use crate::server::Server;
use crate::wire::{
    Context, Element, Frame, Jid, Str, StreamCondition, StreamError, StreamParser, ns, write,
};

/// Stanzas in hand; then reading pauses.
const IN_HAND: usize = 1024;
/// Stanzas that wait for the peer's acknowledgement; then sending pauses.
const UNACKED: usize = 1024;
/// How long a peer that proved itself may take to ask for acknowledgements before it is sent what waits.
const HELD: Duration = Duration::from_secs(2);
/// How long an answer is waited for from a peer that let the last question go by.
const SILENT: Duration = Duration::from_secs(1);

/// Limits of a connection between servers.
pub(super) fn link_config(federation: &Federation) -> LinkConfig {
    let config = federation.config.get();
    LinkConfig {
        max_input: 64 * 1024,
        max_output: config.peer.stanza_bytes * 8,
        write_timeout: config.write_timeout,
        bytes: Rate::UNLIMITED,
        cost: Rate {
            per_second: config.rate,
            burst: config.burst,
        },
    }
}

/// Opens a stream for a pair of domains and serves it to its end.
pub(super) async fn open(federation: Arc<Federation>, peer: Arc<Peer>) {
    let (local, remote) = (peer.local.clone(), peer.remote.clone());
    let opening = negotiate(&federation, &local, &remote, Purpose::Stanzas);
    let opened = match opening.await {
        Ok(Outcome::Ready(opened)) => *opened,
        Ok(Outcome::Verified(_)) => return,
        Err(why) => {
            match &why {
                Failure::Unproven(_) => {
                    tracing::warn!(protocol = "xmpp", %local, %remote, "no stream to {remote}: {}", why.words());
                }
                _ => {
                    tracing::info!(protocol = "xmpp", %local, %remote, "no stream to {remote}: {}", why.words());
                }
            }
            peer.failed(&federation, why);
            federation.visitors.unreachable(&remote);
            return;
        }
    };
    tracing::info!(protocol = "xmpp", %local, %remote, "a stream to {remote} is open");
    let pipe = Arc::new(Pipe::default());
    peer.up(&pipe);
    let acknowledges = opened.agreed.acknowledges;
    let head = Head::Out {
        local,
        remote,
        both_ways: opened.agreed.both_ways,
    };
    let mut flow = Flow {
        unacked: acknowledges.then(Unacked::default),
        unsure: Unacked::default(),
        barrier: None,
        owed: None,
        parting: false,
        held: None,
        head,
        link: Some(opened.link),
        parser: opened.parser,
        pipe: Some(pipe.clone()),
        peers: vec![peer],
        tally: Arc::default(),
        down: federation.down.clone(),
        federation,
        proved: HashSet::new(),
    };
    for el in opened.early {
        if flow.both_ways(el).await == On::No {
            return flow.over();
        }
    }
    // XEP-0198 §4: what came before the answer is not counted.
    flow.tally.reset();
    flow.run(None).await;
    flow.over();
}

/// What a connection of another server stands on.
struct House {
    server: Arc<Server>,
    federation: Arc<Federation>,
    chain: Vec<Certificate>,
}

impl Ground for House {
    fn is_ours(&self, host: &str) -> bool {
        is_ours(self.server.node.domains(), host) || self.federation.is_component(host)
    }

    fn proves(&self, domain: &str) -> Result<(), String> {
        self.federation.proves(&self.chain, domain)
    }

    fn stream_id(&self) -> String {
        format!("{:032x}", self.server.node.clock().random())
    }
}

/// Serves a connection of the listener for other servers until it ends.
pub async fn serve(server: Arc<Server>, connection: Connection) {
    let Some(federation) = server.federation.get().cloned() else {
        return;
    };
    let Connection { stream, peer } = connection;
    let chain = |client: &Client| client.tls.as_ref().map(|t| t.chain.clone());
    let house = House {
        chain: chain(&peer).unwrap_or_default(),
        federation: federation.clone(),
        server: server.clone(),
    };
    let machine = Incoming::new(
        federation.config.get(),
        federation.secret.clone(),
        house,
        Str::new(server.domain().as_str()),
        peer.tls.is_some(),
        peer.can_start_tls(),
    );
    let config = link_config(&federation);
    let parser = StreamParser::new(federation.config.get().stranger).between_servers();
    let mut flow = Flow {
        head: Head::In(Box::new(machine)),
        link: Some(Link::new(stream, config)),
        parser,
        pipe: None,
        peers: Vec::new(),
        unacked: None,
        unsure: Unacked::default(),
        barrier: None,
        owed: None,
        parting: false,
        held: None,
        tally: Arc::default(),
        down: federation.down.clone(),
        federation,
        proved: HashSet::new(),
    };
    flow.run(Some(peer)).await;
    flow.over();
}

/// Serves a component that proved its name.
pub(super) async fn component(
    federation: &Arc<Federation>,
    server: &Server,
    name: &Str,
    link: Link<Stream>,
    parser: StreamParser,
    seat: &Seat,
) {
    let local = Str::new(server.domain().as_str());
    let mut flow = Flow {
        head: Head::Component(name.clone()),
        link: Some(link),
        parser,
        pipe: Some(seat.pipe.clone()),
        peers: vec![Arc::new(Peer::new(local, name.clone()))],
        unacked: None,
        unsure: Unacked::default(),
        barrier: None,
        owed: None,
        parting: false,
        held: None,
        tally: Arc::default(),
        down: seat.ends.clone(),
        federation: federation.clone(),
        proved: HashSet::new(),
    };
    flow.run(None).await;
    flow.over();
}

/// Who opened the stream.
enum Head {
    /// We did.
    Out {
        local: Str,
        remote: Str,
        both_ways: bool,
    },
    /// Another server did.
    In(Box<Incoming<House>>),
    /// A component of this name did.
    Component(Str),
}

/// What the server of a domain said about a key that was shown in its name.
type Verdict = (Str, Str, Option<bool>);

struct Flow {
    head: Head,
    link: Option<Link<Stream>>,
    parser: StreamParser,
    /// What goes out here.
    pipe: Option<Arc<Pipe>>,
    /// Whose pipe it is.
    peers: Vec<Arc<Peer>>,
    /// What was sent to a peer that acknowledges.
    unacked: Option<Unacked>,
    /// What was sent to one that does not, and the question behind it.
    unsure: Unacked,
    barrier: Option<Barrier>,
    /// When the peer has to have acknowledged what it was asked about, or closed the stream in return.
    owed: Option<Instant>,
    /// Our side is closed: what was sent has arrived once the peer closes, too.
    parting: bool,
    /// Nothing goes out before this: the peer may be about to ask for acknowledgements.
    held: Option<Instant>,
    tally: Arc<Tally>,
    /// Ends it.
    down: CancellationToken,
    federation: Arc<Federation>,
    /// Pairs of domains that were proven here.
    proved: HashSet<(Str, Str)>,
}

/// The stream goes on, or not.
#[derive(PartialEq, Eq)]
enum On {
    Yes,
    No,
}

impl Flow {
    async fn run(&mut self, mut client: Option<Client>) {
        let (verdicts, mut heard) = mpsc::channel::<Verdict>(8);
        let config = self.federation.config.get();
        let shutdown = self.down.clone();
        let begun = Instant::now();
        let mut last = begun;
        let mut paused = false;
        // What came together with the last word of the negotiation.
        if self.frames(&mut client, &verdicts).await == On::No {
            return;
        }
        loop {
            self.write();
            let Some(link) = &mut self.link else { return };
            let stranger = matches!(&self.head, Head::In(machine) if machine.proven().is_empty());
            // A component stays, however quiet it is.
            let stays = matches!(self.head, Head::Component(_));
            let reads = self.tally.waiting() < IN_HAND;
            // Its answer may lie unread before us: no time runs against the peer while we read nothing.
            if !reads {
                paused = true;
            } else if std::mem::take(&mut paused) {
                let later = Instant::now() + config.answer;
                self.owed = self.owed.map(|_| later);
                if let Some(barrier) = &mut self.barrier {
                    barrier.until = later;
                }
            }
            let until = if stranger {
                begun + config.negotiation
            } else {
                let idle = last + config.idle;
                self.owed.map_or(idle, |owed| owed.min(idle))
            };
            let pipe = self.pipe.clone();
            let due = async {
                match &pipe {
                    Some(pipe) => pipe.bell.notified().await,
                    None => std::future::pending().await,
                }
            };
            let (held, barrier) = (self.held, &mut self.barrier);
            let believed = async {
                match barrier {
                    Some(barrier) => {
                        let answer = timeout_at(barrier.until, &mut barrier.answer).await;
                        (barrier.upto, matches!(answer, Ok(Ok(()))))
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due, if held.is_none() && !self.parting => last = Instant::now(),
                () = sleep_until(held.unwrap_or(last)), if held.is_some() => self.held = None,
                (upto, answered) = believed, if reads => {
                    self.barrier = None;
                    if answered {
                        let _ = self.unsure.acked(upto);
                    } else if self.has_gone() {
                        return self.goodbye(Some(StreamCondition::ConnectionTimeout)).await;
                    } else if stays {
                        // It is the operator's own, and need not know the question.
                        let _ = self.unsure.acked(upto);
                    } else {
                        self.part();
                    }
                    if let Some(peer) = self.peers.first() {
                        peer.answered(answered);
                    }
                }
                () = self.tally.bell.notified() => {}
                Some((local, remote, valid)) = heard.recv() => {
                    let Head::In(machine) = &mut self.head else { continue };
                    let step = machine.verified(local, remote, valid);
                    if self.follow(step, &mut client, &verdicts).await == On::No {
                        return;
                    }
                }
                turn = link.turn(), if reads => match turn {
                    Ok(Turn::Input) => {
                        last = Instant::now();
                        if self.input(&mut client, &verdicts).await == On::No {
                            return;
                        }
                    }
                    Ok(Turn::Room) => {}
                    Ok(Turn::Closed) => return self.parted(),
                    Err(_) => return,
                },
                () = sleep_until(until), if !stays && (reads || stranger) => {
                    let condition = if stranger {
                        StreamCondition::ConnectionTimeout
                    } else if self.quiet() {
                        return self.goodbye(None).await;
                    } else {
                        // Something waits for an acknowledgement that does not come.
                        StreamCondition::ConnectionTimeout
                    };
                    return self.goodbye(Some(condition)).await;
                }
                () = shutdown.cancelled() => {
                    let why = match self.federation.down.is_cancelled() {
                        true => StreamCondition::SystemShutdown,
                        false => StreamCondition::Conflict,
                    };
                    return self.goodbye(Some(why)).await;
                }
            }
        }
    }

    /// Whether the stream can be closed without loss; then nothing more is taken.
    fn quiet(&self) -> bool {
        let unacked = self.unacked.as_ref().map_or(0, Unacked::waiting) + self.unsure.waiting();
        let empty = self.pipe.as_ref().is_none_or(|p| p.close_if_empty());
        unacked == 0 && empty && self.tally.waiting() == 0
    }

    /// Hands what waits to the connection, as far as it has room.
    fn write(&mut self) {
        if self.parting {
            return;
        }
        let Some(link) = &mut self.link else { return };
        if let Some(pipe) = self.pipe.as_ref().filter(|_| self.held.is_none()) {
            let counted = self.unacked.is_some();
            let sent = self.unacked.as_mut().unwrap_or(&mut self.unsure);
            while link.has_room() && sent.waiting() < UNACKED {
                let Some(item) = pipe.pop() else { break };
                if link.queue(item.bytes.clone()).is_err() {
                    self.federation.fail(item, &Failure::Busy);
                } else if counted || item.done.is_some() {
                    sent.sent(item);
                }
            }
            if (pipe.is_empty() || sent.waiting() >= UNACKED) && sent.asks() {
                let asked = if counted {
                    let question = Bytes::from_static(b"<r xmlns='urn:xmpp:sm:3'/>");
                    link.queue(question).is_ok()
                } else {
                    self.barrier = self.ask();
                    self.barrier.is_some()
                };
                if asked && counted {
                    self.owed = Some(Instant::now() + self.federation.config.get().answer);
                }
                if !asked {
                    let sent = self.unacked.as_mut().unwrap_or(&mut self.unsure);
                    sent.not_asked();
                }
            }
        }
        if let (Some(h), Some(link)) = (self.tally.answer(), &mut self.link) {
            let _ = link.queue(format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>").into());
        }
    }

    /// Whether a peer that leaves a question unanswered is there no more: it used to answer, or takes no bytes.
    fn has_gone(&self) -> bool {
        let used_to = self.peers.first().and_then(|peer| peer.answers()) == Some(true);
        used_to || self.link.as_ref().is_none_or(|link| link.queued() > 0)
    }

    /// Closes our side of the stream. A peer that answers no questions closes its own once it has read so far (RFC 6120
    /// §4.4), which says the same.
    fn part(&mut self) {
        let Some(link) = &mut self.link else { return };
        let _ = link.queue(Bytes::from_static(write::STREAM_CLOSE));
        self.parting = true;
        self.owed = Some(Instant::now() + self.federation.config.get().answer);
    }

    /// The peer closed its side of the stream.
    fn parted(&mut self) {
        if self.parting {
            let all = self.unsure.all();
            let _ = self.unsure.acked(all);
        }
    }

    /// Asks a peer that acknowledges nothing whether it has what was sent.
    fn ask(&mut self) -> Option<Barrier> {
        let number = self.federation.server()?.node.clock().random();
        let peer = self.peers.first()?;
        let barriers = &self.federation.barriers;
        // Who never answers holds nobody up for long.
        let patience = match peer.answers() {
            Some(false) => SILENT,
            _ => self.federation.config.get().answer,
        };
        let (question, answer) = barriers.ask(&peer.local, &peer.remote, number);
        let mut out = BytesMut::new();
        write::element(&mut out, &question, Context::CLIENT);
        self.link.as_mut()?.queue(out.freeze()).ok()?;
        Some(Barrier {
            answer,
            upto: self.unsure.all(),
            until: Instant::now() + patience,
        })
    }

    async fn input(&mut self, client: &mut Option<Client>, verdicts: &mpsc::Sender<Verdict>) -> On {
        let Some(link) = &mut self.link else {
            return On::No;
        };
        self.parser.feed(&link.input);
        link.input.clear();
        self.frames(client, verdicts).await
    }

    async fn frames(
        &mut self,
        client: &mut Option<Client>,
        verdicts: &mpsc::Sender<Verdict>,
    ) -> On {
        loop {
            let frame = match self.parser.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return On::Yes,
                Err(fault) => {
                    let error = StreamError::from(fault);
                    if let Head::In(machine) = &mut self.head {
                        let step = machine.fail(&error);
                        return self.follow(step, client, verdicts).await;
                    }
                    self.goodbye(Some(error.condition)).await;
                    return On::No;
                }
            };
            if let Some(link) = &mut self.link {
                link.charge(1);
            }
            if self.parting && frame == Frame::Close {
                self.parted();
                return On::No;
            }
            let on = match &mut self.head {
                Head::In(machine) => {
                    let step = machine.frame(frame);
                    self.follow(step, client, verdicts).await
                }
                Head::Out { .. } => self.answer(frame).await,
                Head::Component(_) => self.of_component(frame).await,
            };
            if on == On::No {
                return On::No;
            }
        }
    }

    /// A frame on a stream that we opened.
    async fn answer(&mut self, frame: Frame) -> On {
        let Head::Out {
            remote, both_ways, ..
        } = &self.head
        else {
            return On::No;
        };
        let el = match frame {
            Frame::Stanza(el) => el,
            Frame::Open(_) => return On::Yes,
            Frame::Close => {
                self.goodbye(None).await;
                return On::No;
            }
        };
        match (el.name(), el.ns()) {
            ("r", ns::SM) => self.tally.ask(),
            ("a", ns::SM) => return self.acknowledged(el.get("h").and_then(|h| h.parse().ok())),
            ("error", ns::STREAM) => {
                let error = StreamError::from_element(&el);
                let why = error.map_or("unknown", |e| e.condition.name());
                tracing::info!(protocol = "xmpp", %remote, why, "the stream to {remote} ended");
                return On::No;
            }
            ("message" | "presence" | "iq", ns::CLIENT) if *both_ways => {
                return self.both_ways(el).await;
            }
            ("message" | "presence" | "iq", ns::CLIENT) => {
                self.goodbye(Some(StreamCondition::NotAuthorized)).await;
                return On::No;
            }
            _ => {}
        }
        On::Yes
    }

    /// A frame of a component's.
    async fn of_component(&mut self, frame: Frame) -> On {
        let Head::Component(name) = &self.head else {
            return On::No;
        };
        let why = match frame {
            Frame::Stanza(el) if el.ns() != ns::CLIENT => return On::Yes,
            Frame::Stanza(el) if component::proper(name, &el) => {
                self.stanza(el).await;
                return On::Yes;
            }
            Frame::Stanza(_) => Some(StreamCondition::InvalidFrom),
            Frame::Open(_) => return On::Yes,
            Frame::Close => None,
        };
        self.goodbye(why).await;
        On::No
    }

    /// A stanza of the peer's on a stream that we opened (XEP-0288).
    async fn both_ways(&mut self, el: Element) -> On {
        let Head::Out { local, remote, .. } = &self.head else {
            return On::No;
        };
        // RFC 6120 §8.1.2.2: this stream proved one pair of domains.
        let domain = |name| el.get(name).and_then(|a| Jid::new(a).ok());
        let proper = domain("from").is_some_and(|f| f.domain() == remote.as_str())
            && domain("to").is_some_and(|t| t.domain() == local.as_str());
        if !proper {
            self.goodbye(Some(StreamCondition::InvalidFrom)).await;
            return On::No;
        }
        self.stanza(el).await;
        On::Yes
    }

    fn acknowledged(&mut self, h: Option<u32>) -> On {
        self.owed = None;
        let fine = match (&mut self.unacked, h) {
            (Some(unacked), Some(h)) => unacked.acked(h).is_ok(),
            _ => true,
        };
        if !fine {
            tracing::warn!(
                protocol = "xmpp",
                "another server acknowledged more than it was sent"
            );
        }
        if fine { On::Yes } else { On::No }
    }

    async fn stanza(&mut self, el: Element) {
        let token = self.tally.take();
        if let Some(server) = self.federation.server() {
            route::stanza(&self.federation, &server, el, token).await;
        }
    }

    /// Does what an incoming stream's machine asks for.
    async fn follow(
        &mut self,
        step: incoming::Step,
        client: &mut Option<Client>,
        verdicts: &mpsc::Sender<Verdict>,
    ) -> On {
        let Head::In(machine) = &mut self.head else {
            return On::No;
        };
        if let Some(link) = &mut self.link {
            for piece in machine.take_output() {
                if link.queue(piece).is_err() {
                    return On::No;
                }
            }
        }
        match step {
            incoming::Step::Go => {
                if let Some((local, remote, both_ways)) = machine.sasl_pair()
                    && self.proven(&local, &remote, both_ways)
                {
                    self.held = Some(Instant::now() + HELD);
                }
            }
            incoming::Step::Restart => self.parser.reset(),
            incoming::Step::StartTls => return self.start_tls(client).await,
            incoming::Step::Proven {
                local,
                remote,
                both_ways,
            } => {
                self.proven(&local, &remote, both_ways);
            }
            incoming::Step::Verify { local, remote, key } => {
                let id = machine.id().clone();
                let (federation, verdicts) = (self.federation.clone(), verdicts.clone());
                tokio::spawn(async move {
                    let purpose = Purpose::Verify { id, key };
                    let asked = negotiate(&federation, &local, &remote, purpose).await;
                    let valid = match asked {
                        Ok(Outcome::Verified(valid)) => Some(valid),
                        Ok(Outcome::Ready(_)) => None,
                        Err(why) => {
                            tracing::info!(protocol = "xmpp", %remote, "a key of {remote} could not be verified: {}", why.words());
                            None
                        }
                    };
                    let _ = verdicts.send((local, remote, valid)).await;
                });
            }
            incoming::Step::Stanza(el) => {
                // Who sends stanzas has negotiated everything.
                self.held = None;
                self.stanza(el).await;
            }
            incoming::Step::Asked => self.tally.ask(),
            incoming::Step::Acknowledged(h) => return self.acknowledged(Some(h)),
            incoming::Step::Counting => {
                self.held = None;
                self.tally.reset();
                if self.unacked.is_none() && self.pipe.is_some() {
                    self.unacked = Some(Unacked::default());
                }
            }
            incoming::Step::End => {
                if let Some(link) = &mut self.link {
                    let _ = link.close().await;
                }
                return On::No;
            }
        }
        On::Yes
    }

    /// The peer proved a domain: it may say more, is alive, and may be spoken to here.
    /// True the first time.
    fn proven(&mut self, local: &Str, remote: &Str, both_ways: bool) -> bool {
        let config = self.federation.config.get();
        if !self.proved.insert((local.clone(), remote.clone())) {
            return false;
        }
        self.parser.set_limits(config.peer);
        if both_ways && let Some(peer) = self.federation.peer(local, remote) {
            let pipe = self.pipe.get_or_insert_with(Arc::default).clone();
            if peer.up(&pipe) {
                self.peers.push(peer);
            }
        }
        self.federation.lives(local, remote);
        true
    }

    async fn start_tls(&mut self, client: &mut Option<Client>) -> On {
        let (Some(client), Some(link), Head::In(machine)) =
            (client, self.link.take(), &mut self.head)
        else {
            return On::No;
        };
        if self.parser.reset_discarding() > 0 {
            return On::No;
        }
        let Ok(stream) = link.into_stream().await else {
            return On::No;
        };
        match client.start_tls(stream).await {
            Ok(stream) => {
                machine.ground.chain = client
                    .tls
                    .as_ref()
                    .map(|t| t.chain.clone())
                    .unwrap_or_default();
                machine.secured();
                self.link = Some(Link::new(stream, link_config(&self.federation)));
                On::Yes
            }
            Err(error) => {
                tracing::info!(
                    protocol = "xmpp",
                    remote = machine.claims(),
                    "no TLS with another server: {error}"
                );
                On::No
            }
        }
    }

    /// Ends our side, with an error where there is one.
    async fn goodbye(&mut self, why: Option<StreamCondition>) {
        let Some(link) = &mut self.link else { return };
        let mut out = BytesMut::new();
        if let Some(condition) = why {
            write::element(
                &mut out,
                &StreamError::new(condition).to_element(),
                Context::SERVER,
            );
        }
        // What is handled is said once more, so that the peer need not send it again.
        out.extend_from_slice(write::STREAM_CLOSE);
        let _ = link.queue(out.freeze());
        let _ = link.close().await;
    }

    /// The stream is gone: what nobody acknowledged is lost or waits on, by who sent it.
    fn over(&mut self) {
        for peer in &self.peers {
            if let Some(pipe) = &self.pipe {
                peer.ended(pipe);
            }
        }
        let mut again = self.pipe.as_ref().map(|p| p.close()).unwrap_or_default();
        let unacked = self.unacked.take().map(Unacked::lost).unwrap_or_default();
        for item in unacked
            .into_iter()
            .chain(std::mem::take(&mut self.unsure).lost())
        {
            self.federation.fail(item, &Failure::Lost);
        }
        if let Head::Component(_) = self.head {
            for item in again {
                self.federation.fail(item, &Failure::Away);
            }
            return;
        }
        // What was never written goes over the next stream.
        let remotes: HashSet<&Str> = self.peers.iter().map(|p| &p.remote).collect();
        if let (1, Some(peer)) = (remotes.len(), self.peers.first()) {
            for item in again.drain(..) {
                peer.send(&self.federation, item);
            }
        }
        for item in again {
            self.federation.fail(item, &Failure::Lost);
        }
    }
}
