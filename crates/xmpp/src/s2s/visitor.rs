//! People of other servers while they do something here: each of their full addresses is a [`Client`] without a
//! connection. What they send is dealt with in order; what they are sent goes out by the stream to their server.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sammen_core::live::StateChange;
use sammen_core::{
    Address, Delivery, Device, DeviceId, NetworkName, Node, Origin, Outcome, Protocol, Timestamp,
    ops,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::config::Config;
use super::tally::Token;
use super::{Federation, network, route};
use crate::c2s::lag;
use crate::client::Client;
use crate::pep::notify::Push;
use crate::server::Server;
use crate::wire::{Condition, Element, Jid, StanzaError, Str};
use crate::{deliver, muc};

/// Stanzas that wait for one visitor; then the stream it came on waits.
const INBOX: usize = 64;
/// Rooms looked at at once.
const ROOMS: usize = 256;
/// Deliveries taken at once.
const DELIVERIES: usize = 64;
/// Who does nothing for so long, is in no room and not available to anybody here, is forgotten.
const REST: Duration = Duration::from_secs(120);

/// What reaches a visitor's task.
enum Input {
    /// From its server.
    Stanza(Element, Token),
    /// From the node, for whom it concerns.
    Push(Arc<StateChange>),
    /// Its server can't be reached.
    Unreachable,
}

/// The visitors of a node.
#[derive(Default)]
pub(crate) struct Visitors(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// By bare address: the full ones.
    people: HashMap<Str, Vec<(Str, mpsc::Sender<Input>)>>,
    /// How many each domain has here.
    domains: HashMap<Str, usize>,
    all: usize,
}

impl Table {
    /// Whether one more may come: no server and no person takes the place of all others.
    fn has_room(&self, jid: &Jid, config: &Config) -> bool {
        let of_domain = self.domains.get(jid.domain()).copied().unwrap_or(0);
        let of_person = self.people.get(jid.bare_str()).map_or(0, Vec::len);
        self.all < config.visitors
            && of_domain < config.visitors_of_domain
            && of_person < config.visitors_of_person
    }

    fn add(&mut self, jid: &Jid, inbox: mpsc::Sender<Input>) {
        let person = self.people.entry(Str::new(jid.bare_str())).or_default();
        person.push((jid.to_str(), inbox));
        *self.domains.entry(Str::new(jid.domain())).or_default() += 1;
        self.all += 1;
    }

    fn remove(&mut self, jid: &Jid, inbox: &mpsc::Sender<Input>) {
        let Some(person) = self.people.get_mut(jid.bare_str()) else {
            return;
        };
        let before = person.len();
        person.retain(|(_, known)| !known.same_channel(inbox));
        let gone = before - person.len();
        if person.is_empty() {
            self.people.remove(jid.bare_str());
        }
        self.all -= gone;
        if let Some(of_domain) = self.domains.get_mut(jid.domain()) {
            *of_domain -= gone;
            if *of_domain == 0 {
                self.domains.remove(jid.domain());
            }
        }
    }
}

/// Whose presence a visitor shares: accounts that its own presence was sent to.
#[derive(Default)]
pub(crate) struct Shares(pub Mutex<BTreeSet<Address>>);

/// The accounts that a visitor's presence was sent to.
pub(crate) fn shares(client: &Client) -> Vec<Address> {
    client.own::<Shares>().0.lock().iter().cloned().collect()
}

impl Visitors {
    /// Brings a stanza to the visitor that sent it.
    pub async fn bring(
        &self,
        federation: &Arc<Federation>,
        server: &Arc<Server>,
        from: &Jid,
        el: Element,
        token: Token,
    ) {
        let mut input = Input::Stanza(el, token);
        // A visitor that just ended is replaced by a new one.
        for _ in 0..2 {
            let Some(inbox) = self.find(federation, server, from) else {
                tracing::debug!(protocol = "xmpp", %from, "too many people of other servers are here");
                let Input::Stanza(el, _) = input else { return };
                let error = StanzaError::new(Condition::ResourceConstraint);
                if let Some(reply) = error.reply_to(&el) {
                    federation.send(&reply);
                }
                return;
            };
            match inbox.send(input).await {
                Ok(()) => return,
                Err(mpsc::error::SendError(back)) => {
                    input = back;
                    self.forget(from, &inbox);
                }
            }
        }
    }

    fn find(
        &self,
        federation: &Arc<Federation>,
        server: &Arc<Server>,
        from: &Jid,
    ) -> Option<mpsc::Sender<Input>> {
        let mut all = self.0.lock();
        let known = all.people.get(from.bare_str()).into_iter().flatten();
        for (full, inbox) in known {
            if full == from.as_str() {
                return Some(inbox.clone());
            }
        }
        if !all.has_room(from, &federation.config.get()) {
            return None;
        }
        let (inbox, received) = mpsc::channel(INBOX);
        all.add(from, inbox.clone());
        let (federation, server, from) = (federation.clone(), server.clone(), from.clone());
        let own = inbox.clone();
        tokio::spawn(async move {
            live(&federation, server, &from, received).await;
            federation.visitors.forget(&from, &own);
        });
        Some(inbox)
    }

    fn forget(&self, jid: &Jid, inbox: &mpsc::Sender<Input>) {
        self.0.lock().remove(jid, inbox);
    }

    /// Hands something to all visitors of a bare address; what they have no room for is dropped. Does not block.
    pub fn push(&self, bare: &str, change: &Arc<StateChange>) {
        for (_, inbox) in self.0.lock().people.get(bare).into_iter().flatten() {
            let _ = inbox.try_send(Input::Push(change.clone()));
        }
    }

    /// A server can't be reached: its people are no longer here.
    pub fn unreachable(&self, domain: &str) {
        let all = self.0.lock();
        for (full, inbox) in all.people.values().flatten() {
            if Jid::new(full).is_ok_and(|jid| jid.domain() == domain) {
                let _ = inbox.try_send(Input::Unreachable);
            }
        }
    }
}

/// After a start nobody of another server is in a room any more: what an earlier process could not tell is told now.
pub(crate) async fn end_ghosts(node: &Node) -> Outcome<()> {
    let mut after: Option<Address> = None;
    loop {
        let from = after.clone();
        let rooms = node
            .read(move |node| node.rooms(from.as_ref(), ROOMS))
            .await?;
        let Some(last) = rooms.last() else {
            return Ok(());
        };
        after = last.conversation.room().cloned();
        // Rooms of other servers have people of their own.
        for room in rooms.into_iter().filter(|r| r.is_ours()) {
            let elsewhere = |a: &Address| a.network() == Some(network::NAME);
            let joined = room.joined().map(|m| &m.address);
            let ghosts: Vec<Address> = joined.filter(|a| elsewhere(a)).cloned().collect();
            let id = room.id();
            for who in ghosts {
                let back = node.live(|live| {
                    live.room(id)
                        .is_some_and(|r| r.occupants.contains_key(&who))
                });
                if !back {
                    let why = Some("The room's server was down.".to_owned());
                    let left = node
                        .write(move |tx| ops::rooms::leave(tx, &who, id, why, &Origin::default()));
                    left.await?;
                }
            }
        }
    }
}

/// A visitor's life.
async fn live(
    federation: &Arc<Federation>,
    server: Arc<Server>,
    jid: &Jid,
    mut inbox: mpsc::Receiver<Input>,
) {
    let who =
        NetworkName::new(network::NAME).and_then(|name| Address::remote(&name, jid.bare_str()));
    let Ok(who) = who else { return };
    let label = jid.resource().unwrap_or_default();
    let visit = server.node.visit(who.clone(), Protocol::Xmpp, label);
    let Ok(session) = visit.await else { return };
    let device = Device {
        id: DeviceId(0),
        account: who,
        protocol: Protocol::Xmpp,
        key: String::new(),
        label: None,
        credential: None,
        cursor: server.node.last_seq(),
        inbound: 0,
        state: Vec::new(),
        generation: 0,
        created: Timestamp(0),
        seen: Timestamp(0),
    };
    let cursor = server.node.last_seq();
    let client = Client::new(server, session, Arc::new(device), jid.clone(), cursor);
    let mut deliveries = Vec::new();
    let mut last = Instant::now();
    loop {
        send(federation, &client);
        if lag::page(&client).await {
            continue;
        }
        tokio::select! {
            biased;
            () = client.session.mailbox.receive(&mut deliveries, DELIVERIES) => {
                let mut over = false;
                for delivery in deliveries.drain(..) {
                    over |= matches!(delivery, Delivery::Closed(_));
                    over |= deliver::one(&client, delivery).await.is_some();
                }
                if over {
                    break;
                }
            }
            input = inbox.recv() => match input {
                Some(Input::Stanza(el, token)) => {
                    last = Instant::now();
                    client.inbound.lock().begin_for(token);
                    route::take(&client, el).await;
                    client.inbound.lock().end();
                }
                Some(Input::Push(change)) => push(&client, &change),
                Some(Input::Unreachable) | None => break,
            },
            () = client.bell.notified() => {}
            () = federation.down.cancelled() => break,
            () = sleep_until(last + REST) => {
                let busy = client.inbound.lock().waiting() > 0
                    || client.state.lock().available
                    || !muc::rooms_of(&client).is_empty();
                if !busy {
                    break;
                }
                last = Instant::now();
            }
        }
    }
    inbox.close();
    for room in muc::rooms_of(&client) {
        route::leave(&client, &room, "This person's server can't be reached.").await;
    }
    if let Err(why) = client.node.sign_out(&client.session).await {
        tracing::warn!(%why, "a visitor did not end cleanly");
    }
}

fn push(client: &Arc<Client>, change: &StateChange) {
    if let StateChange::Custom { payload, .. } = change
        && let Some(push) = payload.downcast_ref::<Push>()
    {
        push.deliver(client);
    }
}

/// Sends out what the node has for a visitor.
fn send(federation: &Arc<Federation>, client: &Client) {
    let mut pieces: Vec<Bytes> = Vec::new();
    {
        let mut out = client.out.lock();
        while out.is_due() {
            out.take(usize::MAX, |piece| pieces.push(piece));
        }
    }
    let own = client.server.domain().as_str();
    for piece in pieces {
        let local = sender(&piece).and_then(|from| Jid::new(from).ok());
        let local = local.as_ref().map_or(own, Jid::domain);
        federation.send_bytes(local, client.jid.domain(), piece, None);
    }
}

/// The `from` of a stanza as it is written.
fn sender(stanza: &[u8]) -> Option<&str> {
    let tag = stanza.get(..memchr::memchr(b'>', stanza)?)?;
    let at = memchr::memmem::find(tag, b" from='")? + b" from='".len();
    let value = tag.get(at..)?;
    let value = value.get(..memchr::memchr(b'\'', value)?)?;
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn neither_a_person_nor_a_server_takes_all_places() {
        let config = Config {
            visitors: 4,
            visitors_of_domain: 3,
            visitors_of_person: 2,
            ..Config::default()
        };
        let mut table = Table::default();
        let mut here = Vec::new();
        for (jid, comes) in [
            ("eve@a.net/1", true),
            ("eve@a.net/2", true),
            ("eve@a.net/3", false),
            ("mallory@a.net/1", true),
            ("oscar@a.net/1", false),
            ("bob@b.net/1", true),
            ("carol@c.net/1", false),
        ] {
            let jid = Jid::new(jid).unwrap();
            assert_eq!(table.has_room(&jid, &config), comes, "{}", jid.as_str());
            if comes {
                let (inbox, _) = mpsc::channel(1);
                table.add(&jid, inbox.clone());
                here.push((jid, inbox));
            }
        }
        for (jid, inbox) in here {
            table.remove(&jid, &inbox);
            table.remove(&jid, &inbox);
        }
        assert!(table.people.is_empty() && table.domains.is_empty() && table.all == 0);
    }

    #[test]
    fn the_sender_stands_in_the_first_tag() {
        for (stanza, from) in [
            (
                "<message to='a@b' from='town@rooms.c/x'><body> from='y'</body></message>",
                Some("town@rooms.c/x"),
            ),
            ("<iq type='result' from='c' id='1'/>", Some("c")),
            ("<presence><x from='z'/></presence>", None),
        ] {
            assert_eq!(sender(stanza.as_bytes()), from);
        }
    }
}
