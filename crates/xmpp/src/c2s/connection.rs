//! A stream over TCP, with STARTTLS or direct TLS, on sammen-net's link.

use std::sync::Arc;

use bytes::Bytes;
use sammen_net::sasl::Channel;
use sammen_net::{
    CancellationToken, Connection, Link, LinkConfig, LinkError, Peer, Rate, Stream, Turn,
};

use super::drive::{self, Incoming, Wire, WireEnd};
use super::negotiation::{Carrier, Ground};
use crate::config::Config;
use crate::server::Server;
use crate::wire::{Limits, StreamCondition, StreamError, StreamParser};

struct Tcp {
    link: Option<Link<Stream>>,
    config: LinkConfig,
    parser: StreamParser,
    peer: Peer,
}

/// Serves one connection of a listener until it ends.
pub async fn serve(server: Arc<Server>, connection: Connection) {
    let Connection { stream, peer } = connection;
    let ground = Ground {
        carrier: Carrier::Tcp,
        address: peer.address.ip(),
        channel: peer.channel(),
        can_start_tls: peer.can_start_tls(),
        plain_allowed: peer.plain_allowed,
    };
    let config = link_config(&server.config.get());
    let wire = Tcp {
        link: Some(Link::new(stream, config)),
        config,
        parser: StreamParser::new(server.config.get().stranger),
        peer,
    };
    drive::serve(server, wire, ground).await;
}

fn link_config(config: &Config) -> LinkConfig {
    LinkConfig {
        // Frames are taken as they come: no more than one reading ever lies there.
        max_input: 64 * 1024,
        // Half of it is for events; the other half takes the largest stanza there is.
        max_output: config.output_bytes * 2 + config.member.stanza_bytes * 8,
        write_timeout: config.write_timeout,
        bytes: Rate::UNLIMITED,
        cost: Rate {
            per_second: config.rate,
            burst: config.burst,
        },
    }
}

impl Wire for Tcp {
    async fn next(&mut self) -> Result<Incoming, WireEnd> {
        let link = self.link.as_mut().ok_or(WireEnd::Gone)?;
        match self.parser.next_frame() {
            Ok(Some(frame)) => {
                link.charge(1);
                return Ok(Incoming::Frame(frame));
            }
            Ok(None) => {}
            Err(fault) => return Err(WireEnd::Fault(fault.into())),
        }
        match link.turn().await {
            Ok(Turn::Input) => {
                self.parser.feed(&link.input);
                link.input.clear();
                match self.parser.next_frame() {
                    Ok(Some(frame)) => {
                        link.charge(1);
                        Ok(Incoming::Frame(frame))
                    }
                    Ok(None) => Ok(Incoming::Nothing),
                    Err(fault) => Err(WireEnd::Fault(fault.into())),
                }
            }
            Ok(Turn::Room) => Ok(Incoming::Nothing),
            Ok(Turn::Closed) => Err(WireEnd::Gone),
            Err(LinkError::InputFull) => Err(WireEnd::Fault(StreamError::new(
                StreamCondition::PolicyViolation,
            ))),
            Err(_) => Err(WireEnd::Gone),
        }
    }

    fn queue(&mut self, piece: Bytes) {
        if let Some(link) = &mut self.link
            && link.queue(piece).is_err()
        {
            // It reads nothing and would cost unbounded memory.
            self.link = None;
        }
    }

    fn has_room(&mut self) -> bool {
        self.link.as_mut().is_none_or(Link::has_room)
    }

    async fn flush(&mut self) -> Result<(), WireEnd> {
        let link = self.link.as_mut().ok_or(WireEnd::Gone)?;
        link.flush().await.map_err(|_| WireEnd::Gone)
    }

    async fn close(&mut self) {
        if let Some(link) = &mut self.link {
            let _ = link.close().await;
        }
    }

    fn restart(&mut self) {
        self.parser.reset();
    }

    fn widen(&mut self, limits: Limits) {
        self.parser.set_limits(limits);
    }

    async fn start_tls(&mut self) -> Option<Channel> {
        // RFC 6120 §5.4.3.3: what came in clear behind the request is somebody else's; a line's end is none's.
        let more = self.parser.next_frame();
        if !matches!(more, Ok(None)) || self.parser.reset_discarding() > 0 {
            return None;
        }
        let stream = self.link.take()?.into_stream().await.ok()?;
        let stream = self.peer.start_tls(stream).await.ok()?;
        self.link = Some(Link::new(stream, self.config));
        Some(self.peer.channel())
    }

    fn shutdown(&self) -> CancellationToken {
        self.peer.shutdown.clone()
    }
}
