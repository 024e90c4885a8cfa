//! Somebody on another protocol, as XMPP clients see it.

use sammen_core::event::{Content, Message, MessageKind, Relation, RelationKind};
use sammen_core::live::{Presence, Show, Typing};
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::ops::sessions::{SignIn, SignedIn};
use sammen_core::ops::{self};
use sammen_core::{Address, EventId, Principal, Protocol, Refusal, Sent};
use sammen_xmpp::wire::ns;

use crate::people::House;

/// Bob, on IRC only.
struct Bob {
    begun: SignedIn,
    me: Address,
    alice: Address,
}

impl Bob {
    async fn arrives(house: &House) -> Self {
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
        let bob = Self {
            begun,
            me,
            alice: Address::new("alice@localhost").unwrap(),
        };
        bob.shows(house, Show::Online).await;
        bob
    }

    async fn shows(&self, house: &House, show: Show) {
        let (id, me) = (self.begun.session.id, self.me.clone());
        let presence = Presence {
            show,
            status: Some("on IRC".into()),
            ..Presence::default()
        };
        let write = house
            .node
            .write(move |tx| ops::presence::set(tx, id, &me, presence));
        write.await.unwrap();
    }

    async fn sends(
        &self,
        house: &House,
        content: Content,
        relation: Option<(RelationKind, EventId)>,
    ) -> Result<Sent, Refusal> {
        let to = Target::Direct(self.alice.clone());
        let mut out = Outgoing::new(to, content, Protocol::Irc);
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

#[tokio::test]
async fn what_bob_writes_on_irc_reads_well_in_xmpp() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let bob = Bob::arrives(&house).await;
    alice.says("bob@localhost", "question").await;
    alice.settles().await;
    let query = "<query xmlns='urn:xmpp:mam:2'/>";
    let archived = alice.asks("set", "", "q", query).await;
    let first = archived
        .find("fin", ns::MAM)
        .unwrap()
        .find("set", ns::RSM)
        .unwrap();
    let asked: EventId = first.find_text("first", ns::RSM).unwrap().parse().unwrap();

    let reply = Some((RelationKind::Reply, asked));
    let sent = bob.sends(&house, said("answer"), reply).await.unwrap();
    let heard = alice.hears("> question\nanswer").await;
    assert_eq!(heard.get("from"), Some("bob@localhost"));
    assert_eq!(heard.get("id"), Some(sent.id.to_string().as_str()));
    let reply = heard.find("reply", ns::REPLY).unwrap();
    assert_eq!(
        (reply.get("id"), reply.get("to")),
        (Some("m-question"), Some("alice@localhost"))
    );

    let html = Message {
        html: Some("<strong>waves</strong>".into()),
        kind: MessageKind::Emote,
        ..Message::text("waves")
    };
    bob.sends(&house, Content::Message(html), None)
        .await
        .unwrap();
    alice.hears("/me *waves*").await;

    let edit = Content::Edit(Message::text("better answer"));
    bob.sends(&house, edit, Some((RelationKind::Edit, sent.id)))
        .await
        .unwrap();
    let edited = alice.hears("better answer").await;
    let replace = edited.find("replace", ns::CORRECT).unwrap();
    assert_eq!(replace.get("id"), heard.get("id"));

    let keys = vec!["👍".to_owned()];
    let reaction = Content::Reaction { keys };
    bob.sends(&house, reaction, Some((RelationKind::Reaction, asked)))
        .await
        .unwrap();
    let reacted = alice.expect(|el| el.has("reactions", ns::REACTIONS)).await;
    let reactions = reacted.find("reactions", ns::REACTIONS).unwrap();
    assert_eq!(reactions.get("id"), Some("m-question"));

    // Alice corrects and reacts by the ids that her client knows.
    let id = sent.id;
    alice
        .send(&format!(
            "<message to='bob@localhost' type='chat' id='x'><reactions id='{id}' xmlns='urn:xmpp:reactions:0'>\
             <reaction>🙂</reaction></reactions></message>"
        ))
        .await;
    alice.settles().await;
    let relations = house.node.store().relations(sent.id, 10).unwrap();
    assert!(
        relations
            .iter()
            .any(|e| matches!(&e.content, Content::Reaction { keys } if keys == &["🙂"]))
    );

    let retraction = Content::Retraction { reason: None };
    bob.sends(
        &house,
        retraction,
        Some((RelationKind::Retraction, sent.id)),
    )
    .await
    .unwrap();
    let gone = alice.expect(|el| el.has("retract", ns::RETRACT)).await;
    assert_eq!(
        gone.find("retract", ns::RETRACT).unwrap().get("id"),
        heard.get("id")
    );

    let (me, session) = (bob.me.clone(), bob.begun.session.id);
    let to = Target::Direct(bob.alice.clone());
    let typing = move |tx: &mut sammen_core::tx::Tx<'_>| {
        send::typing(tx, &me, &to, Typing::Active, Some(session), None)
    };
    house.node.write(typing).await.unwrap();
    alice.expect(|el| el.has("composing", ns::CHATSTATES)).await;
}

#[tokio::test]
async fn once_alice_writes_encrypted_plain_text_from_irc_is_refused() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let bob = Bob::arrives(&house).await;
    bob.sends(&house, said("plain"), None).await.unwrap();
    alice.hears("plain").await;
    alice
        .send(
            "<message to='bob@localhost' type='chat' id='o'><body>no OMEMO here</body>\
             <encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>aGk=</payload></encrypted></message>",
        )
        .await;
    alice.settles().await;
    let refused = bob.sends(&house, said("plain again"), None).await;
    assert!(matches!(refused, Err(Refusal::NotAcceptable(why)) if why.contains("OMEMO")));
    // Alice's own apps are not bound by it.
    alice.says("bob@localhost", "my choice").await;
    alice
        .has_nothing(|el| el.get("type") == Some("error"))
        .await;
}

#[tokio::test]
async fn bob_on_irc_is_one_resource_that_answers() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let ask = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let bob = Bob::arrives(&house).await;
    let stranger = alice.asks("get", "bob@localhost/sammen", "1", ask).await;
    assert_eq!(
        stranger.get("type"),
        Some("error"),
        "strangers learn nothing"
    );
    alice
        .send("<presence to='bob@localhost' type='subscribe'/>")
        .await;
    alice.settles().await;
    let (me, of) = (bob.me.clone(), bob.alice.clone());
    house
        .node
        .write(move |tx| ops::contacts::allow(tx, &me, &of))
        .await
        .unwrap();
    let shown = alice
        .expect(|el| el.get("from") == Some("bob@localhost/sammen"))
        .await;
    assert_eq!(
        shown.find_text("status", ns::CLIENT).as_deref(),
        Some("on IRC")
    );
    assert!(shown.has("c", ns::CAPS));
    let info = alice.asks("get", "bob@localhost/sammen", "2", ask).await;
    let query = info.find("query", ns::DISCO_INFO).unwrap();
    assert!(query.elements().any(|f| f.get("var") == Some(ns::CORRECT)));
    assert!(
        !query
            .elements()
            .any(|f| f.get("var").is_some_and(|v| v.contains("omemo")))
    );
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    let pong = alice.asks("get", "bob@localhost/sammen", "3", ping).await;
    assert_eq!(pong.get("type"), Some("result"));
    bob.shows(&house, Show::Away).await;
    alice
        .expect(|el| el.find_text("show", ns::CLIENT).as_deref() == Some("away"))
        .await;
    house.node.sign_out(&bob.begun.session).await.unwrap();
    alice
        .expect(|el| {
            el.get("from") == Some("bob@localhost/sammen") && el.get("type") == Some("unavailable")
        })
        .await;
}
