//! What drives a stream: one task per connection that moves frames in, deliveries and output out.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use sammen_core::mailbox::CloseReason;
use sammen_core::{Account, ops};
use sammen_net::CancellationToken;
use sammen_net::sasl::Channel;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep_until, timeout};

use super::negotiation::{Carrier, Ground, Negotiation, Step};
use super::{lag, sm};
use crate::client::Client;
use crate::server::Server;
use crate::wire::{Element, Frame, Limits, StreamCondition, StreamError, framing, ns, write};
use crate::{deliver, feature, presence, stanza};

/// Stanzas on their way to the log; then reading pauses.
const IN_FLIGHT: usize = 512;
/// Pieces of output handed to the connection before it is looked at again.
const PIECES: usize = 32;
/// Deliveries taken from the mailbox at once.
const DELIVERIES: usize = 64;

/// What a connection gives.
pub enum Incoming {
    /// A frame.
    Frame(Frame),
    /// A sign of life without one, or room for output.
    Nothing,
}

/// Why a connection gives no more.
pub enum WireEnd {
    /// It broke, or was closed without an end of stream.
    Gone,
    /// What came violates XMPP.
    Fault(StreamError),
}

/// What carries a stream: TCP or WebSocket.
pub trait Wire: Send {
    /// The next frame; also moves output on. May be dropped at any point without loss.
    fn next(&mut self) -> impl Future<Output = Result<Incoming, WireEnd>> + Send;
    /// Queues a piece of output that was written for [`crate::wire::Context::CLIENT`].
    fn queue(&mut self, piece: Bytes);
    /// Whether more output may be queued.
    fn has_room(&mut self) -> bool;
    /// Writes all that is queued; an error when the other side does not read.
    fn flush(&mut self) -> impl Future<Output = Result<(), WireEnd>> + Send;
    /// Ends our side.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
    /// A new header comes next.
    fn restart(&mut self);
    /// Somebody signed in: other limits.
    fn widen(&mut self, limits: Limits);
    /// Does the TLS handshake.
    fn start_tls(&mut self) -> impl Future<Output = Option<Channel>> + Send;
    /// Cancelled when the node goes down.
    fn shutdown(&self) -> CancellationToken;
}

/// A client in the hands of the one task that drives it.
pub struct Driven {
    /// The client.
    pub client: Arc<Client>,
    _guard: OwnedMutexGuard<()>,
}

impl Driven {
    /// Waits until nobody else drives the client.
    pub async fn new(client: Arc<Client>) -> Self {
        let guard = client.driven.clone().lock_owned().await;
        // A call that came too late for the one who drove before is not for us.
        {
            let taken = client.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
        }
        Self {
            client,
            _guard: guard,
        }
    }
}

/// How a connection of a signed-in client ended.
enum End {
    /// The client closed its stream.
    Closed,
    /// The connection is gone; the client may come back.
    Gone,
    /// Another connection has the client now.
    Taken,
    /// The node ends the session.
    Over(CloseReason),
    /// The client broke a rule.
    Fault(StreamError),
}

/// Serves a connection from its first byte to its last.
pub async fn serve<W: Wire>(server: Arc<Server>, mut wire: W, ground: Ground) {
    let carrier = ground.carrier;
    let patience = server.config.get().login_timeout;
    let negotiated = timeout(patience, Box::pin(negotiate(&server, &mut wire, ground))).await;
    let Ok(Some(driven)) = negotiated else {
        if negotiated.is_err() {
            let error = StreamError::new(StreamCondition::ConnectionTimeout);
            last_words(&mut wire, carrier, Some(&error)).await;
        }
        return;
    };
    wire.widen(server.config.get().member);
    let client = driven.client.clone();
    let end = run(&client, &mut wire, carrier).await;
    match end {
        End::Taken => {
            let error = StreamError::new(StreamCondition::Conflict);
            drop(driven);
            last_words(&mut wire, carrier, Some(&error)).await;
        }
        End::Gone if client.resume.lock().is_some() => {
            drop(wire);
            tokio::spawn(hibernate(driven));
        }
        End::Gone => over(&driven).await,
        End::Closed => {
            over(&driven).await;
            last_words(&mut wire, carrier, None).await;
        }
        End::Fault(error) => {
            over(&driven).await;
            last_words(&mut wire, carrier, Some(&error)).await;
        }
        End::Over(why) => {
            if why == CloseReason::Shutdown {
                settle(&client).await;
                sm::checkpoint(&client).await;
                // XEP-0045 status 332: who can't resume learns that the rooms did not throw them out.
                if client.resume.lock().is_none() {
                    crate::muc::shutdown(&client);
                }
            }
            flush_out(&client, &mut wire);
            over(&driven).await;
            last_words(&mut wire, carrier, Some(&reason(why))).await;
        }
    }
}

async fn negotiate<W: Wire>(server: &Arc<Server>, wire: &mut W, ground: Ground) -> Option<Driven> {
    let mut stream = Negotiation::new(server.clone(), ground);
    let shutdown = wire.shutdown();
    loop {
        let incoming = tokio::select! {
            incoming = wire.next() => incoming,
            () = shutdown.cancelled() => {
                Err(WireEnd::Fault(StreamCondition::SystemShutdown.into()))
            }
        };
        let step = match incoming {
            Ok(Incoming::Nothing) => continue,
            Ok(Incoming::Frame(frame)) => stream.frame(frame).await,
            Err(WireEnd::Fault(error)) => stream.fail(&error),
            Err(WireEnd::Gone) => return None,
        };
        for piece in stream.take_output() {
            wire.queue(piece);
        }
        match step {
            Step::Go => {}
            Step::Restart => wire.restart(),
            Step::StartTls => {
                let channel = wire.start_tls().await?;
                stream.secured(channel);
            }
            Step::Ready(driven) => return Some(driven),
            Step::End => {
                wire.close().await;
                return None;
            }
        }
    }
}

async fn run<W: Wire>(client: &Arc<Client>, wire: &mut W, carrier: Carrier) -> End {
    let config = client.server.config.get();
    let (ping_after, ping_timeout) = (config.ping_after, config.ping_timeout);
    let shutdown = wire.shutdown();
    let mut deliveries = Vec::with_capacity(4);
    let mut heard = Instant::now();
    let mut pinged = false;
    let timer = sleep_until(heard + ping_after);
    tokio::pin!(timer);
    let _ = carrier;
    loop {
        flush_out(client, wire);
        let listens = {
            let out = client.out.lock();
            if out.overflows() {
                return End::Gone;
            }
            !out.overdue()
        };
        if !wire.has_room() {
            // A slow reader: neither its stanzas nor its mailbox are looked at until it reads on.
            tokio::select! {
                flushed = wire.flush() => if flushed.is_err() { return End::Gone },
                () = client.taken.notified() => return End::Taken,
                () = shutdown.cancelled() => return End::Over(CloseReason::Shutdown),
            }
            continue;
        }
        if listens && lag::page(client).await {
            continue;
        }
        let reads = client.inbound.lock().waiting() < IN_FLIGHT;
        tokio::select! {
            biased;
            () = client.taken.notified() => return End::Taken,
            () = client.session.mailbox.receive(&mut deliveries, DELIVERIES), if listens => {
                for delivery in deliveries.drain(..) {
                    if let Some(why) = deliver::one(client, delivery).await {
                        return End::Over(why);
                    }
                }
            }
            incoming = wire.next(), if reads => {
                heard = Instant::now();
                pinged = false;
                match incoming {
                    Ok(Incoming::Nothing) => {}
                    Ok(Incoming::Frame(Frame::Stanza(el))) => {
                        if let Err(error) = stanza::handle(client, el).await {
                            return End::Fault(error);
                        }
                    }
                    Ok(Incoming::Frame(Frame::Close)) => {
                        settle(client).await;
                        flush_out(client, wire);
                        return End::Closed;
                    }
                    Ok(Incoming::Frame(Frame::Open(_))) => {
                        return End::Fault(StreamCondition::BadFormat.into());
                    }
                    Err(WireEnd::Fault(error)) => return End::Fault(error),
                    Err(WireEnd::Gone) => return End::Gone,
                }
            }
            () = client.bell.notified() => {}
            () = shutdown.cancelled() => return End::Over(CloseReason::Shutdown),
            () = timer.as_mut() => {
                let quiet_until = heard + ping_after;
                if Instant::now() < quiet_until {
                    timer.as_mut().reset(quiet_until);
                } else if pinged {
                    return End::Gone;
                } else {
                    pinged = true;
                    stanza::ping(client);
                    timer.as_mut().reset(Instant::now() + ping_timeout);
                }
            }
        }
    }
}

fn flush_out<W: Wire>(client: &Client, wire: &mut W) {
    let mut out = client.out.lock();
    while out.is_due() && wire.has_room() {
        out.take(PIECES, |piece| wire.queue(piece));
    }
}

/// Waits until what the client sent is committed, for a few seconds at most.
pub(crate) async fn settle(client: &Arc<Client>) {
    let wait = async {
        let mut deliveries = Vec::new();
        while client.inbound.lock().waiting() > 0 {
            let mailbox = &client.session.mailbox;
            mailbox.receive(&mut deliveries, DELIVERIES).await;
            for delivery in deliveries.drain(..) {
                deliver::one(client, delivery).await;
            }
        }
    };
    let _ = timeout(Duration::from_secs(3), wait).await;
}

/// The session lives on without a connection until it is resumed, ended, or forgotten.
async fn hibernate(driven: Driven) {
    let client = driven.client.clone();
    let patience = client.server.config.get().hibernation;
    tracing::debug!(jid = %client.jid, "hibernates");
    tokio::select! {
        () = client.taken.notified() => return,
        () = tokio::time::sleep(patience) => {}
        why = client.session.mailbox.closed() => {
            if why == CloseReason::Shutdown {
                settle(&client).await;
                sm::checkpoint(&client).await;
            }
        }
    }
    over(&driven).await;
}

/// Ends the session.
async fn over(driven: &Driven) {
    let client = &driven.client;
    if client.ended.swap(true, Ordering::AcqRel) {
        return;
    }
    sm::forget(client);
    presence::leave(client).await;
    for feature in feature::FEATURES {
        if let Some(gone) = feature.gone {
            gone(client.clone()).await;
        }
    }
    let reached = client.out.lock().reached();
    let cursor = client.state.lock().cursor;
    let behind = client.lag.lock().begins().unwrap_or(cursor);
    let reached = reached.unwrap_or(cursor).min(behind);
    if let Err(why) = client.node.sign_out(&client.session).await {
        tracing::warn!(%why, "a session did not end cleanly");
    }
    // What did not reach it waits for the next client, as if it had come while nobody was there (XEP-0198 §8.2).
    let missed = |a: &Account| a.offline_since.is_some_and(|since| reached < since);
    let account = client.account.clone();
    if client
        .node
        .account(&account)
        .ok()
        .flatten()
        .is_some_and(|a| missed(&a))
    {
        let write = client.node.write(move |tx| {
            ops::accounts::change(tx, &account, |a| {
                a.offline_since = a.offline_since.map(|since| since.min(reached));
            })
        });
        let _ = write.await;
    }
}

fn reason(why: CloseReason) -> StreamError {
    use StreamCondition as C;
    match why {
        CloseReason::Replaced => C::Conflict.into(),
        // RFC 6120 §4.9.3.12: credentials are to be shown again.
        CloseReason::SignedOut => StreamError::new(C::Reset).with_text("signed out"),
        CloseReason::Killed => C::PolicyViolation.into(),
        CloseReason::Shutdown => C::SystemShutdown.into(),
        CloseReason::Failed => C::InternalServerError.into(),
    }
}

async fn last_words<W: Wire>(wire: &mut W, carrier: Carrier, error: Option<&StreamError>) {
    let mut say = |el: &Element| {
        let mut out = bytes::BytesMut::new();
        write::element(&mut out, el, crate::wire::Context::CLIENT);
        wire.queue(out.freeze());
    };
    if let Some(error) = error {
        say(&error.to_element());
    }
    match carrier {
        Carrier::Tcp => wire.queue(Bytes::from_static(write::STREAM_CLOSE)),
        Carrier::WebSocket => say(&framing::close()),
        Carrier::Bosh => {}
    }
    wire.close().await;
}

/// A piece of output as one WebSocket message (RFC 7395 §3.3.3): it declares what a stream over TCP declares once.
pub fn websocket(piece: Bytes) -> Bytes {
    let declared = |at: usize, declaration: &str| {
        let (head, tail) = piece.split_at(at);
        Bytes::from([head, declaration.as_bytes(), tail].concat())
    };
    let client = format!(" xmlns='{}'", ns::CLIENT);
    for name in ["<message", "<presence", "<iq"] {
        let follows = piece.get(name.len());
        if piece.starts_with(name.as_bytes()) && follows.is_some_and(|b| b" />".contains(b)) {
            return declared(name.len(), &client);
        }
    }
    if piece.starts_with(b"<stream:") {
        let end = piece.iter().position(|b| b" />".contains(b));
        return declared(
            end.unwrap_or(0).max(8),
            &format!(" xmlns:stream='{}'", ns::STREAM),
        );
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_messages_stand_alone() {
        for (piece, message) in [
            ("<iq id='1'/>", "<iq xmlns='jabber:client' id='1'/>"),
            ("<presence/>", "<presence xmlns='jabber:client'/>"),
            ("<message>x", "<message xmlns='jabber:client'>x"),
            (
                "<stream:features><b/>",
                "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><b/>",
            ),
            ("<r xmlns='urn:xmpp:sm:3'/>", "<r xmlns='urn:xmpp:sm:3'/>"),
        ] {
            assert_eq!(websocket(Bytes::from(piece)), message);
        }
    }
}
