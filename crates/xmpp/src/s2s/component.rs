//! XEP-0114: components. A program of the operator's connects, proves one domain by a secret, and is then treated as that
//! domain's server: it speaks for its own people alone. While it is away, messages of this node's people for them wait in
//! the outbox; those of other servers and of other components come back with an error.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use sammen_core::setting::Setting;
use sammen_net::Secret;
use sammen_net::{CancellationToken, Connection, Link, Stream, Turn};
use tokio::time::timeout;

use super::pipe::{Failure, Item, Pipe};
use super::{Federation, flow};
use crate::avatar::sha1;
use crate::server::Server;
use crate::wire::{
    Context, Element, Frame, Str, StreamCondition, StreamError, StreamOpen, StreamParser, ns, write,
};

/// The components that may connect, and those that are there.
pub(crate) struct Components {
    known: Setting<HashMap<String, Secret>>,
    there: Mutex<HashMap<Str, Seat>>,
}

/// A component's connection.
#[derive(Clone)]
pub(super) struct Seat {
    /// What goes out on it.
    pub pipe: Arc<Pipe>,
    /// Ends it.
    pub ends: CancellationToken,
}

impl Default for Components {
    fn default() -> Self {
        Self {
            known: Setting::new(HashMap::new()),
            there: Mutex::default(),
        }
    }
}

impl Components {
    /// Other components, from now on; those that no longer may are sent away.
    pub fn set(&self, known: HashMap<String, Secret>) {
        self.there.lock().retain(|name, seat| {
            let stays = known.get(name.as_str()) == self.known.get().get(name.as_str());
            if !stays {
                seat.ends.cancel();
            }
            stays
        });
        self.known.set(known);
    }

    /// Whether a domain is a component's.
    pub fn knows(&self, domain: &str) -> bool {
        self.known.get().contains_key(domain)
    }

    /// Their domains below one of ours, in order.
    pub fn below(&self, domain: &str) -> Vec<String> {
        let known = self.known.get();
        let below = known.keys().filter(|name| {
            let parent = name.split_once('.').map(|(_, rest)| rest);
            parent == Some(domain)
        });
        let mut names: Vec<String> = below.cloned().collect();
        names.sort();
        names
    }

    /// Whether the answer to a stream id proves a name (§3).
    fn proves(&self, name: &str, id: &str, shown: &str) -> bool {
        let known = self.known.get();
        let Some(secret) = known.get(name) else {
            return false;
        };
        let right = Secret::new(sha1(format!("{id}{}", secret.expose()).as_bytes()));
        // In constant time.
        right == Secret::new(shown.trim().to_ascii_lowercase())
    }

    /// A proven connection takes the name's place: whoever has the secret is the same program, which came back.
    fn sit(&self, name: &Str, down: &CancellationToken) -> Seat {
        let seat = Seat {
            pipe: Arc::default(),
            ends: down.child_token(),
        };
        let before = self.there.lock().insert(name.clone(), seat.clone());
        if let Some(before) = before {
            before.ends.cancel();
        }
        seat
    }

    fn left(&self, name: &Str, pipe: &Arc<Pipe>) {
        let mut there = self.there.lock();
        if there.get(name).is_some_and(|s| Arc::ptr_eq(&s.pipe, pipe)) {
            there.remove(name);
        }
    }

    /// Sends to a component. Gives the item back, with why, where it does not go.
    pub fn send(&self, name: &str, item: Item, most: usize) -> Result<(), (Item, Failure)> {
        let pipe = self.there.lock().get(name).map(|seat| seat.pipe.clone());
        let Some(pipe) = pipe else {
            return Err((item, Failure::Away));
        };
        pipe.push(item, most).map_err(|(item, full)| {
            let why = if full { Failure::Busy } else { Failure::Away };
            (item, why)
        })
    }
}

/// Serves a connection of the listener for components until it ends.
pub async fn serve(server: Arc<Server>, connection: Connection) {
    let Some(federation) = server.federation.get().cloned() else {
        return;
    };
    let config = federation.config.get();
    let mut link = Link::new(connection.stream, flow::link_config(&federation));
    let mut parser = StreamParser::new(config.stranger).for_component();
    let id = format!("{:032x}", server.node.clock().random());
    let opening = open(&federation, &mut link, &mut parser, &id);
    let name = match timeout(config.negotiation, opening).await {
        Ok(Ok(name)) => name,
        Ok(Err(Some(condition))) => {
            tracing::warn!(
                protocol = "xmpp",
                peer = %connection.peer.address,
                "a component was refused: {}", condition.name()
            );
            let mut out = BytesMut::new();
            write::element(
                &mut out,
                &StreamError::new(condition).to_element(),
                Context::SERVER,
            );
            out.extend_from_slice(write::STREAM_CLOSE);
            let _ = link.queue(out.freeze());
            let _ = link.close().await;
            return;
        }
        Ok(Err(None)) | Err(_) => return,
    };
    parser.set_limits(config.peer);
    let seat = federation.components.sit(&name, &federation.down);
    tracing::info!(protocol = "xmpp", %name, "the component {name} is connected");
    federation.lives(server.domain().as_str(), &name);
    flow::component(&federation, &server, &name, link, parser, &seat).await;
    federation.components.left(&name, &seat.pipe);
    federation.visitors.unreachable(&name);
    tracing::info!(protocol = "xmpp", %name, "the component {name} is gone");
}

/// From the first byte to a proven name; otherwise what the other side is told, if anything.
async fn open(
    federation: &Federation,
    link: &mut Link<Stream>,
    parser: &mut StreamParser,
    id: &str,
) -> Result<Str, Option<StreamCondition>> {
    let mut name = None;
    loop {
        let frame = parser
            .next_frame()
            .map_err(|fault| Some(StreamError::from(fault).condition))?;
        match (frame, &name) {
            (Some(Frame::Open(open)), None) => {
                name = Some(header(federation, link, &open, id)?);
            }
            (Some(Frame::Stanza(el)), Some(name)) if el.is("handshake", ns::CLIENT) => {
                if !federation.components.proves(name, id, &el.content()) {
                    return Err(Some(StreamCondition::NotAuthorized));
                }
                let _ = link.queue(b"<handshake/>".as_slice().into());
                return Ok(name.clone());
            }
            (Some(Frame::Close), _) => return Err(None),
            (Some(_), _) => return Err(Some(StreamCondition::NotAuthorized)),
            (None, _) => match link.turn().await {
                Ok(Turn::Input) => {
                    parser.feed(&link.input);
                    link.input.clear();
                }
                Ok(Turn::Room) => {}
                Ok(Turn::Closed) | Err(_) => return Err(None),
            },
        }
    }
}

fn header(
    federation: &Federation,
    link: &mut Link<Stream>,
    open: &StreamOpen,
    id: &str,
) -> Result<Str, Option<StreamCondition>> {
    let to = open.to.clone().unwrap_or_default();
    let mut out = BytesMut::new();
    let attrs = [("from", to.as_str()), ("id", id)];
    write::stream_open(&mut out, ns::COMPONENT, &attrs);
    let _ = link.queue(out.freeze());
    if open.default_ns != ns::COMPONENT {
        return Err(Some(StreamCondition::InvalidNamespace));
    }
    if !federation.components.knows(&to) {
        return Err(Some(StreamCondition::HostUnknown));
    }
    Ok(to)
}

/// Whether a component may send this: in the name of its own domain, to somebody.
pub(super) fn proper(name: &str, el: &Element) -> bool {
    let domain = |attr| el.get(attr).and_then(|a| crate::wire::Jid::new(a).ok());
    domain("from").is_some_and(|from| from.domain() == name) && domain("to").is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn components() -> Components {
        let components = Components::default();
        let secret = |text: &str| Secret::new(text);
        components.set(HashMap::from([
            ("echo.example.org".into(), secret("s3")),
            ("far.net".into(), secret("other")),
        ]));
        components
    }

    #[test]
    fn a_component_proves_its_own_name_alone() {
        let components = components();
        let shown = sha1(b"id1s3");
        assert!(components.proves("echo.example.org", "id1", &shown));
        assert!(components.proves("echo.example.org", "id1", &shown.to_uppercase()));
        for (name, id, shown) in [
            ("echo.example.org", "id2", shown.as_str()),
            ("far.net", "id1", &shown),
            ("unknown.example.org", "id1", &shown),
            ("echo.example.org", "id1", ""),
        ] {
            assert!(!components.proves(name, id, shown), "{name} {id}");
        }
        assert_eq!(components.below("example.org"), ["echo.example.org"]);
        let from = |from: &str| {
            Element::new(ns::CLIENT, "message")
                .attr("from", from.to_owned())
                .attr("to", "alice@example.org")
        };
        assert!(proper("echo.example.org", &from("bob@echo.example.org/x")));
        assert!(!proper("echo.example.org", &from("bob@example.org")));
        assert!(!proper("echo.example.org", &from("x@a.echo.example.org")));
        assert!(!proper(
            "echo.example.org",
            &Element::new(ns::CLIENT, "message")
        ));
    }

    #[test]
    fn who_comes_back_takes_the_place_and_who_is_no_longer_known_goes() {
        let components = components();
        let (name, down) = (Str::from("echo.example.org"), CancellationToken::new());
        let first = components.sit(&name, &down);
        let second = components.sit(&name, &down);
        assert!(first.ends.is_cancelled() && !second.ends.is_cancelled());
        components.left(&name, &first.pipe);
        let item = || Item {
            bytes: bytes::Bytes::from_static(b"<message/>"),
            done: None,
            shell: None,
        };
        assert!(components.send(&name, item(), 100).is_ok());
        assert!(matches!(
            components.send("far.net", item(), 100),
            Err((_, Failure::Away))
        ));
        components.set(HashMap::new());
        assert!(second.ends.is_cancelled());
    }
}
