//! RFC 6121 as tables: subscriptions (§3, appendix A) in every state on both sides, and routing (§8) of every kind of
//! stanza to every kind of address, whoever is there.

use sammen_core::Address;
use sammen_core::contact::Contact;
use sammen_xmpp::wire::{Element, ns};

use crate::people::{House, Person};

/// The nine states of A.1: who sees whom, and who asked.
const STATES: [&str; 9] = [
    "none",
    "none+out",
    "none+in",
    "none+out+in",
    "to",
    "to+in",
    "from",
    "from+out",
    "both",
];

fn contact(state: &str) -> Contact {
    Contact {
        listed: true,
        sees: state.starts_with("to") || state == "both",
        seen: state.starts_with("from") || state == "both",
        asked: state.contains("+out"),
        asks: state.contains("+in").then(Vec::new),
        ..Contact::default()
    }
}

fn state(contact: &Contact) -> String {
    let mut name = match (contact.sees, contact.seen) {
        (false, false) => "none",
        (true, false) => "to",
        (false, true) => "from",
        (true, true) => "both",
    }
    .to_owned();
    if contact.asked {
        name += "+out";
    }
    if contact.asks.is_some() {
        name += "+in";
    }
    name
}

/// A.2: what a client's stanza makes of the sender's own state, and whether it is routed to the contact.
fn outbound(kind: &str, state: &'static str) -> (&'static str, bool) {
    match (kind, state) {
        ("subscribe", "none") => ("none+out", true),
        ("subscribe", "none+in") => ("none+out+in", true),
        ("subscribe", "from") => ("from+out", true),
        ("subscribe", same) => (same, true),
        ("unsubscribe", "none+out" | "to") => ("none", true),
        ("unsubscribe", "none+out+in" | "to+in") => ("none+in", true),
        ("unsubscribe", "from+out" | "both") => ("from", true),
        ("unsubscribe", same) => (same, true),
        ("subscribed", "none+in") => ("from", true),
        ("subscribed", "none+out+in") => ("from+out", true),
        ("subscribed", "to+in") => ("both", true),
        ("subscribed", same) => (same, false),
        ("unsubscribed", "none+in" | "from") => ("none", true),
        ("unsubscribed", "none+out+in" | "from+out") => ("none+out", true),
        ("unsubscribed", "to+in" | "both") => ("to", true),
        ("unsubscribed", same) => (same, false),
        other => panic!("{other:?}"),
    }
}

/// A.3: what a stanza from the contact makes of the receiver's state, and whether clients are shown it.
fn inbound(kind: &str, state: &'static str) -> (&'static str, bool) {
    match (kind, state) {
        ("subscribe", "none") => ("none+in", true),
        ("subscribe", "none+out") => ("none+out+in", true),
        ("subscribe", "to") => ("to+in", true),
        ("subscribe", same) => (same, false),
        ("unsubscribe", "none+in" | "from") => ("none", true),
        ("unsubscribe", "none+out+in" | "from+out") => ("none+out", true),
        ("unsubscribe", "to+in" | "both") => ("to", true),
        ("unsubscribe", same) => (same, false),
        ("subscribed", "none+out") => ("to", true),
        ("subscribed", "none+out+in") => ("to+in", true),
        ("subscribed", "from+out") => ("both", true),
        ("subscribed", same) => (same, false),
        ("unsubscribed", "none+out" | "to") => ("none", true),
        ("unsubscribed", "none+out+in" | "to+in") => ("none+in", true),
        ("unsubscribed", "from+out" | "both") => ("from", true),
        ("unsubscribed", same) => (same, false),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn subscriptions_go_from_state_to_state() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    for person in [&mut alice, &mut bob] {
        person
            .asks("get", "", "r", "<query xmlns='jabber:iq:roster'/>")
            .await;
    }
    let a = Address::new("alice@localhost").unwrap();
    let b = Address::new("bob@localhost").unwrap();
    for kind in ["subscribe", "unsubscribe", "subscribed", "unsubscribed"] {
        for mine in STATES {
            for theirs in STATES {
                let what = format!("{kind}: {mine} to {theirs}");
                let (one, other) = (a.clone(), b.clone());
                house
                    .node
                    .write(move |tx| {
                        tx.put_contact(&one, &other, contact(mine))?;
                        tx.put_contact(&other, &one, contact(theirs)).map(drop)
                    })
                    .await
                    .unwrap();
                alice
                    .send(&format!("<presence to='bob@localhost' type='{kind}'/>"))
                    .await;
                alice.settles().await;
                bob.settles().await;
                let (mut expected, routed) = outbound(kind, mine);
                let (reached, shown) = match routed {
                    true => inbound(kind, theirs),
                    false => (theirs, false),
                };
                // A.3.1, note: who may see already is told so again.
                if kind == "subscribe" && contact(theirs).seen {
                    expected = inbound("subscribed", expected).0;
                }
                let now = |of: &Address, whom: &Address| {
                    let contacts = house.node.contacts(of).unwrap();
                    contacts.get(whom).map_or("none".to_owned(), state)
                };
                assert_eq!(now(&a, &b), expected, "{what}: the sender");
                assert_eq!(now(&b, &a), reached, "{what}: the receiver");
                let heard = bob.takes(|el| {
                    el.name() == "presence"
                        && el.get("from") == Some("alice@localhost")
                        && el.get("type") == Some(kind)
                });
                assert_eq!(heard.len(), usize::from(shown), "{what}: shown");
                bob.takes(|_| true);
                alice.takes(|_| true);
            }
        }
    }
}

/// Bob's clients, each with its priority; `None` for one that is connected and not available.
type There = &'static [(&'static str, Option<i8>)];

const SITUATIONS: [There; 6] = [
    &[],
    &[("one", None)],
    &[("one", Some(-1))],
    &[("one", Some(0))],
    &[("one", Some(0)), ("two", Some(5))],
    &[("one", Some(3)), ("two", Some(-5))],
];

/// The node's word for who gets a stanza of alice's: bob's clients by name, or an error.
fn expected(
    name: &str,
    kind: &str,
    to: Option<&str>,
    there: There,
) -> Result<Vec<&'static str>, &'static str> {
    let exact: Vec<&str> = there
        .iter()
        .filter(|(r, _)| Some(*r) == to)
        .map(|(r, _)| *r)
        .collect();
    let listening = |least: i8| -> Vec<&str> {
        let fits = |p: &Option<i8>| p.is_some_and(|p| p >= least);
        there
            .iter()
            .filter(|(_, p)| fits(p))
            .map(|(r, _)| *r)
            .collect()
    };
    const GONE: &str = "service-unavailable";
    match (name, kind, to) {
        // §8.5.3.1: whatever it is, the one that is named gets it.
        (_, _, Some(_)) if !exact.is_empty() => Ok(exact),
        // §8.5.3.2.
        ("iq", ..) => Err(GONE),
        ("presence", _, Some(_)) => Ok(Vec::new()),
        ("message", "groupchat", _) => Err(GONE),
        ("message", "headline" | "error", Some(_)) => Ok(Vec::new()),
        // §8.5.2: every available one for presence, those that want messages for what people wrote.
        ("presence", _, None) => Ok(listening(-128)),
        ("message", "error", None) => Ok(Vec::new()),
        ("message", ..) => Ok(listening(0)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn stanzas_find_who_is_there() {
    for there in SITUATIONS {
        let house = House::new().await;
        let mut alice = house.arrives("alice", "desk").await;
        let mut bobs: Vec<(&str, Person)> = Vec::new();
        for (resource, priority) in there {
            let mut bob = house.signs_in("bob", resource).await;
            if let Some(priority) = priority {
                bob.send(&format!(
                    "<presence><priority>{priority}</priority></presence>"
                ))
                .await;
            }
            bob.settles().await;
            bobs.push((resource, bob));
        }
        let kinds = [
            ("message", "normal"),
            ("message", "chat"),
            ("message", "groupchat"),
            ("message", "headline"),
            ("message", "error"),
            ("presence", ""),
            ("presence", "unavailable"),
            ("iq", "get"),
            ("iq", "set"),
        ];
        for (name, kind) in kinds {
            for to in [None, Some("one"), Some("two"), Some("nowhere")] {
                let id = format!("{name}-{kind}-{}", to.unwrap_or("bare"));
                let address =
                    to.map_or("bob@localhost".to_owned(), |r| format!("bob@localhost/{r}"));
                let kind_of = match kind {
                    "" => String::new(),
                    kind => format!(" type='{kind}'"),
                };
                let child = match name {
                    "message" => "<body>x</body>",
                    "iq" => "<query xmlns='urn:example:unknown'/>",
                    _ => "",
                };
                if name == "presence" && kind == "unavailable" {
                    // Who was never seen can't go.
                    alice.send(&format!("<presence to='{address}'/>")).await;
                }
                alice
                    .send(&format!(
                        "<{name} to='{address}' id='{id}'{kind_of}>{child}</{name}>"
                    ))
                    .await;
                // A write goes the way of a message; the ping waits for what the writer says.
                let contact =
                    "<query xmlns='jabber:iq:roster'><item jid='carol@localhost'/></query>";
                alice.asks("set", "", "w", contact).await;
                alice.settles().await;
                let mine = |el: &Element| el.get("id") == Some(&*id);
                let mut got = Vec::new();
                for (resource, bob) in &mut bobs {
                    bob.settles().await;
                    let heard = bob.takes(mine);
                    assert!(heard.len() < 2, "{id}: {heard:?}");
                    if !heard.is_empty() {
                        got.push(*resource);
                    }
                }
                let refused = alice.takes(|el| mine(el) && el.get("type") == Some("error"));
                let condition = refused.first().map(|el| {
                    let error = el.find("error", ns::CLIENT).unwrap();
                    error.first().unwrap().name().to_owned()
                });
                match expected(name, kind, to, there) {
                    Ok(who) => {
                        assert_eq!(got, who, "{id} with {there:?}");
                        assert_eq!(condition, None, "{id} with {there:?}");
                    }
                    Err(error) => {
                        assert_eq!(condition.as_deref(), Some(error), "{id} with {there:?}");
                        assert!(got.is_empty(), "{id} with {there:?}");
                    }
                }
            }
        }
    }
}
