//! People for plays on core itself: `alice.says(&bob, "hi").await; bob.hears("hi").await;`

use std::sync::Arc;
use std::time::Duration;

use sammen_core::conversation::Settings;
use sammen_core::live::{Announced, Presence, Show, StateChange};
use sammen_core::ops::send::{Outgoing, Target};
use sammen_core::ops::sessions::{SignIn, SignedIn};
use sammen_core::ops::{accounts, contacts, presence, rooms, send};
use sammen_core::store::Store;
use sammen_core::{
    Address, Content, Convo, Delivery, Domain, Message, Name, Node, Options, Origin, Outcome,
    Principal, Protocol, RoomName, Sent,
};

use crate::clock::TestClock;

/// The longest that a play waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node with a clock of its own.
pub struct Stage {
    /// The node.
    pub node: Node,
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// Its domain.
    pub domain: Domain,
}

impl Stage {
    /// A node on a store.
    pub fn on(store: Arc<dyn Store>) -> Self {
        Self::with(store, |_| {})
    }

    /// A node on a store, with other options.
    pub fn with(store: Arc<dyn Store>, change: impl FnOnce(&mut Options)) -> Self {
        let domain = Domain::new("example.org").expect("a domain");
        let clock = Arc::new(TestClock::default());
        let mut options = Options::new(domain.clone());
        options.clock = clock.clone();
        change(&mut options);
        let node = Node::start(store, options).expect("the node starts");
        Self {
            node,
            clock,
            domain,
        }
    }

    /// The address of an account.
    pub fn address(&self, name: &str) -> Address {
        Address::account(&self.domain, &Name::new(name).expect("a name"))
    }

    /// Someone new with an account, signed in.
    pub async fn person(&self, name: &str) -> Person {
        let (domain, name) = (self.domain.clone(), Name::new(name).expect("a name"));
        let address = Address::account(&domain, &name);
        if self.node.account(&address).expect("readable").is_none() {
            self.node
                .write(move |tx| accounts::create(tx, &domain, &name, false))
                .await
                .expect("an account");
        }
        self.signs_in(&address, "one").await
    }

    /// Another session of an account.
    pub async fn signs_in(&self, address: &Address, device: &str) -> Person {
        let how = SignIn {
            account: address.clone(),
            protocol: Protocol::Node,
            device: Some(device.into()),
            device_label: None,
            credential: None,
            stamp: None,
            label: device.into(),
        };
        let signed_in = self.node.sign_in(how).await.expect("signs in");
        let person = Person {
            node: self.node.clone(),
            address: address.clone(),
            signed_in,
            queue: Vec::new(),
        };
        person.shows(Show::Online).await;
        person
    }

    /// A room that someone makes.
    pub async fn room(&self, owner: &Person, name: &str, settings: Settings) -> Arc<Convo> {
        let room = Address::room(&self.domain, &RoomName::new(name).expect("a room's name"));
        let who = Principal::from(&owner.address);
        let origin = owner.origin();
        let convo = self
            .node
            .write(move |tx| rooms::create(tx, &who, &room, settings, None, &origin))
            .await
            .expect("a room");
        owner.enters(&convo).await.expect("the owner enters");
        convo
    }
}

/// Someone with one session.
pub struct Person {
    /// Their node.
    pub node: Node,
    /// Their address.
    pub address: Address,
    /// Their session.
    pub signed_in: SignedIn,
    queue: Vec<Delivery>,
}

impl Person {
    /// Where their writes come from.
    pub fn origin(&self) -> Origin {
        Origin {
            session: Some(self.signed_in.session.id),
            device: Some(self.signed_in.device.id),
            inbound: None,
        }
    }

    /// Sends anything.
    pub async fn sends(&self, mut out: Outgoing) -> Outcome<Sent> {
        out.origin = self.origin();
        let who = Principal::from(&self.address);
        self.node.write(move |tx| send::send(tx, &who, out)).await
    }

    /// Writes to someone.
    pub async fn says(&self, to: &Person, text: &str) -> Outcome<Sent> {
        self.says_to(Target::Direct(to.address.clone()), text).await
    }

    /// Writes somewhere.
    pub async fn says_to(&self, to: Target, text: &str) -> Outcome<Sent> {
        self.sends(Outgoing::new(
            to,
            Content::Message(Message::text(text)),
            Protocol::Node,
        ))
        .await
    }

    /// Writes in a room.
    pub async fn says_in(&self, room: &Convo, text: &str) -> Outcome<Sent> {
        self.says_to(Target::Conversation(room.id()), text).await
    }

    /// Comes into a room: as a member, and with this session.
    pub async fn joins(&self, room: &Convo) -> Outcome<()> {
        let (id, who, origin) = (room.id(), self.address.clone(), self.origin());
        self.node
            .write(move |tx| rooms::join(tx, &who, id, None, None, &|_| false, &origin))
            .await?;
        self.enters(room).await
    }

    /// This session comes into a room of which the account is a member.
    pub async fn enters(&self, room: &Convo) -> Outcome<()> {
        let (id, who, session) = (room.id(), self.address.clone(), self.signed_in.session.id);
        let here = Presence {
            show: Show::Online,
            ..Presence::default()
        };
        self.node
            .write(move |tx| rooms::enter(tx, session, &who, id, here))
            .await
            .map(drop)
    }

    /// Leaves a room for good.
    pub async fn leaves(&self, room: &Convo) -> Outcome<()> {
        let (id, who, origin) = (room.id(), self.address.clone(), self.origin());
        self.node
            .write(move |tx| rooms::leave(tx, &who, id, None, &origin))
            .await
            .map(drop)
    }

    /// Shows presence.
    pub async fn shows(&self, show: Show) {
        let (session, account) = (self.signed_in.session.id, self.address.clone());
        let shown = Presence {
            show,
            ..Presence::default()
        };
        self.node
            .write(move |tx| presence::set(tx, session, &account, shown))
            .await
            .expect("presence is set");
    }

    /// Asks to see someone's presence.
    pub async fn asks(&self, whom: &Person) {
        let (me, them) = (self.address.clone(), whom.address.clone());
        self.node
            .write(move |tx| contacts::ask(tx, &me, &them, Vec::new()))
            .await
            .expect("asks");
    }

    /// Lets someone see their presence.
    pub async fn allows(&self, whom: &Person) {
        let (me, them) = (self.address.clone(), whom.address.clone());
        self.node
            .write(move |tx| contacts::allow(tx, &me, &them))
            .await
            .expect("allows");
    }

    /// Blocks someone, or ends that.
    pub async fn blocks(&self, whom: &Person, blocked: bool) {
        let (me, them) = (self.address.clone(), whom.address.clone());
        self.node
            .write(move |tx| contacts::block(tx, &me, &them, blocked))
            .await
            .expect("blocks");
    }

    /// The next delivery.
    pub async fn next(&mut self) -> Delivery {
        if self.queue.is_empty() {
            let receive = self.signed_in.session.mailbox.receive(&mut self.queue, 64);
            tokio::time::timeout(PATIENCE, receive)
                .await
                .expect("a delivery comes");
        }
        self.queue.remove(0)
    }

    /// What waits now.
    pub fn waiting(&mut self) -> Vec<Delivery> {
        self.signed_in
            .session
            .mailbox
            .take(&mut self.queue, usize::MAX);
        std::mem::take(&mut self.queue)
    }

    /// Waits for an event that fits.
    pub async fn sees(&mut self, fits: impl Fn(&Announced) -> bool) -> Arc<Announced> {
        loop {
            match self.next().await {
                Delivery::Event(announced) if fits(&announced) => return announced,
                _ => {}
            }
        }
    }

    /// Waits for a text.
    pub async fn hears(&mut self, text: &str) -> Arc<Announced> {
        self.sees(|a| matches!(&a.event.content, Content::Message(m) if m.text == text))
            .await
    }

    /// Waits for a state change that fits.
    pub async fn notices(&mut self, fits: impl Fn(&StateChange) -> bool) -> Arc<StateChange> {
        loop {
            match self.next().await {
                Delivery::State(change) if fits(&change) => return change,
                _ => {}
            }
        }
    }
}
