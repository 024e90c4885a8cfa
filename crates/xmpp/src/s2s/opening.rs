//! Opening a stream to another server: found and reached, TLS, and what `outgoing.rs` says, until stanzas may be sent.

use std::sync::Arc;

use sammen_net::{Link, Stream, Turn};
use tokio::time::timeout;

use super::flow::link_config;
use super::outgoing::{self, Agreed, Outgoing, Purpose};
use super::pipe::Failure;
use super::{Federation, SERVICE, ascii};
use crate::wire::{Element, Str, StreamParser};

/// A stream that negotiated everything.
pub(super) struct Opened {
    pub link: Link<Stream>,
    pub parser: StreamParser,
    pub agreed: Agreed,
    /// What the peer sent before.
    pub early: Vec<Element>,
}

/// What a negotiation ends with.
pub(super) enum Outcome {
    Ready(Box<Opened>),
    Verified(bool),
}

/// Opens a stream, or asks about a key, within the time for that.
pub(super) async fn negotiate(
    federation: &Arc<Federation>,
    local: &Str,
    remote: &Str,
    purpose: Purpose,
) -> Result<Outcome, Failure> {
    let patience = federation.config.get().negotiation;
    let slow = || Failure::Unreachable(format!("{remote} took too long"));
    let work = Box::pin(negotiating(federation, local, remote, purpose));
    tokio::select! {
        done = timeout(patience, work) => done.map_err(|_| slow())?,
        () = federation.down.cancelled() => Err(Failure::Unreachable("the node goes down".into())),
    }
}

async fn negotiating(
    federation: &Arc<Federation>,
    local: &Str,
    remote: &Str,
    purpose: Purpose,
) -> Result<Outcome, Failure> {
    let name = ascii(remote);
    let ways = federation.ways.get();
    let dialed = ways.dialer.connect(&name, &SERVICE).await;
    let dialed = dialed.map_err(|error| {
        if error.is_final() {
            Failure::NoServer(error.to_string())
        } else {
            Failure::Unreachable(error.to_string())
        }
    })?;
    let broke = |e: &dyn std::fmt::Display| Failure::Unreachable(format!("{remote}: {e}"));
    let mut machine = Outgoing::new(
        federation.config.get(),
        federation.secret.clone(),
        local.clone(),
        remote.clone(),
        purpose,
    );
    let config = link_config(federation);
    let mut link = if dialed.direct_tls {
        let secured = ways.tls.handshake(dialed.stream, &name, true);
        let (stream, shown) = secured.await.map_err(|e| broke(&e))?;
        machine.secured(federation.proves(&shown.chain, remote));
        Link::new(stream, config)
    } else {
        machine.open();
        Link::new(Stream::Plain(dialed.stream), config)
    };
    let mut parser = StreamParser::new(federation.config.get().stranger).between_servers();
    loop {
        for piece in machine.take_output() {
            link.queue(piece).map_err(|e| broke(&e))?;
        }
        let Some(frame) = parser.next_frame().map_err(|e| broke(&e))? else {
            match link.turn().await.map_err(|e| broke(&e))? {
                Turn::Input => {
                    parser.feed(&link.input);
                    link.input.clear();
                }
                Turn::Room => {}
                Turn::Closed => return Err(broke(&"the connection was closed")),
            }
            continue;
        };
        match machine.frame(frame) {
            outgoing::Step::Go => {}
            outgoing::Step::Restart => parser.reset(),
            outgoing::Step::StartTls => {
                // RFC 6120 §5.4.3.3: what came in clear behind the answer is somebody else's.
                if parser.reset_discarding() > 0 {
                    return Err(broke(&"bytes in clear before TLS"));
                }
                let stream = link.into_stream().await.map_err(|e| broke(&e))?;
                let Stream::Plain(tcp) = stream else {
                    return Err(broke(&"TLS twice"));
                };
                let secured = ways.tls.handshake(tcp, &name, false);
                let (stream, shown) = secured.await.map_err(|e| broke(&e))?;
                machine.secured(federation.proves(&shown.chain, remote));
                link = Link::new(stream, config);
            }
            outgoing::Step::Ready(agreed) => {
                parser.set_limits(federation.config.get().peer);
                return Ok(Outcome::Ready(Box::new(Opened {
                    link,
                    parser,
                    agreed,
                    early: machine.take_early(),
                })));
            }
            outgoing::Step::Verified(valid) => {
                for piece in machine.take_output() {
                    let _ = link.queue(piece);
                }
                let _ = link.flush().await;
                return Ok(Outcome::Verified(valid));
            }
            outgoing::Step::Failed(why) => {
                for piece in machine.take_output() {
                    let _ = link.queue(piece);
                }
                let _ = link.flush().await;
                return Err(why);
            }
        }
    }
}
