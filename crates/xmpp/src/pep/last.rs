//! The last items for a client that comes (XEP-0163 §4.3.2): of its own account and of contacts whose presence it sees.
//!
//! They are read from what is committed, then handed over by the writer if they are still the last ones: so none of them
//! comes behind a newer one.

use std::sync::Arc;

use sammen_core::tx::Tx;
use sammen_core::{Address, Node};

use super::access::may_read;
use super::config::SendLast;
use super::notify::{self, Push, What};
use super::shelf::{self, Item, NodeRecord};
use super::{read, write};
use crate::bookmarks;
use crate::caps::Caps;
use crate::client::Client;
use crate::feature::BoxFuture;
use crate::wire::{StanzaError, Str, ns};

/// Accounts whose items are handed over in one write.
const PER_WRITE: usize = 64;

/// Nodes of which a client was already sent the last items.
#[derive(Default)]
struct Sent(parking_lot::Mutex<Arc<Caps>>);

struct Found {
    account: Address,
    node: String,
    record: NodeRecord,
    item: Item,
}

/// Caps became known, or initial presence came behind them.
pub(super) fn on_caps(client: Arc<Client>) -> BoxFuture<()> {
    Box::pin(async move {
        let (available, caps) = {
            let state = client.state.lock();
            (state.available, state.caps.clone())
        };
        if !available {
            return;
        }
        let before = std::mem::replace(&mut *client.own::<Sent>().0.lock(), caps.clone());
        let new = Caps {
            features: caps
                .features
                .difference(&before.features)
                .cloned()
                .collect(),
        };
        if !new.features.iter().any(|f| f.ends_with("+notify")) {
            return;
        }
        if client.account.is_account() {
            return send(&client, new, None).await;
        }
        // Somebody of another server: of the accounts that their presence came to.
        for account in crate::s2s::visitor::shares(&client) {
            send(&client, new.clone(), Some(account)).await;
        }
    })
}

/// When it comes again it is shown everything again.
pub(super) fn on_gone(client: Arc<Client>) -> BoxFuture<()> {
    Box::pin(async move { *client.own::<Sent>().0.lock() = Arc::default() })
}

pub(super) fn on_state_lost(client: Arc<Client>) -> BoxFuture<()> {
    Box::pin(async move {
        let caps = client.state.lock().caps.clone();
        send(&client, (*caps).clone(), None).await;
    })
}

/// A contact just let the client's account see its presence: its last items are shown now (XEP-0163 §4.3.2).
pub async fn newly_allowed(client: &Arc<Client>, contact: &Address) {
    let caps = client.state.lock().caps.clone();
    send(client, (*caps).clone(), Some(contact.clone())).await;
}

async fn send(client: &Client, caps: Caps, only: Option<Address>) {
    if !client.state.lock().available {
        return;
    }
    let who = client.account.clone();
    let found = read(&client.node, move |look| find(look, &who, &caps, only)).await;
    let Ok(mut found) = found else {
        return;
    };
    while !found.is_empty() {
        let some: Vec<Found> = found.drain(..found.len().min(PER_WRITE)).collect();
        let bares = some
            .iter()
            .map(|f| client.server.bare(&f.account))
            .collect();
        let session = client.session.id;
        let handed = write(&client.node, move |tx| hand_over(tx, session, some, bares)).await;
        if let Err(why) = handed {
            tracing::debug!("last items were not sent: {why:?}");
            return;
        }
    }
}

fn find(
    mut look: &Node,
    who: &Address,
    caps: &Caps,
    only: Option<Address>,
) -> Result<Vec<Found>, StanzaError> {
    let mut accounts: Vec<Address> = match only {
        Some(one) => vec![one],
        None => {
            let contacts = look.contacts(who)?;
            let seen = contacts
                .iter()
                .filter(|(a, c)| c.sees && !c.blocked && a.is_account());
            std::iter::once(who)
                .chain(seen.map(|(a, _)| a))
                .cloned()
                .collect()
        }
    };
    accounts.dedup();
    let mut found = Vec::new();
    for account in accounts {
        for (node, record) in shelf::nodes(&mut look, &account)? {
            let wanted =
                record.config.send_last == SendLast::OnSubAndPresence && caps.notifies(&node);
            if !wanted || !record.config.deliver_notifications || node == ns::BOOKMARKS_OLD {
                continue;
            }
            let Ok(asker) = shelf::asker(&mut look, &account, Some(&record), who) else {
                continue;
            };
            // Presence is what they come with: who does not see the owner's is told nothing unasked.
            if !asker.owner && !asker.sees || may_read(&record.config, &asker).is_err() {
                continue;
            }
            if let Some(item) = shelf::last_item(&mut look, &account, &node, &record)? {
                found.push(Found {
                    account: account.clone(),
                    node,
                    record,
                    item,
                });
            }
        }
        if account == *who
            && caps.notifies(ns::BOOKMARKS_OLD)
            && let Some(main) = look.domains().first()
        {
            let list = bookmarks::old_list(&mut look, main, who)?;
            found.push(Found {
                account: account.clone(),
                node: ns::BOOKMARKS_OLD.to_owned(),
                record: bookmarks::old_record(),
                item: bookmarks::old_item(who.as_str(), &list, look.last_seq()),
            });
        }
    }
    Ok(found)
}

fn hand_over(
    tx: &mut Tx<'_>,
    session: sammen_core::SessionId,
    found: Vec<Found>,
    bares: Vec<String>,
) -> Result<(), StanzaError> {
    for (last, bare) in found.into_iter().zip(bares) {
        let made = last.node == ns::BOOKMARKS_OLD;
        let now = shelf::item(tx, &last.account, &last.node, &last.item.id)?;
        let still = made || now.is_some_and(|n| n.version == last.item.version);
        let Some(payload) = last.item.element().filter(|_| still) else {
            continue;
        };
        let message = notify::message(
            &bare,
            &last.node,
            &last.record,
            What::Published(&last.item, &payload),
        );
        let push = Push {
            node: Str::new(&last.node),
            message,
            subscribed: Arc::default(),
        };
        let change = Arc::new(push.into_change());
        tx.after(move |live| live.tell_session(session, &change));
    }
    Ok(())
}
