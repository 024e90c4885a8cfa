//! XEP-0133 §4.13–§4.15, §4.18–§4.20: how many accounts there are, which, and who is online.

use std::collections::BTreeSet;
use std::sync::Arc;

use sammen_core::Address;
use sammen_core::live::Show;

use super::{FORM, form, may};
use crate::client::Client;
use crate::commands::{Command, Done};
use crate::muc::form::{Form, Submitted};
use crate::wire::{Element, StanzaError};

/// Most addresses of one list: an answer has to fit into a stanza.
const MOST: usize = 1000;
/// Accounts read at once.
const PAGE: usize = 500;

#[derive(Clone, Copy)]
enum Kind {
    Registered,
    Disabled,
    Online,
}

/// The commands.
pub const ALL: &[Command] = &[
    Command {
        node: "http://jabber.org/protocol/admin#get-registered-users-num",
        name: "Number of users",
        may,
        ask: None,
        run: |client, _| Box::pin(number(client, Kind::Registered, "registeredusersnum")),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-disabled-users-num",
        name: "Number of disabled users",
        may,
        ask: None,
        run: |client, _| Box::pin(number(client, Kind::Disabled, "disabledusersnum")),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-online-users-num",
        name: "Number of users online",
        may,
        ask: None,
        run: |client, _| Box::pin(number(client, Kind::Online, "onlineusersnum")),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-registered-users-list",
        name: "List of users",
        may,
        ask: Some(|_| Box::pin(std::future::ready(Ok(how_many("List of users"))))),
        run: |client, form| Box::pin(list(client, form, Kind::Registered, "registereduserjids")),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-disabled-users-list",
        name: "List of disabled users",
        may,
        ask: Some(|_| Box::pin(std::future::ready(Ok(how_many("List of disabled users"))))),
        run: |client, form| Box::pin(list(client, form, Kind::Disabled, "disableduserjids")),
    },
    Command {
        node: "http://jabber.org/protocol/admin#get-online-users-list",
        name: "List of users online",
        may,
        ask: Some(|_| Box::pin(std::future::ready(Ok(how_many("List of users online"))))),
        run: |client, form| Box::pin(list(client, form, Kind::Online, "onlineuserjids")),
    },
];

fn how_many(title: &str) -> Element {
    let counts = ["25", "50", "100", "1000"].map(|n| (n, n));
    form(title)
        .choice("max_items", "How many at most", "100", &counts)
        .done()
}

async fn number(client: Arc<Client>, kind: Kind, var: &'static str) -> Result<Done, StanzaError> {
    let count = found(&client, kind, usize::MAX).await?.0;
    let form = Form::new("result", FORM).field(var, "text-single", None, [count.to_string()]);
    Ok(Done {
        note: None,
        result: Some(form.done()),
    })
}

async fn list(
    client: Arc<Client>,
    form: Submitted,
    kind: Kind,
    var: &'static str,
) -> Result<Done, StanzaError> {
    let most = form.one("max_items").and_then(|n| n.parse().ok());
    let most = most.unwrap_or(MOST).min(MOST);
    let (count, list) = found(&client, kind, most).await?;
    let form = Form::new("result", FORM).field(var, "text-multi", None, &list);
    Ok(Done {
        note: (count > list.len()).then(|| format!("{} of {count}.", list.len())),
        result: Some(form.done()),
    })
}

/// How many there are, and the first of them.
async fn found(
    client: &Client,
    kind: Kind,
    most: usize,
) -> Result<(usize, Vec<String>), StanzaError> {
    if matches!(kind, Kind::Online) {
        let there: BTreeSet<Address> = client.node.live(|live| {
            let shows = |s: &&Arc<sammen_core::live::Session>| {
                s.presence().is_some_and(|p| p.show != Show::Offline)
            };
            live.all()
                .filter(shows)
                .map(|s| s.account.clone())
                .collect()
        });
        let list = there.iter().take(most.min(MOST));
        let list = list.map(|a| client.server.bare(a)).collect();
        return Ok((there.len(), list));
    }
    let (mut count, mut list, mut after) = (0, Vec::new(), None::<Address>);
    loop {
        let from = after.clone();
        let read = client
            .node
            .read(move |node| Ok(node.store().accounts(from.as_ref(), PAGE)?));
        let page = read.await?;
        let Some(last) = page.last() else { break };
        after = Some(last.address.clone());
        for account in page.iter().filter(|a| !a.removed) {
            if matches!(kind, Kind::Disabled) && !account.disabled {
                continue;
            }
            count += 1;
            if list.len() < most.min(MOST) {
                list.push(client.server.bare(&account.address));
            }
        }
    }
    Ok((count, list))
}
