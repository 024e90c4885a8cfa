//! Our people in a room on another server, which a play speaks for: who is there, what is said, what was said before.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use sammen_core::event::{Acceptance, Content, MembershipAction};
use sammen_core::history::Scope;
use sammen_core::live::{Announced, Presence, Show};
use sammen_core::network::{BoxFuture, Delivery, Network, OutboxRow, Reach};
use sammen_core::ops::rooms;
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::ops::sessions::{SignIn, SignedIn};
use sammen_core::{
    Address, Convo, Delivery as Told, Event, Message, NetworkName, Origin, Outcome, Principal,
    Protocol, Refusal, Role,
};
use sammen_xmpp::live_stanza::LiveStanza;
use sammen_xmpp::wire::{Element, Jid, ns};
use sammen_xmpp::{Server, elsewhere};
use tokio::sync::mpsc;

use crate::desk::{self, Person, account, xml};

const SQUARE: &str = "square@rooms.far.net";
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to other servers as core knows it.
#[derive(Default)]
struct Way {
    server: OnceLock<Arc<Server>>,
    out: OnceLock<mpsc::UnboundedSender<Element>>,
}

struct Port(Arc<Way>);

impl Network for Port {
    fn name(&self) -> NetworkName {
        NetworkName::new("xmpp").unwrap()
    }
    fn reach<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<Reach>> {
        Box::pin(async { None })
    }
    fn deliver<'a>(
        &'a self,
        row: &'a OutboxRow,
        event: Option<&'a Event>,
    ) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            match elsewhere::outgoing(self.0.server.get().unwrap(), row, event.unwrap()) {
                elsewhere::Out::Send(stanza) => {
                    self.0.out.get().unwrap().send(stanza).unwrap();
                    Delivery::Done
                }
                elsewhere::Out::Done(delivery) => delivery,
                elsewhere::Out::NoRoom => panic!("no room: {row:?}"),
            }
        })
    }
    fn enter<'a>(
        &'a self,
        who: &'a Address,
        room: &'a Address,
        password: Option<&'a str>,
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(elsewhere::enter(
            self.0.server.get().unwrap(),
            who,
            room,
            password,
        ))
    }
}

/// The square: a room as another server has it.
#[derive(Default)]
struct Square {
    /// Nick and full address; several addresses may share a nick.
    people: Vec<(String, String)>,
    /// Id in the archive, and the message.
    log: Vec<(String, Element)>,
    /// When each was said, and what time it is.
    stamps: Vec<String>,
    now: i64,
    /// What it answers to who wants in.
    closed: Option<&'static str>,
    /// How many more pages its archive gives; then it says nothing.
    pages: Option<usize>,
    /// Questions to its archive that wait for their answer.
    asked: Option<Vec<Element>>,
}

impl Square {
    fn presence(&self, nick: &str, to: &str, codes: &[u16]) -> String {
        let codes: String = codes
            .iter()
            .map(|c| format!("<status code='{c}'/>"))
            .collect();
        format!(
            "<presence from='{SQUARE}/{nick}' to='{to}'><x xmlns='{}'><item affiliation='none' role='participant'/>{codes}</x></presence>",
            ns::MUC_USER
        )
    }

    /// Everybody gets it, with its id; the archive keeps it without, as Prosody's does.
    fn says(&mut self, nick: &str, id: &str, inner: &str) -> Vec<Element> {
        let number = format!("sid-{}", self.log.len());
        let message = |to: &str, known: &str| {
            xml(&format!(
                "<message type='groupchat' id='{id}' from='{SQUARE}/{nick}' to='{to}'>{inner}{known}</message>"
            ))
        };
        let known = format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{SQUARE}' id='{number}'/>");
        self.log.push((number, message("x@y", "")));
        let stamp = sammen_xmpp::time::stamp(sammen_core::Timestamp(self.now));
        self.stamps.push(stamp);
        let people = self.people.iter();
        people.map(|(_, full)| message(full, &known)).collect()
    }

    fn takes(&mut self, el: &Element) -> Vec<Element> {
        let (from, to) = (el.get("from").unwrap(), el.get("to").unwrap());
        let nick = to.split_once('/').map(|(_, nick)| nick);
        let id = el.get("id").unwrap_or_default();
        match (el.name(), el.get("type")) {
            ("iq", Some("get")) if el.has("query", ns::DISCO_INFO) => vec![xml(&format!(
                "<iq type='result' id='{id}' from='{to}' to='{from}'><query xmlns='{}'><identity category='conference' type='text' name='The Square'/><feature var='{}'/></query></iq>",
                ns::DISCO_INFO,
                ns::MAM
            ))],
            ("iq", Some("set")) if el.has("query", ns::MAM) => self.archive(el, id, from, to),
            ("presence", None) => {
                let nick = nick.unwrap().to_owned();
                if let Some(condition) = self.closed {
                    return vec![xml(&format!(
                        "<presence type='error' from='{to}' to='{from}'><error type='auth'><{condition} xmlns='{}'/></error></presence>",
                        ns::STANZA_ERRORS
                    ))];
                }
                let mut out: Vec<String> = Vec::new();
                let mut shown = Vec::new();
                for (other, _) in &self.people {
                    if !shown.contains(other) && *other != nick {
                        out.push(self.presence(other, from, &[]));
                        shown.push(other.clone());
                    }
                }
                for (_, full) in &self.people {
                    out.push(self.presence(&nick, full, &[]));
                }
                self.people.push((nick.clone(), from.to_owned()));
                out.push(self.presence(&nick, from, &[110]));
                out.push(format!("<message type='groupchat' from='{SQUARE}' to='{from}'><subject>Far away</subject></message>"));
                out.iter().map(|s| xml(s)).collect()
            }
            ("presence", Some("unavailable")) => {
                let nick = nick.unwrap();
                self.people.retain(|(_, full)| full != from);
                let gone = |to: &str, code: &str| {
                    xml(&format!(
                        "<presence type='unavailable' from='{SQUARE}/{nick}' to='{to}'><x xmlns='{}'><item affiliation='none' role='none'/>{code}</x></presence>",
                        ns::MUC_USER
                    ))
                };
                let mut out = vec![gone(from, "<status code='110'/>")];
                out.extend(self.people.iter().map(|(_, full)| gone(full, "")));
                out
            }
            ("message", Some("groupchat")) => {
                let nick = self
                    .people
                    .iter()
                    .find(|(_, full)| full == from)
                    .unwrap()
                    .0
                    .clone();
                if let Some(subject) = el.find_text("subject", ns::CLIENT) {
                    let inner = format!("<subject>{subject}</subject>");
                    return self.says(&nick, id, &inner);
                }
                let body = el
                    .find_text("body", ns::CLIENT)
                    .unwrap_or_default()
                    .into_owned();
                if body == "forbidden word" {
                    return vec![xml(&format!(
                        "<message type='error' id='{id}' from='{to}' to='{from}'><error type='modify'><policy-violation xmlns='{}'/><text xmlns='{}'>mind your words</text></error></message>",
                        ns::STANZA_ERRORS,
                        ns::STANZA_ERRORS
                    ))];
                }
                let rest: String = el
                    .elements()
                    .filter(|c| c.name() != "body")
                    .map(ToString::to_string)
                    .collect();
                self.says(&nick, id, &format!("<body>{body}</body>{rest}"))
            }
            other => panic!("{other:?}: {el}"),
        }
    }

    fn archive(&mut self, el: &Element, id: &str, from: &str, to: &str) -> Vec<Element> {
        if let Some(asked) = &mut self.asked {
            asked.push(el.clone());
            return Vec::new();
        }
        if let Some(pages) = &mut self.pages {
            let Some(left) = pages.checked_sub(1) else {
                return vec![xml(&format!(
                    "<iq type='error' id='{id}' from='{to}' to='{from}'><error type='wait'><resource-constraint xmlns='{}'/></error></iq>",
                    ns::STANZA_ERRORS
                ))];
            };
            *pages = left;
        }
        let query = el.find("query", ns::MAM).unwrap();
        let set = query.find("set", ns::RSM).unwrap();
        let after = set.find_text("after", ns::RSM);
        let known = after.map(|a| self.log.iter().position(|(i, _)| *i == *a).unwrap() + 1);
        let mut out = Vec::new();
        let max: usize = set.find_text("max", ns::RSM).unwrap().parse().unwrap();
        let newest = set.has("before", ns::RSM);
        let first = match newest {
            true => self.log.len().saturating_sub(max),
            false => known.unwrap_or(0),
        };
        let page = self.log.iter().enumerate().skip(first).take(max);
        for (n, (number, message)) in page {
            let stamp = &self.stamps[n];
            out.push(xml(&format!(
                "<message from='{SQUARE}' to='{from}'><result xmlns='{}' id='{number}' queryid='{}'><forwarded xmlns='{}'><delay xmlns='{}' stamp='{stamp}'/>{message}</forwarded></result></message>",
                ns::MAM, query.get("queryid").unwrap(), ns::FORWARD, ns::DELAY
            )));
        }
        out.push(xml(&format!(
            "<iq type='result' id='{id}' from='{to}' to='{from}'><fin xmlns='{}' complete='{}'/></iq>",
            ns::MAM,
            first + max >= self.log.len()
        )));
        out
    }
}

struct Far {
    server: Arc<Server>,
    square: Arc<Mutex<Square>>,
    out: mpsc::UnboundedSender<Element>,
}

impl Far {
    async fn new() -> Self {
        let way = Arc::new(Way::default());
        let port = way.clone();
        let server = desk::node_with(move |o| o.networks.push(Arc::new(Port(port)))).await;
        let square = Arc::new(Mutex::new(Square::default()));
        let (out, mut taken) = mpsc::unbounded_channel::<Element>();
        way.server.set(server.clone()).ok();
        way.out.set(out.clone()).ok();
        let (there, here) = (square.clone(), server.clone());
        tokio::spawn(async move {
            while let Some(el) = taken.recv().await {
                let answers = there.lock().takes(&el);
                bring(&here, answers).await;
            }
        });
        let posted = out.clone();
        elsewhere::begin(&server, move |el| {
            let _ = posted.send(el.clone());
        });
        Self {
            server,
            square,
            out,
        }
    }

    /// Somebody there says something.
    async fn says(&self, nick: &str, id: &str, inner: &str) {
        let told = {
            let mut square = self.square.lock();
            square.now = self.server.node.now().0;
            square.says(nick, id, inner)
        };
        bring(&self.server, told).await;
    }

    /// An XMPP client of ours enters, as its stanza goes out.
    fn enters(&self, who: &Person, nick: &str) {
        let to = Jid::new(&format!("{SQUARE}/{nick}")).unwrap();
        let presence = xml(&format!(
            "<presence from='{}' to='{to}'><x xmlns='{}'/></presence>",
            who.client.jid,
            ns::MUC
        ));
        elsewhere::note(&who.client, &to, &presence);
        self.out.send(presence).unwrap();
    }
}

async fn bring(server: &Arc<Server>, stanzas: Vec<Element>) {
    for el in stanzas {
        let from = Jid::new(el.get("from").unwrap()).unwrap();
        elsewhere::take(server, &from, &el, Box::new(())).await;
    }
}

fn square() -> Address {
    Address::new(&format!("xmpp:{SQUARE}")).unwrap()
}

fn there(nick: &str) -> Address {
    Address::new(&format!("xmpp:{SQUARE}/{nick}")).unwrap()
}

/// Somebody of ours on IRC.
struct Irc {
    begun: SignedIn,
    me: Address,
    server: Arc<Server>,
}

impl Irc {
    async fn new(far: &Far, name: &str) -> Self {
        let how = SignIn {
            account: account(name),
            protocol: Protocol::Irc,
            device: None,
            device_label: None,
            credential: None,
            stamp: None,
            label: "irc".into(),
        };
        Self {
            begun: far.server.node.sign_in(how).await.unwrap(),
            me: account(name),
            server: far.server.clone(),
        }
    }

    async fn joins(&self) -> Outcome<Arc<Convo>> {
        let node = &self.server.node;
        let convo = node.enter_elsewhere(&self.me, &square(), None).await?;
        let (id, me, session) = (convo.id(), self.me.clone(), self.begun.session.id);
        let presence = Presence {
            show: Show::Online,
            ..Presence::default()
        };
        node.write(move |tx| rooms::enter(tx, session, &me, id, presence))
            .await?;
        Ok(convo)
    }

    fn origin(&self) -> Origin {
        Origin {
            session: Some(self.begun.session.id),
            device: None,
            inbound: None,
        }
    }

    async fn says(&self, convo: &Convo, text: &str) -> Arc<Event> {
        let content = Content::Message(Message::text(text));
        let mut out = Outgoing::new(Target::Conversation(convo.id()), content, Protocol::Irc);
        out.origin = self.origin();
        let who = Principal::Of(self.me.clone());
        let node = &self.server.node;
        let sent = node.write(move |tx| send::send(tx, &who, out)).await;
        let seq = sent.unwrap().seq;
        node.deliver_outbox().await.unwrap();
        node.store().event(seq).unwrap().unwrap()
    }

    async fn sees(&self, fits: impl Fn(&Announced) -> bool) -> Arc<Announced> {
        let look = async {
            let mut told = Vec::new();
            loop {
                self.begun.session.mailbox.receive(&mut told, 1).await;
                for delivery in told.drain(..) {
                    if let Told::Event(a) = delivery
                        && fits(&a)
                    {
                        return a;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("seen")
    }

    async fn hears(&self, text: &str) -> Arc<Announced> {
        self.sees(|a| text_of(&a.event) == Some(text)).await
    }
}

fn text_of(event: &Event) -> Option<&str> {
    match &event.content {
        Content::Message(m) => Some(&m.text),
        _ => None,
    }
}

/// What an XMPP client was handed, until something fits.
async fn handed(person: &Person, fits: impl Fn(&LiveStanza) -> bool) -> Arc<LiveStanza> {
    let look = async {
        let mut told = Vec::new();
        loop {
            let mailbox = &person.client.session.mailbox;
            mailbox.receive(&mut told, 1).await;
            for delivery in told.drain(..) {
                let Told::State(change) = delivery else {
                    continue;
                };
                if let sammen_core::live::StateChange::Custom { payload, .. } = &*change
                    && let Ok(stanza) = payload.clone().downcast::<LiveStanza>()
                    && fits(&stanza)
                {
                    return stanza;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("handed")
}

fn history(far: &Far, reader: &str) -> Vec<Arc<Event>> {
    let convo = far.server.node.room(&square()).unwrap().unwrap();
    let scope = Scope::Conversation(convo.id());
    let query = far
        .server
        .node
        .query(&account(reader), &scope, 5000)
        .unwrap();
    let page = far.server.node.store().history(&query).unwrap();
    let speech = page.events.into_iter();
    speech.filter(|e| text_of(e).is_some()).collect()
}

#[tokio::test]
async fn a_room_elsewhere_is_a_channel_with_its_people_and_its_past() {
    let far = Far::new().await;
    far.square.lock().people = vec![("carol".into(), "carol@far.net/x".into())];
    far.says("carol", "c1", "<body>before</body>").await;
    let alice = Irc::new(&far, "alice").await;
    let convo = alice.joins().await.unwrap();
    let name = &convo.conversation.settings.name;
    assert_eq!(name.as_deref(), Some("The Square"));
    let now = || far.server.node.room(&square()).unwrap().unwrap();
    assert!(now().has(&there("carol")) && now().has(&account("alice")));
    assert_eq!(now().role(&there("carol")), Role::Participant);
    // Live, both ways; ours is pending until the room says it itself.
    far.says("carol", "c2", "<body>hello</body>").await;
    let heard = alice.hears("hello").await;
    assert_eq!(heard.event.author, there("carol"));
    let said = alice.says(&convo, "hi there").await;
    assert_eq!(said.author, account("alice"));
    let taken = async {
        let store = far.server.node.store();
        while store.event(said.seq).unwrap().unwrap().acceptance != Acceptance::Accepted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.unwrap();
    far.says("carol", "c3", "<body>next</body>").await;
    alice.hears("next").await;
    let texts: Vec<_> = history(&far, "alice")
        .iter()
        .map(|e| (text_of(e).unwrap().to_owned(), e.author.clone()))
        .collect();
    let expected = [
        ("before", there("carol")),
        ("hello", there("carol")),
        ("hi there", account("alice")),
        ("next", there("carol")),
    ];
    assert_eq!(texts, expected.map(|(t, a)| (t.to_owned(), a)));
    // People come and go.
    let dave = xml(&far
        .square
        .lock()
        .presence("dave", "alice@example.org/sammen", &[]));
    bring(&far.server, vec![dave]).await;
    let joins = |who: Address, action| {
        move |a: &Announced| match &a.event.content {
            Content::Membership(m) => m.who == who && m.action == action,
            _ => false,
        }
    };
    alice
        .sees(joins(there("dave"), MembershipAction::Joined))
        .await;
    bring(&far.server, vec![xml(&format!(
        "<presence type='unavailable' from='{SQUARE}/dave' to='alice@example.org/sammen'><x xmlns='{}'><item affiliation='none' role='none'><reason>enough</reason></item><status code='307'/></x></presence>",
        ns::MUC_USER
    ))]).await;
    let out = alice
        .sees(joins(there("dave"), MembershipAction::Kicked))
        .await;
    assert!(!out.convo.has(&there("nobody")) && !now().has(&there("dave")));
    // What the room refuses, its author is told.
    let refused = alice.says(&convo, "forbidden word").await;
    let told = alice.sees(|a| a.event.target() == Some(refused.id)).await;
    assert!(text_of(&told.event).unwrap().contains("mind your words"));
    // It is ruled there.
    let (me, id, origin) = (Principal::Of(account("alice")), convo.id(), alice.origin());
    let kick = far.server.node.write(move |tx| {
        rooms::set_role(tx, &me, id, &there("carol"), Role::None, None, &origin).map(drop)
    });
    assert!(matches!(kick.await, Err(Refusal::Forbidden(_))));
    // And left.
    let (me, origin) = (account("alice"), alice.origin());
    let left = far
        .server
        .node
        .write(move |tx| rooms::leave(tx, &me, id, None, &origin));
    left.await.unwrap();
    far.server.node.deliver_outbox().await.unwrap();
    let gone = async {
        while far.square.lock().people.iter().any(|(n, _)| n == "alice") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert!(!now().has(&account("alice")));
}

#[tokio::test]
async fn copies_for_several_of_us_are_one_and_clients_get_theirs_untouched() {
    let far = Far::new().await;
    far.square.lock().people = vec![("carol".into(), "carol@far.net/x".into())];
    let alice = Irc::new(&far, "alice").await;
    alice.joins().await.unwrap();
    let bob = Person::new(&far.server, "bob", "desk", &[]).await;
    far.enters(&bob, "bobby");
    let own = handed(&bob, |s| s.from.ends_with("/bobby") && s.name == "presence").await;
    assert_eq!(own.from.as_str(), format!("{SQUARE}/bobby"));
    // Alice on IRC sees our Bob as himself, whatever the room shows to her.
    let joined = alice
        .sees(|a| match &a.event.content {
            Content::Membership(m) => m.who == account("bob"),
            _ => false,
        })
        .await;
    assert!(joined.convo.has(&account("bob")));
    let now = || far.server.node.room(&square()).unwrap().unwrap();
    assert!(!now().has(&there("bobby")), "known as ours");
    far.says(
        "carol",
        "c1",
        "<body>to all</body><thing xmlns='urn:example:x' a='1'/>",
    )
    .await;
    alice.hears("to all").await;
    let raw = handed(&bob, |s| {
        s.name == "message" && s.id.as_deref() == Some("c1")
    })
    .await;
    let text = String::from_utf8(raw.children.to_vec()).unwrap();
    assert!(
        text.contains("<thing xmlns='urn:example:x' a='1'/>")
            && text.contains(&format!("by='{SQUARE}'")),
        "{text}"
    );
    // Bob's own words, from his XMPP client.
    let said = xml(&format!(
        "<message type='groupchat' id='b1' from='{}' to='{SQUARE}'><body>from bob</body></message>",
        bob.client.jid
    ));
    far.out.send(said).unwrap();
    let heard = alice.hears("from bob").await;
    assert_eq!(heard.event.author, account("bob"));
    let count = |text: &str| {
        let all = history(&far, "alice");
        all.iter().filter(|e| text_of(e) == Some(text)).count()
    };
    assert_eq!((count("to all"), count("from bob")), (1, 1));
    // Corrected and taken back by its author, not by others.
    let sid = far.square.lock().log.last().unwrap().0.clone();
    let retract = format!(
        "<retract xmlns='{}' id='{sid}'/><body>gone</body>",
        ns::RETRACT
    );
    far.says("carol", "c9", &retract).await;
    assert_eq!(count("from bob"), 1);
    far.says("bobby", "b2", &retract).await;
    alice
        .sees(|a| matches!(a.event.content, Content::Retraction { .. }))
        .await;
    assert_eq!(count("from bob"), 0);
    // A client that is thrown out ends Bob's membership.
    bring(&far.server, vec![xml(&format!(
        "<presence type='unavailable' from='{SQUARE}/bobby' to='{}'><x xmlns='{}'><item affiliation='outcast' role='none'/><status code='301'/><status code='110'/></x></presence>",
        bob.client.jid, ns::MUC_USER
    ))]).await;
    handed(&bob, |s| s.kind.as_deref() == Some("unavailable")).await;
    assert!(!now().has(&account("bob")));
}

#[tokio::test]
async fn rooms_say_why_they_let_nobody_in_and_nobody_speaks_for_them() {
    let far = Far::new().await;
    let alice = Irc::new(&far, "alice").await;
    for (condition, refusal) in [
        ("forbidden", Refusal::Banned),
        ("registration-required", Refusal::MembersOnly),
        ("not-authorized", Refusal::PasswordRequired),
    ] {
        far.square.lock().closed = Some(condition);
        assert_eq!(alice.joins().await.err(), Some(refusal), "{condition}");
    }
    assert!(far.server.node.room(&square()).unwrap().is_none());
    far.square.lock().closed = None;
    alice.joins().await.unwrap();
    // Another room, or an occupant of none, is not taken for it.
    let forged = xml(
        "<message type='groupchat' id='f' from='square@evil.net/carol' to='alice@example.org/sammen'><body>forged</body></message>",
    );
    let from = Jid::new("square@evil.net/carol").unwrap();
    let token = elsewhere::take(&far.server, &from, &forged, Box::new(())).await;
    assert!(token.is_some());
    // Its people don't become ours by their nick.
    far.says("bob", "x", "<body>not our bob</body>").await;
    let heard = alice.hears("not our bob").await;
    assert_eq!(heard.event.author, there("bob"));
}

#[tokio::test]
async fn what_is_said_while_the_past_is_read_is_told() {
    let far = Far::new().await;
    far.says("carol", "c0", "<body>one</body>").await;
    // By her app she is a member already when she comes by IRC, for which the node takes a place.
    let app = Person::new(&far.server, "alice", "desk", &[]).await;
    far.enters(&app, "alice");
    let member = || far.server.node.room(&square()).unwrap();
    let convo = until(|| member().filter(|c| c.has(&account("alice")))).await;
    far.square.lock().asked = Some(Vec::new());
    let alice = Irc::new(&far, "alice").await;
    let (id, me, session) = (convo.id(), account("alice"), alice.begun.session.id);
    let enter = far
        .server
        .node
        .write(move |tx| rooms::enter(tx, session, &me, id, Presence::default()));
    enter.await.unwrap();
    let question = async {
        let asked = || far.square.lock().asked.as_mut().unwrap().pop();
        let question = until(asked).await;
        // The archive has it by the time it answers.
        far.says("carol", "c1", "<body>two</body>").await;
        let answers = {
            let mut square = far.square.lock();
            square.asked = None;
            square.takes(&question)
        };
        bring(&far.server, answers).await;
    };
    tokio::join!(question, async { alice.joins().await.unwrap() });
    alice.hears("two").await;
    let texts: Vec<_> = history(&far, "alice")
        .iter()
        .map(|e| text_of(e).unwrap().to_owned())
        .collect();
    assert_eq!(texts, ["one", "two"]);
}

/// Waits until there is something.
async fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let looks = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looks)
        .await
        .expect("in time")
}

#[tokio::test]
async fn what_was_missed_is_fetched_when_the_room_is_entered_again() {
    let far = Far::new().await;
    far.says("carol", "c0", "<body>one</body>").await;
    let alice = Irc::new(&far, "alice").await;
    let convo = alice.joins().await.unwrap();
    // The room restarts: it throws everyone out without meaning it, and talk goes on. What can't be kept takes nothing
    // along that comes behind it.
    far.square.lock().people.clear();
    let long = format!("<body>{}</body>", "long ".repeat(20_000));
    far.says("carol", "c0b", &long).await;
    far.says("carol", &"c".repeat(2000), "<body>two</body>")
        .await;
    bring(&far.server, vec![xml(&format!(
        "<presence type='unavailable' from='{SQUARE}/alice' to='alice@example.org/sammen'><x xmlns='{}'><item affiliation='none' role='none'/><status code='332'/><status code='110'/></x></presence>",
        ns::MUC_USER
    ))]).await;
    // It was missed, so it is told, at its time.
    alice.hears("two").await;
    let texts: Vec<_> = history(&far, "alice")
        .iter()
        .map(|e| text_of(e).unwrap().to_owned())
        .collect();
    assert_eq!(texts, ["one", "two"]);
    assert!(
        far.server
            .node
            .room(&square())
            .unwrap()
            .unwrap()
            .has(&account("alice"))
    );
    alice.says(&convo, "back").await;
    far.says("carol", "c2", "<body>welcome</body>").await;
    alice.hears("welcome").await;
}

#[tokio::test]
async fn the_past_of_a_quiet_room_is_not_told_to_who_comes_again() {
    let far = Far::new().await;
    for n in 0..120 {
        far.says("carol", &format!("c{n}"), &format!("<body>{n}</body>"))
            .await;
    }
    let alice = Irc::new(&far, "alice").await;
    alice.joins().await.unwrap();
    let bob = Irc::new(&far, "bob").await;
    bob.joins().await.unwrap();
    far.says("carol", "now", "<body>now</body>").await;
    let first = alice.sees(|a| text_of(&a.event).is_some()).await;
    assert_eq!(text_of(&first.event), Some("now"));
    assert_eq!(
        history(&far, "alice").len(),
        51,
        "the newest page and what was said"
    );
}

#[tokio::test]
async fn a_gap_is_filled_though_an_app_of_ours_came_back_first_and_the_archive_failed() {
    let far = Far::new().await;
    far.says("carol", "c0", "<body>0</body>").await;
    let alice = Irc::new(&far, "alice").await;
    alice.joins().await.unwrap();
    let bob = Person::new(&far.server, "bob", "desk", &[]).await;
    far.enters(&bob, "bobby");
    handed(&bob, |s| s.name == "presence" && s.from.ends_with("/bobby")).await;
    far.says("carol", "c1", "<body>1</body>").await;
    alice.hears("1").await;
    // The room restarts and forgets everyone; 1,200 messages are said, which is more than is fetched at a time.
    far.square.lock().people.clear();
    for n in 2..1202 {
        far.says("carol", &format!("c{n}"), &format!("<body>{n}</body>"))
            .await;
    }
    // Bob's app comes back first, and hears more; the archive fails after three pages.
    far.enters(&bob, "bobby");
    handed(&bob, |s| s.name == "presence" && s.from.ends_with("/bobby")).await;
    far.says("carol", "c1202", "<body>1202</body>").await;
    handed(&bob, |s| s.id.as_deref() == Some("c1202")).await;
    far.square.lock().pages = Some(3);
    let out = |why: u16| {
        xml(&format!(
            "<presence type='unavailable' from='{SQUARE}/alice' to='alice@example.org/sammen'><x xmlns='{}'><item affiliation='none' role='none'/><status code='{why}'/><status code='110'/></x></presence>",
            ns::MUC_USER
        ))
    };
    bring(&far.server, vec![out(332)]).await;
    let count = |reader| history(&far, reader).len();
    let grows = |least: usize| async move {
        while count("alice") < least {
            tokio::task::yield_now().await;
        }
    };
    // "1" ended the first gap, Bob's coming.
    tokio::time::timeout(PATIENCE, grows(103)).await.unwrap();
    // It answers again, and they are all there, once, in their order.
    far.square.lock().pages = None;
    bring(&far.server, vec![out(332)]).await;
    tokio::time::timeout(PATIENCE * 6, grows(1203))
        .await
        .unwrap();
    let texts: Vec<String> = history(&far, "alice")
        .iter()
        .map(|e| text_of(e).unwrap().to_owned())
        .collect();
    let all: Vec<String> = (0..1203).map(|n| n.to_string()).collect();
    assert_eq!(texts, all);
}
