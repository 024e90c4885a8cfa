//! Rooms between people with XMPP clients.

mod across;
mod entering;
mod finding;
mod owning;
mod privileges;
mod ranks;
mod resuming;
mod speaking;

use sammen_xmpp::wire::{Element, ns};

use crate::people::{House, Person};

const TOWN: &str = "town@rooms.localhost";
const MUC: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";

/// What a client gets on entering.
struct Entered {
    people: Vec<Element>,
    own: Element,
    past: Vec<Element>,
    subject: Element,
}

impl Person {
    /// Enters the town under a nick; where that makes it, takes it as it is.
    async fn joins(&mut self, nick: &str) -> Entered {
        let entered = self.enters(TOWN, nick, MUC).await;
        if codes(&entered.own).contains(&201) {
            self.takes_as_it_is(TOWN).await;
        }
        entered
    }

    /// Asks for an instant room (§10.1.2).
    async fn takes_as_it_is(&mut self, room: &str) {
        let form = format!(
            "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'/></query>",
            ns::MUC_OWNER
        );
        ok(&self.asks("set", room, "instant", &form).await);
    }

    /// Enters a room; `x` is the whole `<x/>`.
    async fn enters(&mut self, room: &str, nick: &str, x: &str) -> Entered {
        self.send(&format!("<presence to='{room}/{nick}'>{x}</presence>"))
            .await;
        let (mut people, mut past, mut own) = (Vec::new(), Vec::new(), None);
        loop {
            let el = self
                .expect(|el| el.get("from").is_some_and(|f| f.starts_with(room)))
                .await;
            assert_ne!(el.get("type"), Some("error"), "{el:?}");
            if el.name() == "presence" {
                if codes(&el).contains(&110) {
                    own = Some(el);
                } else {
                    people.push(el);
                }
            } else if el.has("subject", ns::CLIENT) && !el.has("body", ns::CLIENT) {
                let own = own.expect("the own presence comes before the subject");
                return Entered {
                    people,
                    own,
                    past,
                    subject: el,
                };
            } else {
                past.push(el);
            }
        }
    }

    /// Is refused at the door; returns the error's condition.
    async fn may_not_enter(&mut self, room: &str, nick: &str, x: &str) -> String {
        self.send(&format!("<presence to='{room}/{nick}'>{x}</presence>"))
            .await;
        let el = self
            .expect(|el| el.name() == "presence" && el.get("type") == Some("error"))
            .await;
        assert!(el.has("x", ns::MUC), "{el:?}");
        condition(&el)
    }

    /// Says something to the town.
    async fn tells(&mut self, text: &str) {
        self.send(&format!(
            "<message to='{TOWN}' type='groupchat' id='g-{text}'><body>{text}</body></message>"
        ))
        .await;
    }

    /// Waits for presence from an occupant of the town.
    async fn sees(&mut self, nick: &str) -> Element {
        let from = format!("{TOWN}/{nick}");
        self.expect(|el| el.name() == "presence" && el.get("from") == Some(&from))
            .await
    }

    /// Changes affiliations or roles; returns the answer.
    async fn ranks(&mut self, items: &str) -> Element {
        let query = format!("<query xmlns='{}'>{items}</query>", ns::MUC_ADMIN);
        self.asks("set", TOWN, "rank", &query).await
    }

    /// Submits the configuration of the town.
    async fn configures(&mut self, fields: &[(&str, &str)]) -> Element {
        let fields: String = fields
            .iter()
            .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
            .collect();
        let form = format!(
            "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>{}</value></field>{fields}</x></query>",
            ns::MUC_OWNER,
            ns::MUC_ROOM_CONFIG
        );
        self.asks("set", TOWN, "config", &form).await
    }

    /// disco#info of the town: features, and the form.
    async fn looks(&mut self) -> (Vec<String>, Element) {
        let info = self
            .asks(
                "get",
                TOWN,
                "info",
                "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            )
            .await;
        let query = info.find("query", ns::DISCO_INFO).unwrap();
        let features = query
            .all("feature", ns::DISCO_INFO)
            .map(|f| f.get("var").unwrap().to_owned())
            .collect();
        (features, query.find("x", ns::DATA_FORMS).unwrap().clone())
    }

    /// The town's archive: the forwarded messages.
    async fn reads_archive(&mut self, query: &str) -> Result<Vec<Element>, String> {
        let fin = self
            .asks(
                "set",
                TOWN,
                "mam",
                &format!("<query xmlns='urn:xmpp:mam:2' queryid='q'>{query}</query>"),
            )
            .await;
        if fin.get("type") == Some("error") {
            return Err(condition(&fin));
        }
        let mut found = Vec::new();
        for el in self.takes(|el| el.has("result", ns::MAM)) {
            let result = el.find("result", ns::MAM).unwrap();
            let forwarded = result.find("forwarded", ns::FORWARD).unwrap();
            assert!(forwarded.has("delay", ns::DELAY));
            let mut message = forwarded.find("message", ns::CLIENT).unwrap().clone();
            message.set("archive", result.get("id").unwrap());
            found.push(message);
        }
        Ok(found)
    }
}

fn codes(el: &Element) -> Vec<u16> {
    let Some(x) = el.find("x", ns::MUC_USER) else {
        return Vec::new();
    };
    x.all("status", ns::MUC_USER)
        .map(|s| s.get("code").unwrap().parse().unwrap())
        .collect()
}

fn item(el: &Element) -> &Element {
    el.find("x", ns::MUC_USER)
        .and_then(|x| x.find("item", ns::MUC_USER))
        .unwrap_or_else(|| panic!("no item: {el:?}"))
}

/// Affiliation and role.
fn rank(el: &Element) -> (&str, &str) {
    let item = item(el);
    (item.get("affiliation").unwrap(), item.get("role").unwrap())
}

fn condition(el: &Element) -> String {
    let error = el
        .find("error", ns::CLIENT)
        .unwrap_or_else(|| panic!("no error: {el:?}"));
    error.first().unwrap().name().to_owned()
}

fn ok(el: &Element) {
    assert_eq!(el.get("type"), Some("result"), "{el:?}");
}

fn body(el: &Element) -> String {
    el.find_text("body", ns::CLIENT)
        .unwrap_or_default()
        .into_owned()
}

fn field(form: &Element, var: &str) -> Option<String> {
    let field = form
        .all("field", ns::DATA_FORMS)
        .find(|f| f.get("var") == Some(var))?;
    Some(
        field
            .find_text("value", ns::DATA_FORMS)
            .unwrap_or_default()
            .into_owned(),
    )
}

/// Alice owns the town, bob is in it.
async fn town(house: &House) -> (Person, Person) {
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    let mut bob = house.arrives("bob", "home").await;
    bob.joins("bob").await;
    alice.sees("bob").await;
    (alice, bob)
}

fn rank_of(el: &Element, nick: &str) -> Option<(String, String)> {
    let there = el.name() == "presence" && el.get("from") == Some(&format!("{TOWN}/{nick}"));
    there.then(|| {
        let (a, r) = rank(el);
        (a.to_owned(), r.to_owned())
    })
}
