//! XEP-0191 Blocking Command, on core's contacts: what one protocol blocks is blocked on all.

use std::sync::Arc;

use sammen_core::Address;
use sammen_core::contact::Contact;
use sammen_core::live::ContactCause;
use sammen_core::ops;

use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::stanza::person;
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// The feature.
pub static FEATURE: Feature = Feature {
    name: "blocking",
    disco: |at| match at {
        Where::Server | Where::OwnAccount => &[ns::BLOCKING],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "blocklist",
            ns: ns::BLOCKING,
            get: true,
            set: false,
            at: &[Where::OwnAccount],
            handle: |client, _| Box::pin(async move { list(&client).await }),
        },
        IqHandler {
            name: "block",
            ns: ns::BLOCKING,
            get: false,
            set: true,
            at: &[Where::OwnAccount],
            handle: change,
        },
        IqHandler {
            name: "unblock",
            ns: ns::BLOCKING,
            get: false,
            set: true,
            at: &[Where::OwnAccount],
            handle: change,
        },
    ],
    ..Feature::NONE
};

async fn list(client: &Arc<Client>) -> IqAnswer {
    client.state.lock().blocklist = true;
    let account = client.account.clone();
    let contacts = client.node.read(move |node| node.contacts(&account)).await;
    let contacts = contacts.map_err(StanzaError::from)?;
    let items = contacts
        .iter()
        .filter(|(_, c)| c.blocked)
        .map(|(address, _)| item(client, address));
    Ok(Some(
        Element::new(ns::BLOCKING, "blocklist").children(items),
    ))
}

fn item(client: &Client, address: &Address) -> Element {
    Element::new(ns::BLOCKING, "item").attr("jid", client.server.bare(address))
}

fn change(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let block = iq.child.name() == "block";
        let mut people = Vec::new();
        for item in iq.child.all("item", ns::BLOCKING) {
            let jid = item
                .get("jid")
                .ok_or_else(|| Iq::bad("an item has an address"))?;
            let jid = Jid::new(jid).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
            // Liberty: XEP-0191 §6 also knows single resources; the person behind one is what is blocked.
            people.push(person(&client, &jid.bare())?);
        }
        // §3.3: nothing to block is an error, nothing to unblock means everybody.
        if people.is_empty() && block {
            return Err(Iq::bad("nobody is named"));
        }
        let me = client.account.clone();
        let written = client.node.write(move |tx| {
            if people.is_empty() {
                let contacts = tx.contacts(&me)?;
                let all = contacts.iter().filter(|(_, c)| c.blocked);
                people.extend(all.map(|(a, _)| a.clone()));
            }
            for whom in people {
                if tx.contact(&me, &whom)?.blocked != block {
                    ops::contacts::block(tx, &me, &whom, block)?;
                }
            }
            Ok(())
        });
        written.await.map_err(StanzaError::from)?;
        Ok(None)
    })
}

/// §3.3.9: the other clients learn it.
pub fn push(client: &Client, contact: &Address, value: &Contact, cause: ContactCause) {
    if cause != ContactCause::Blocking || !client.state.lock().blocklist {
        return;
    }
    let name = if value.blocked { "block" } else { "unblock" };
    let push = Element::new(ns::CLIENT, "iq")
        .attr("type", "set")
        .attr(
            "id",
            format!("block-{:08x}", client.node.clock().random() >> 96),
        )
        .attr("to", client.jid.to_str())
        .child(Element::new(ns::BLOCKING, name).child(item(client, contact)));
    client.send(&push);
}
