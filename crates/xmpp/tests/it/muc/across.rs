//! People on another protocol in a room, as XMPP clients see them.

use std::sync::Arc;

use sammen_core::convo::Convo;
use sammen_core::event::{Content, Message, MessageKind, Relation, RelationKind};
use sammen_core::live::{Presence, Show, Typing};
use sammen_core::member::Role;
use sammen_core::ops::rooms;
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::ops::sessions::{SignIn, SignedIn};
use sammen_core::{Address, EventId, Origin, Principal, Protocol, Refusal, Sent};
use sammen_xmpp::wire::ns;

use super::{MUC, TOWN, body, codes, item, rank};
use crate::people::{House, Person};

#[tokio::test]
async fn a_room_joined_on_irc_is_a_bookmark_at_once() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    let mut bob = house.signs_in("bob", "desk").await;
    bob.send("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x' ver='AAAAAAAAAAAAAAAAAAAAAAAAAAA='/></presence>")
        .await;
    let asked = bob
        .expect(|el| el.name() == "iq" && el.has("query", ns::DISCO_INFO))
        .await;
    let feature = format!("{}+notify", ns::BOOKMARKS);
    let answer = format!(
        "<iq type='result' id='{}' to='{}'><query xmlns='{}'><identity category='client' type='pc'/><feature var='{feature}'/></query></iq>",
        asked.get("id").unwrap(),
        asked.get("from").unwrap(),
        ns::DISCO_INFO
    );
    bob.send(&answer).await;
    bob.settles().await;
    let on_irc = Bob::joins(&house).await;
    let told = bob.expect(|el| el.has("event", ns::PUBSUB_EVENT)).await;
    let text = crate::people::written(&told);
    assert!(
        text.contains(&format!("<item id='{TOWN}'>")) && text.contains("autojoin='true'"),
        "{text}"
    );
    let (me, id, origin) = (on_irc.me.clone(), on_irc.town.id(), on_irc.origin());
    let left = house
        .node
        .write(move |tx| rooms::leave(tx, &me, id, None, &origin).map(drop));
    left.await.unwrap();
    let told = bob.expect(|el| el.has("event", ns::PUBSUB_EVENT)).await;
    let text = crate::people::written(&told);
    assert!(text.contains(&format!("<retract id='{TOWN}'/>")), "{text}");
}

/// Bob, on IRC only.
struct Bob {
    begun: SignedIn,
    me: Address,
    town: Arc<Convo>,
}

impl Bob {
    /// Signs in and joins the town.
    async fn joins(house: &House) -> Self {
        let me = Address::new("bob@localhost").unwrap();
        let how = SignIn {
            account: me.clone(),
            protocol: Protocol::Irc,
            device: None,
            device_label: None,
            credential: None,
            stamp: None,
            label: "irc".into(),
        };
        let begun = house.node.sign_in(how).await.unwrap();
        let town = Address::new("#town@localhost").unwrap();
        let town = house.node.room(&town).unwrap().unwrap();
        let bob = Self { begun, me, town };
        let (id, me, session, origin) = (
            bob.town.id(),
            bob.me.clone(),
            bob.begun.session.id,
            bob.origin(),
        );
        let write = house.node.write(move |tx| {
            rooms::join(tx, &me, id, None, None, &|_| false, &origin)?;
            let presence = Presence {
                show: Show::Online,
                ..Presence::default()
            };
            rooms::enter(tx, session, &me, id, presence)
        });
        write.await.unwrap();
        bob
    }

    fn origin(&self) -> Origin {
        Origin {
            session: Some(self.begun.session.id),
            ..Origin::default()
        }
    }

    async fn sends(
        &self,
        house: &House,
        content: Content,
        relation: Option<(RelationKind, EventId)>,
        to: Option<&str>,
    ) -> Result<Sent, Refusal> {
        let target = Target::Conversation(self.town.id());
        let mut out = Outgoing::new(target, content, Protocol::Irc);
        out.audience = to.map(|to| vec![Address::new(to).unwrap()]);
        out.relation = relation.map(|(kind, id)| Relation {
            kind,
            target: Some(id),
            foreign: None,
        });
        let who = Principal::from(&self.me);
        house.node.write(move |tx| send::send(tx, &who, out)).await
    }
}

fn said(text: &str) -> Content {
    Content::Message(Message::text(text))
}

async fn alice_in_town(house: &House) -> Person {
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    alice
}

fn stanza_id(el: &sammen_xmpp::wire::Element) -> EventId {
    let id = el.find("stanza-id", ns::SID).unwrap().get("id").unwrap();
    id.parse().unwrap()
}

#[tokio::test]
async fn bob_on_irc_is_an_occupant_and_reads_well() {
    let house = House::new().await;
    let mut alice = alice_in_town(&house).await;
    let bob = Bob::joins(&house).await;
    let seen = alice.sees("bob").await;
    assert_eq!(
        (seen.get("type"), rank(&seen)),
        (None, ("none", "participant"))
    );
    assert_eq!(item(&seen).get("jid"), Some("bob@localhost"));
    alice.has_nothing(|el| el.name() == "presence").await;
    bob.sends(&house, said("hi"), None, None).await.unwrap();
    let heard = alice.hears("hi").await;
    assert_eq!(
        (heard.get("from"), heard.get("type")),
        (Some("town@rooms.localhost/bob"), Some("groupchat"))
    );
    assert!(heard.has("occupant-id", ns::OCCUPANT_ID));
    let emote = Message {
        kind: MessageKind::Emote,
        ..Message::text("waves")
    };
    bob.sends(&house, Content::Message(emote), None, None)
        .await
        .unwrap();
    alice.hears("/me waves").await;
    // A reply to what alice said, a reaction, a correction, a retraction.
    alice.tells("question").await;
    let question = stanza_id(&alice.hears("question").await);
    bob.sends(
        &house,
        said("answer"),
        Some((RelationKind::Reply, question)),
        None,
    )
    .await
    .unwrap();
    let reply = alice.expect(|el| el.has("reply", ns::REPLY)).await;
    let to = reply.find("reply", ns::REPLY).unwrap();
    assert_eq!(
        (to.get("id"), to.get("to")),
        (
            Some(question.to_string().as_str()),
            Some("town@rooms.localhost/alice")
        )
    );
    assert_eq!(body(&reply), "> question\nanswer");
    let keys = vec!["🐟".to_owned()];
    bob.sends(
        &house,
        Content::Reaction { keys },
        Some((RelationKind::Reaction, question)),
        None,
    )
    .await
    .unwrap();
    let reaction = alice.expect(|el| el.has("reactions", ns::REACTIONS)).await;
    let reactions = reaction.find("reactions", ns::REACTIONS).unwrap();
    assert_eq!(reactions.get("id"), Some(question.to_string().as_str()));
    let answer = stanza_id(&reply);
    let gone = Content::Retraction { reason: None };
    bob.sends(&house, gone, Some((RelationKind::Retraction, answer)), None)
        .await
        .unwrap();
    let gone = alice.expect(|el| el.has("retract", ns::RETRACT)).await;
    assert_eq!(gone.get("from"), Some("town@rooms.localhost/bob"));
    assert_eq!(
        gone.find("retract", ns::RETRACT).unwrap().get("id"),
        Some(answer.to_string().as_str())
    );
}

#[tokio::test]
async fn bob_types_whispers_and_sets_the_topic() {
    let house = House::new().await;
    let mut alice = alice_in_town(&house).await;
    let bob = Bob::joins(&house).await;
    let (me, id, session) = (bob.me.clone(), bob.town.id(), bob.begun.session.id);
    let write = house.node.write(move |tx| {
        send::typing(
            tx,
            &me,
            &Target::Conversation(id),
            Typing::Active,
            Some(session),
            None,
        )
    });
    write.await.unwrap();
    let typing = alice.expect(|el| el.has("composing", ns::CHATSTATES)).await;
    assert_eq!(
        (typing.get("from"), typing.get("type")),
        (Some("town@rooms.localhost/bob"), Some("groupchat"))
    );
    bob.sends(&house, said("psst"), None, Some("alice@localhost"))
        .await
        .unwrap();
    let heard = alice.hears("psst").await;
    assert_eq!(heard.get("type"), Some("chat"));
    assert!(heard.has("x", ns::MUC_USER));
    // Alice makes him a moderator: he sets the topic, and takes back what she said.
    let (owner, me) = (
        Principal::from(&Address::new("alice@localhost").unwrap()),
        bob.me.clone(),
    );
    let origin = bob.origin();
    let write = house.node.write(move |tx| {
        rooms::set_role(
            tx,
            &owner,
            id,
            &me,
            Role::Moderator,
            None,
            &Origin::default(),
        )?;
        rooms::set_topic(tx, &Principal::from(&me), id, "roses", None, &origin)
    });
    write.await.unwrap();
    let topic = alice.expect(|el| el.has("subject", ns::CLIENT)).await;
    assert_eq!(topic.get("from"), Some("town@rooms.localhost/bob"));
    assert_eq!(
        topic.find_text("subject", ns::CLIENT).as_deref(),
        Some("roses")
    );
    alice.tells("rude").await;
    let rude = stanza_id(&alice.hears("rude").await);
    let reason = Some("be kind".to_owned());
    bob.sends(
        &house,
        Content::Retraction { reason },
        Some((RelationKind::Retraction, rude)),
        None,
    )
    .await
    .unwrap();
    let told = alice.expect(|el| el.has("retract", ns::RETRACT)).await;
    assert_eq!(told.get("from"), Some(TOWN), "the room itself says it");
    let retract = told.find("retract", ns::RETRACT).unwrap();
    assert_eq!(
        retract.find("moderated", ns::MODERATE).unwrap().get("by"),
        Some("town@rooms.localhost/bob")
    );
}

#[tokio::test]
async fn bob_goes_and_comes_as_presence() {
    let house = House::new().await;
    let mut alice = alice_in_town(&house).await;
    let bob = Bob::joins(&house).await;
    alice.sees("bob").await;
    // QUIT: still a member.
    house.node.sign_out(&bob.begun.session).await.unwrap();
    let away = alice.sees("bob").await;
    assert_eq!(away.find_text("show", ns::CLIENT).as_deref(), Some("away"));
    let bob = Bob::joins(&house).await;
    assert_eq!(alice.sees("bob").await.find_text("show", ns::CLIENT), None);
    // PART.
    let (me, id, origin) = (bob.me.clone(), bob.town.id(), bob.origin());
    let write = house
        .node
        .write(move |tx| rooms::leave(tx, &me, id, Some("tea".into()), &origin));
    write.await.unwrap();
    let gone = alice.sees("bob").await;
    assert_eq!(gone.get("type"), Some("unavailable"));
    assert_eq!(gone.find_text("status", ns::CLIENT).as_deref(), Some("tea"));
    // INVITE.
    let (me, origin) = (
        Principal::from(&Address::new("alice@localhost").unwrap()),
        bob.origin(),
    );
    let carol = Address::new("carol@localhost").unwrap();
    let mut train = house.arrives("carol", "train").await;
    let write = house
        .node
        .write(move |tx| rooms::invite(tx, &me, id, &carol, None, &origin));
    write.await.unwrap();
    let invited = train.expect(|el| el.has("x", ns::MUC_USER)).await;
    assert_eq!(invited.get("from"), Some(TOWN));
}

#[tokio::test]
async fn a_ban_mask_of_irc_keeps_xmpp_people_out() {
    let house = House::new().await;
    let _alice = alice_in_town(&house).await;
    let town = Address::new("#town@localhost").unwrap();
    let town = house.node.room(&town).unwrap().unwrap();
    let owner = Address::new("alice@localhost").unwrap();
    let id = town.id();
    let write = house.node.write(move |tx| {
        let by = owner.clone();
        let at = tx.now;
        let change = move |s: &mut sammen_core::Settings| {
            s.masks.push(sammen_core::conversation::Mask {
                list: 'b',
                mask: "car*!*@*".into(),
                by,
                at,
            });
            Ok(())
        };
        rooms::configure(tx, &Principal::Of(owner), id, change, &Origin::default())
    });
    write.await.unwrap();
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(carol.may_not_enter(TOWN, "x", MUC).await, "forbidden");
    let mut bob = house.arrives("bob", "home").await;
    assert_eq!(codes(&bob.joins("bob").await.own), [110]);
}
