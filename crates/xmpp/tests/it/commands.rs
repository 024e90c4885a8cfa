//! XEP-0050: forms for what the own account sets.

use sammen_core::Address;
use sammen_xmpp::wire::{Element, ns};

use crate::people::{House, Person, written};

async fn command(person: &mut Person, node: &str, action: &str, inside: &str) -> Element {
    let command = format!(
        "<command xmlns='{}' node='{node}' action='{action}'>{inside}</command>",
        ns::COMMANDS
    );
    person.asks("set", "localhost", "command", &command).await
}

fn submit(fields: &[(&str, &str)]) -> String {
    let field =
        |(var, value): &(&str, &str)| format!("<field var='{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>")
}

fn status(answer: &Element) -> &str {
    assert_eq!(answer.get("type"), Some("result"), "{answer:?}");
    let command = answer.find("command", ns::COMMANDS).unwrap();
    assert!(command.get("sessionid").is_some());
    command.get("status").unwrap()
}

#[tokio::test]
async fn alice_sets_what_others_learn_of_her() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let list = format!(
        "<query xmlns='{}' node='{}'/>",
        ns::DISCO_ITEMS,
        ns::COMMANDS
    );
    for at in ["localhost", "alice@localhost"] {
        let list = alice.asks("get", at, "list", &list).await;
        let items = list.find("query", ns::DISCO_ITEMS).unwrap().elements();
        let nodes: Vec<_> = items.filter_map(|i| i.get("node")).collect();
        assert_eq!(nodes, ["settings", "plain-allow", ns::INVITE]);
    }
    let bobs = alice.asks("get", "bob@localhost", "list", &list).await;
    assert_eq!(bobs.get("type"), Some("error"));
    let info = format!("<query xmlns='{}' node='settings'/>", ns::DISCO_INFO);
    let info = alice.asks("get", "localhost", "info", &info).await;
    assert!(written(&info).contains("command-node"));

    let form = command(&mut alice, "settings", "execute", "").await;
    assert_eq!(status(&form), "executing");
    assert!(written(&form).contains("last-seen"));
    let wishes = submit(&[("typing", "0"), ("retention", "30")]);
    let done = command(&mut alice, "settings", "complete", &wishes).await;
    assert_eq!(status(&done), "completed");
    let address = Address::new("alice@localhost").unwrap();
    let account = house.node.account(&address).unwrap().unwrap();
    assert!(account.switches.receipts && !account.switches.typing);
    assert_eq!(account.retention_days, Some(30));
    for wrong in ["0", "-1", "soon"] {
        let wishes = submit(&[("retention", wrong)]);
        let refused = command(&mut alice, "settings", "complete", &wishes).await;
        assert_eq!(refused.get("type"), Some("error"), "{wrong}");
    }
    let never = submit(&[("retention", "")]);
    command(&mut alice, "settings", "complete", &never).await;
    let account = house.node.account(&address).unwrap().unwrap();
    assert_eq!(account.retention_days, None);
    let left = command(&mut alice, "settings", "cancel", "").await;
    assert_eq!(status(&left), "canceled");
    let unknown = command(&mut alice, "reboot", "execute", "").await;
    assert_eq!(unknown.get("type"), Some("error"));
}

#[tokio::test]
async fn alice_allows_plain_text_where_she_wrote_encrypted() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    let wish = submit(&[("peer", "bob@localhost"), ("allow", "1")]);
    let nothing = command(&mut alice, "plain-allow", "complete", &wish).await;
    assert_eq!(nothing.get("type"), Some("error"));
    alice
        .send(&format!(
            "<message to='bob@localhost' type='chat' id='e'><encrypted xmlns='{}'><header sid='1'/><payload>AAAA</payload></encrypted><store xmlns='urn:xmpp:hints'/></message>",
            ns::OMEMO
        ))
        .await;
    bob.expect(|el| el.has("encrypted", ns::OMEMO)).await;
    let form = command(&mut alice, "plain-allow", "execute", "").await;
    assert_eq!(status(&form), "executing");
    let done = command(&mut alice, "plain-allow", "complete", &wish).await;
    assert_eq!(status(&done), "completed");
    bob.expect(|el| {
        let body = el.find_text("body", ns::CLIENT);
        body.is_some_and(|b| b.contains("is allowed in this conversation"))
    })
    .await;
    let of = |name: &str| Address::new(&format!("{name}@localhost")).unwrap();
    let key = sammen_core::ConversationKey::direct(&of("alice"), &of("bob"));
    let convo = house.node.convo_by_key(&key).unwrap().unwrap();
    assert!(
        convo
            .conversation
            .turned_encrypted
            .as_ref()
            .unwrap()
            .plain_allowed
    );
}
