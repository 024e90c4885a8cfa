//! Conversations of core as rooms of Matrix.

use std::sync::Arc;

use sammen_core::conversation::Settings;
use sammen_core::event::{Relation, RelationKind};
use sammen_core::memory::MemoryStore;
use sammen_core::ops::rooms;
use sammen_core::ops::send::{Outgoing, Target, send};
use sammen_core::principal::Origin;
use sammen_core::{
    Address, Content, ConversationId, EventId, Message, Principal, Protocol, Role, Sent, Standing,
};
use sammen_matrix::chain::{Direction, Room};

use crate::house::{House, address};
use crate::verify;

impl House {
    /// Somebody says something, in the way of another protocol.
    pub async fn says(&self, who: &str, to: Target, content: Content) -> Sent {
        self.says_about(who, to, content, None).await
    }

    pub async fn says_about(
        &self,
        who: &str,
        to: Target,
        content: Content,
        about: Option<(RelationKind, EventId)>,
    ) -> Sent {
        let who = Principal::Of(address(who));
        let mut out = Outgoing::new(to, content, Protocol::Irc);
        out.relation = about.map(|(kind, target)| Relation {
            kind,
            target: Some(target),
            foreign: None,
        });
        let sent = self.matrix.node.write(move |tx| send(tx, &who, out)).await;
        sent.unwrap()
    }

    /// A room that an IRC client made.
    pub async fn town(&self, owner: &str, settings: Settings) -> ConversationId {
        let who = Principal::Of(address(owner));
        let room = Address::new("#town@example.org").unwrap();
        let node = &self.matrix.node;
        let made = node
            .write(move |tx| rooms::create(tx, &who, &room, settings, None, &Origin::default()));
        made.await.unwrap().id()
    }

    pub async fn joins(&self, who: &str, room: ConversationId) {
        let who = address(who);
        let node = &self.matrix.node;
        let joined = node.write(move |tx| {
            rooms::join(tx, &who, room, None, None, &|_| false, &Origin::default())
        });
        joined.await.unwrap();
    }

    pub async fn room(&self, conversation: ConversationId) -> Arc<Room> {
        self.matrix.rooms.open(conversation).await.unwrap()
    }
}

pub fn text(text: &str) -> Content {
    Content::Message(Message::text(text))
}

#[tokio::test]
async fn a_direct_conversation_is_a_room_of_both_with_all_its_history() {
    let house = House::new().await;
    let bob = Target::Direct(address("bob"));
    let first = house.says("alice", bob.clone(), text("hi")).await;
    let edit = Content::Edit(Message::text("hello"));
    let about = Some((RelationKind::Edit, first.id));
    house.says_about("alice", bob, edit, about).await;
    let places = house
        .matrix
        .rooms
        .of_account(&address("bob"))
        .await
        .unwrap();
    assert_eq!(places.len(), 1);
    let room = places[0].room.clone();
    assert_eq!(places[0].membership.as_str(), "join");
    let pdus = verify::whole(&house, &room, 0).await;
    let said: Vec<_> = pdus
        .iter()
        .filter(|p| p.kind.to_string() == "m.room.message")
        .collect();
    assert_eq!(said[0].says("body"), "hi");
    assert_eq!(
        said[1].says("m.relates_to")["event_id"],
        said[0].id.as_str()
    );
    assert_eq!(said[1].says("m.new_content")["body"], "hello");
    // What comes later comes after it.
    let alice = Target::Direct(address("alice"));
    let last = house.says("bob", alice.clone(), text("oh")).await;
    let yes = Content::Reaction {
        keys: vec!["👍".into(), "🎉".into()],
    };
    house
        .says_about("alice", alice.clone(), text("to myself"), None)
        .await;
    let to_bob = Target::Direct(address("bob"));
    let about = Some((RelationKind::Reaction, last.id));
    house.says_about("alice", to_bob.clone(), yes, about).await;
    let less = Content::Reaction {
        keys: vec!["🎉".into()],
    };
    house.says_about("alice", to_bob, less, about).await;
    let taken = Content::Retraction { reason: None };
    let about = Some((RelationKind::Retraction, last.id));
    house.says_about("bob", alice, taken, about).await;
    house.room(room.conversation).await;
    let pdus = verify::whole(&house, &room, 2).await;
    let kinds: Vec<_> = pdus
        .iter()
        .rev()
        .take(5)
        .map(|p| p.kind.to_string())
        .collect();
    assert_eq!(
        kinds,
        [
            "m.room.redaction",
            "m.room.redaction",
            "m.reaction",
            "m.reaction",
            "m.room.message",
        ]
    );
}

#[tokio::test]
async fn a_room_made_on_irc_is_there_with_its_people_ranks_and_topic() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    let here = Target::Conversation(town);
    house.joins("bob", town).await;
    house.says("bob", here.clone(), text("one")).await;
    let node = &house.matrix.node;
    let set = node.write(move |tx| {
        let alice = Principal::Of(address("alice"));
        let origin = Origin::default();
        rooms::set_topic(tx, &alice, town, "A topic", None, &origin)?;
        rooms::set_role(
            tx,
            &alice,
            town,
            &address("bob"),
            Role::Moderator,
            None,
            &origin,
        )
    });
    set.await.unwrap();
    let room = house.room(town).await;
    verify::whole(&house, &room, 0).await;
    house.joins("carol", town).await;
    house.says("carol", here.clone(), text("two")).await;
    let set = node.write(move |tx| {
        let alice = Principal::Of(address("alice"));
        let origin = Origin::default();
        rooms::set_standing(
            tx,
            &alice,
            town,
            &address("bob"),
            Standing::Admin,
            None,
            &origin,
        )?;
        rooms::set_role(
            tx,
            &alice,
            town,
            &address("carol"),
            Role::None,
            Some("out".into()),
            &origin,
        )?;
        rooms::configure(
            tx,
            &alice,
            town,
            |s| {
                s.name = Some("Town".into());
                s.moderated = true;
                Ok(())
            },
            &origin,
        )
    });
    set.await.unwrap();
    house.room(town).await;
    let pdus = verify::whole(&house, &room, 0).await;
    let state = room.state();
    assert_eq!(state.text("m.room.topic", "topic").unwrap(), "A topic");
    assert_eq!(state.text("m.room.name", "name").unwrap(), "Town");
    assert_eq!(
        state.text("m.room.canonical_alias", "alias").unwrap(),
        "#town:example.org"
    );
    let levels: serde_json::Value = state.content("m.room.power_levels", "").unwrap();
    assert_eq!(levels["users"]["@alice:example.org"], 100);
    assert_eq!(levels["users"]["@bob:example.org"], 75);
    assert_eq!(levels["events_default"], 1);
    let carol = ruma::UserId::parse("@carol:example.org").unwrap();
    assert_eq!(state.membership(&carol).as_str(), "leave");
    let kick = state.get("m.room.member", carol.as_str()).unwrap();
    assert_eq!(kick.sender, "@alice:example.org");
    let said = pdus
        .iter()
        .filter(|p| p.kind.to_string() == "m.room.message");
    assert_eq!(said.count(), 2);
    // The state of then.
    let early = room.state_at(kick.ordinal - 1).unwrap();
    assert_eq!(early.membership(&carol).as_str(), "join");
    assert_eq!(
        room.ordinal_at(room.head().seq).unwrap(),
        room.head().ordinal
    );
    assert_eq!(room.ordinal_at(kick.seq).unwrap(), kick.ordinal);
}

/// A life of a node: everything it does ends with it, and the store is free again.
fn life<T>(store: &Arc<MemoryStore>, play: impl AsyncFnOnce(&House) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let seen = runtime.block_on(async {
        let house = House::on(store.clone(), |_| {}).await;
        play(&house).await
    });
    drop(runtime);
    // What was handed to the writer is this life's.
    while Arc::strong_count(store) > 1 {
        std::thread::yield_now();
    }
    seen
}

#[test]
fn a_node_that_dies_between_two_steps_writes_each_event_once() {
    let store = Arc::new(MemoryStore::new());
    let mut said = Vec::new();
    let town = life(&store, async |house| {
        let town = house.town("alice", Settings::default()).await;
        for n in 0..250 {
            let words = format!("early {n}");
            let here = Target::Conversation(town);
            house.says("alice", here, text(&words)).await;
            said.push(words);
        }
        town
    });
    // Each life begins the chain or goes on with it, is cut short somewhere, and leaves the rest to the next.
    let mut ids: Vec<ruma::OwnedEventId> = Vec::new();
    for n in 0..6 {
        life(&store, async |house| {
            if let Some(room) = house.matrix.rooms.of(town).unwrap() {
                let links = room.links(1..=u64::MAX, Direction::Forward, 10_000);
                let now: Vec<_> = links.unwrap().iter().map(|l| l.id.clone()).collect();
                assert!(now.starts_with(&ids), "what was written stays");
                ids = now;
            }
            let words = format!("life {n}");
            let here = Target::Conversation(town);
            house.says("alice", here, text(&words)).await;
            said.push(words);
            let rooms = house.matrix.rooms.clone();
            let work = tokio::spawn(async move { rooms.open(town).await.map(drop) });
            for _ in 0..n * 40 {
                tokio::task::yield_now().await;
            }
            work.abort();
        });
    }
    life(&store, async |house| {
        let room = house.room(town).await;
        let pdus = verify::whole(house, &room, 0).await;
        let now: Vec<_> = pdus.iter().map(|pdu| pdu.id.clone()).collect();
        assert!(now.starts_with(&ids), "what was written stays");
        let shown: Vec<_> = pdus
            .iter()
            .filter(|pdu| pdu.kind.to_string() == "m.room.message")
            .map(|pdu| pdu.says("body").as_str().unwrap().to_owned())
            .collect();
        assert_eq!(shown, said);
    });
}

/// What each kind of app writes, and its whole room verified as another server would.
#[tokio::test]
async fn rooms_from_every_protocol_verify() {
    let house = House::new().await;
    let rich = Message {
        text: "hi bob".into(),
        html: Some("hi <b>bob</b>".into()),
        mentions: vec![address("bob")],
        thread: Some("t1".into()),
        subject: Some("About".into()),
        ..Message::default()
    };
    let sealed = Content::Encrypted {
        scheme: "OMEMO".into(),
        fallback: None,
    };
    for protocol in [
        Protocol::Xmpp,
        Protocol::Irc,
        Protocol::Web,
        Protocol::Matrix,
    ] {
        let says = |who: &'static str, to: Target, content: Content, about| {
            let mut out = Outgoing::new(to, content, protocol);
            out.relation = about;
            let who = Principal::Of(address(who));
            house.matrix.node.write(move |tx| send(tx, &who, out))
        };
        let about = |kind, sent: &Sent| {
            Some(Relation {
                kind,
                target: Some(sent.id),
                foreign: None,
            })
        };
        let bob = || Target::Direct(address("bob"));
        let first = says("alice", bob(), Content::Message(rich.clone()), None)
            .await
            .unwrap();
        let answer = Message {
            thread: Some("t1".into()),
            ..Message::text("yes")
        };
        let reply = about(RelationKind::Reply, &first);
        says(
            "bob",
            Target::Direct(address("alice")),
            Content::Message(answer),
            reply,
        )
        .await
        .unwrap();
        let edit = Content::Edit(Message::text("hi"));
        says("alice", bob(), edit, about(RelationKind::Edit, &first))
            .await
            .unwrap();
        house.room(first.conversation).await;
        let gone = Content::Retraction {
            reason: Some("typo".into()),
        };
        says(
            "alice",
            bob(),
            gone,
            about(RelationKind::Retraction, &first),
        )
        .await
        .unwrap();
    }
    let carol = Target::Direct(address("carol"));
    house.says("alice", carol, sealed).await;
    let mut rooms = house
        .matrix
        .rooms
        .of_account(&address("alice"))
        .await
        .unwrap();
    rooms.sort_by_key(|place| place.room.conversation);
    assert_eq!(rooms.len(), 2);
    let pdus = verify::whole(&house, &rooms[0].room, 8).await;
    let threaded = pdus
        .iter()
        .filter(|pdu| pdu.says("m.relates_to")["rel_type"] == "m.thread");
    assert!(threaded.count() >= 4);
    let pdus = verify::whole(&house, &rooms[1].room, 0).await;
    let notice = pdus.last().unwrap().says("body");
    assert!(notice.as_str().unwrap().contains("OMEMO"), "{notice}");
}
