//! People at a desk: signed-in clients without a connection, who ask and are told.

use std::sync::Arc;

use sammen_core::live::StateChange;
use sammen_core::memory::MemoryStore;
use sammen_core::ops::sessions::SignIn;
use sammen_core::ops::{accounts, contacts, rooms};
use sammen_core::{
    Address, Delivery, Domain, Name, Node, Options, Origin, Principal, Protocol, Settings,
};
use sammen_net::ThrottleConfig;
use sammen_net::accounts::Accounts;
use sammen_xmpp::caps::Caps;
use sammen_xmpp::iq::{Iq, Where};
use sammen_xmpp::pep::{mds, notify::Push};
use sammen_xmpp::wire::{Element, Frame, Jid, Limits, StanzaError, Str, StreamParser, ns};
use sammen_xmpp::{Client, Config, Server, address, feature};

pub const DOMAIN: &str = "example.org";

/// A node with accounts `alice`, `bob` and `carol`; bob sees alice's presence and she his.
pub async fn node() -> Arc<Server> {
    node_with(|_| {}).await
}

pub async fn node_with(change: impl FnOnce(&mut Options)) -> Arc<Server> {
    let domain = Domain::new(DOMAIN).unwrap();
    let mut options = Options::new(domain.clone());
    change(&mut options);
    let node = Node::start(Arc::new(MemoryStore::new()), options).unwrap();
    node.write(move |tx| {
        for name in ["alice", "bob", "carol"] {
            accounts::create(tx, &domain, &Name::new(name).unwrap(), true)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    befriend(&node, "alice", "bob").await;
    let accounts = Accounts::open(node.clone(), Default::default(), ThrottleConfig::default())
        .await
        .unwrap();
    Server::new(node, Config::default(), accounts)
}

/// Two who see each other's presence.
pub async fn befriend(node: &Node, a: &str, b: &str) {
    befriend_at(node, account(a).as_str(), account(b).as_str()).await;
}

/// The same, by address.
pub async fn befriend_at(node: &Node, a: &str, b: &str) {
    let (a, b) = (Address::new(a).unwrap(), Address::new(b).unwrap());
    node.write(move |tx| {
        for (one, other) in [(&a, &b), (&b, &a)] {
            contacts::set(tx, one, other, None, Vec::new())?;
            let mut contact = tx.contact(one, other)?;
            contact.sees = true;
            contact.seen = true;
            contact.accepted = true;
            tx.put_contact(one, other, contact)?;
        }
        Ok(())
    })
    .await
    .unwrap();
}

pub fn account(name: &str) -> Address {
    Address::new(&format!("{name}@{DOMAIN}")).unwrap()
}

/// A room that its maker owns.
pub async fn room(node: &Node, name: &str, owner: &str) -> Address {
    let (room, owner) = (
        Address::new(&format!("#{name}@{DOMAIN}")).unwrap(),
        account(owner),
    );
    let made = room.clone();
    node.write(move |tx| {
        let settings = Settings {
            name: Some("The Town".into()),
            ..Settings::default()
        };
        rooms::create(
            tx,
            &Principal::Of(owner),
            &made,
            settings,
            None,
            &Origin::default(),
        )
    })
    .await
    .unwrap();
    room
}

/// One signed-in client.
pub struct Person {
    pub client: Arc<Client>,
}

impl Person {
    /// Signs in; available, with these nodes in its caps.
    pub async fn new(server: &Arc<Server>, name: &str, resource: &str, notify: &[&str]) -> Self {
        let how = SignIn {
            account: account(name),
            protocol: Protocol::Xmpp,
            device: None,
            device_label: None,
            credential: None,
            stamp: None,
            label: resource.to_owned(),
        };
        let signed = server.node.sign_in(how).await.unwrap();
        let jid = Jid::new(&format!("{name}@{DOMAIN}/{resource}")).unwrap();
        let client = Client::new(
            server.clone(),
            signed.session,
            signed.device,
            jid,
            signed.seq,
        );
        let me = Self { client };
        me.client.state.lock().available = true;
        me.wants(notify).await;
        me
    }

    /// Its caps become known.
    pub async fn wants(&self, notify: &[&str]) {
        let features = notify
            .iter()
            .map(|n| Str::new(format!("{n}+notify")))
            .collect();
        self.client.state.lock().caps = Arc::new(Caps { features });
        for feature in feature::FEATURES {
            if let Some(caps) = feature.caps {
                caps(self.client.clone()).await;
            }
        }
    }

    /// Asks; `to` empty for the own account.
    pub async fn ask(
        &self,
        set: bool,
        to: &str,
        child: &str,
    ) -> Result<Option<Element>, StanzaError> {
        let to = if to.is_empty() {
            None
        } else {
            Some(Jid::new(to).unwrap())
        };
        let place = to.as_ref().map_or_else(
            || address::Place::Account(self.client.account.clone()),
            |to| self.client.server.place(to),
        );
        let at = match &place {
            address::Place::Upload => Where::Upload,
            address::Place::Account(a) if *a == self.client.account => Where::OwnAccount,
            _ => Where::OtherAccount,
        };
        let iq = Iq {
            id: "1".into(),
            from: self.client.jid.clone(),
            to,
            place,
            at,
            set,
            child: xml(child),
        };
        let handler = feature::handler(&iq).unwrap_or_else(|| panic!("nobody answers {child}"));
        (handler.handle)(self.client.clone(), iq).await
    }

    pub async fn set(&self, to: &str, child: &str) -> Result<Option<Element>, StanzaError> {
        self.ask(true, to, child).await
    }

    pub async fn get(&self, to: &str, child: &str) -> Result<Element, StanzaError> {
        Ok(self
            .ask(false, to, child)
            .await?
            .unwrap_or_else(|| Element::new(ns::CLIENT, "nothing")))
    }

    pub async fn publish(
        &self,
        node: &str,
        id: &str,
        payload: &str,
        options: &[(&str, &str)],
    ) -> Result<String, StanzaError> {
        let form = if options.is_empty() {
            String::new()
        } else {
            let x = form("http://jabber.org/protocol/pubsub#publish-options", options);
            format!("<publish-options>{x}</publish-options>")
        };
        let id = if id.is_empty() {
            String::new()
        } else {
            format!(" id='{id}'")
        };
        let request = format!(
            "<pubsub xmlns='{}'><publish node='{node}'><item{id}>{payload}</item></publish>{form}</pubsub>",
            ns::PUBSUB
        );
        let answer = self.set("", &request).await?.unwrap();
        let item = answer.first().unwrap().first().unwrap();
        Ok(item.get("id").unwrap().to_owned())
    }

    /// Items of a node: id and payload, as text.
    pub async fn items(&self, to: &str, node: &str) -> Result<Vec<(String, String)>, StanzaError> {
        let answer = self
            .get(
                to,
                &format!(
                    "<pubsub xmlns='{}'><items node='{node}'/></pubsub>",
                    ns::PUBSUB
                ),
            )
            .await?;
        let items = answer.first().unwrap().elements();
        Ok(items
            .map(|i| {
                (
                    i.get("id").unwrap().to_owned(),
                    i.first().map(ToString::to_string).unwrap_or_default(),
                )
            })
            .collect())
    }

    /// What it was told since the last call, as the text of each event's only child.
    pub fn told(&self) -> Vec<String> {
        let event = |m: &Element| m.find("event", ns::PUBSUB_EVENT)?.first().cloned();
        let heard = self.heard();
        heard
            .iter()
            .map(|m| event(m).unwrap().to_string())
            .collect()
    }

    /// The messages that it was sent since the last call.
    pub fn heard(&self) -> Vec<Element> {
        let mut deliveries = Vec::new();
        self.client
            .session
            .mailbox
            .take(&mut deliveries, usize::MAX);
        let mut told = Vec::new();
        for delivery in deliveries {
            let Delivery::State(change) = delivery else {
                continue;
            };
            let push = match &*change {
                StateChange::Custom { payload, .. } => payload.clone().downcast::<Push>().ok(),
                other => mds::push_of(&self.client, other).map(Arc::new),
            };
            let Some(message) = push.and_then(|p| p.message_for(&self.client)) else {
                continue;
            };
            assert_eq!(message.get("to"), Some(self.client.jid.as_str()));
            told.push(message);
        }
        told
    }
}

/// A submitted form.
pub fn form(form_type: &str, fields: &[(&str, &str)]) -> String {
    let field = |(var, value): &(&str, &str)| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{form_type}</value></field>{fields}</x>"
    )
}

/// An element from text, as a stream would give it.
pub fn xml(text: &str) -> Element {
    let mut parser = StreamParser::new(Limits::default());
    parser.feed(
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    );
    parser.feed(text.as_bytes());
    loop {
        match parser.next_frame().unwrap() {
            Some(Frame::Stanza(el)) => return el,
            Some(_) => {}
            None => panic!("not an element: {text}"),
        }
    }
}
