//! Contacts and requests.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::contact::Contact;
use sammen_core::live::{ContactCause, Show, StateChange};
use sammen_core::ops::contacts;
use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome};

use crate::auth::{Caller, Need};
use crate::extract::{Ask, Done, Json, Place};
use crate::person::{View, person};
use crate::problem::Answer;
use crate::routes::Table;
use crate::server::Web;
use crate::translate as tr;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/contacts",
            Need::Account,
            "Whom the account knows, and how available they are",
        )
        .answer::<t::ContactList>(200)
        .by(list);
    table
        .on(
            Method::PUT,
            "/contacts/{address}",
            Need::Account,
            "Puts someone on the list, or renames them",
        )
        .ask::<t::ContactChange>()
        .answer::<t::Contact>(200)
        .by(set);
    table
        .on(
            Method::DELETE,
            "/contacts/{address}",
            Need::Account,
            "Takes someone off the list",
        )
        .done()
        .by(remove);
    table
        .on(
            Method::POST,
            "/contacts/{address}/ask",
            Need::Account,
            "Asks to see when they are here",
        )
        .answer::<t::Contact>(200)
        .by(ask);
    table
        .on(
            Method::POST,
            "/contacts/{address}/allow",
            Need::Account,
            "Lets them see when the caller is here",
        )
        .answer::<t::Contact>(200)
        .by(allow);
    table
        .on(
            Method::POST,
            "/contacts/{address}/deny",
            Need::Account,
            "Refuses that, or ends it",
        )
        .answer::<t::Contact>(200)
        .by(deny);
    table
        .on(
            Method::POST,
            "/contacts/{address}/accept",
            Need::Account,
            "Takes up a stranger's conversation",
        )
        .answer::<t::Contact>(200)
        .by(accept);
}

/// A contact as a client shows it. Blocking.
pub(crate) fn shown(view: View<'_>, address: &Address, contact: &Contact) -> t::Contact {
    let presence = contact.sees.then(|| {
        view.node.live(|live| {
            let sessions = live.sessions_of(address).iter();
            sessions
                .filter_map(|s| s.presence())
                .max_by_key(|p| (p.show, p.priority))
        })
    });
    let presence = presence.flatten();
    let show = presence.as_ref().map_or(Show::Offline, |p| p.show);
    t::Contact {
        person: person(view, address),
        listed: contact.listed,
        name: contact.name.clone(),
        groups: contact.groups.clone(),
        sees: contact.sees,
        seen: contact.seen,
        asked: contact.asked,
        asks: contact.asks.is_some(),
        blocked: contact.blocked,
        accepted: contact.accepted,
        show: contact.sees.then(|| tr::show(show)),
        status: presence.and_then(|p| p.status.clone()),
    }
}

async fn list(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::ContactList>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let view = View::of(web, &reader);
        let all = web.node.contacts(&reader)?;
        let wanted = all
            .iter()
            .filter(|(_, c)| c.listed || c.asks.is_some() || c.accepted || c.sees || c.seen);
        Ok(t::ContactList {
            contacts: wanted.map(|(a, c)| shown(view, a, c)).collect(),
        })
    })
    .await
    .map(Json)
}

/// Changes a contact, and shows how it stands then.
async fn change(
    web: &Arc<Web>,
    caller: &Caller,
    address: &str,
    change: impl FnOnce(&mut Tx<'_>, &Address, &Address) -> Outcome<()> + Send + 'static,
) -> Answer<Json<t::Contact>> {
    let of = web.address("address", address)?;
    let account = caller.address().clone();
    let (a, b) = (account.clone(), of.clone());
    web.node.write(move |tx| change(tx, &a, &b)).await?;
    web.read(move |web| {
        let known = web.node.contacts(&account)?;
        let contact = known.get(&of).cloned().unwrap_or_default();
        Ok(shown(View::of(web, &account), &of, &contact))
    })
    .await
    .map(Json)
}

async fn set(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
    Ask(ask): Ask<t::ContactChange>,
) -> Answer<Json<t::Contact>> {
    change(&web, &caller, &address, move |tx, account, of| {
        let name = ask.name.filter(|n| !n.trim().is_empty());
        contacts::set(tx, account, of, name, ask.groups).map(drop)
    })
    .await
}

async fn remove(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
) -> Answer<Done> {
    let of = web.address("address", &address)?;
    let account = caller.address().clone();
    web.node
        .write(move |tx| contacts::remove(tx, &account, &of))
        .await?;
    Ok(Done)
}

async fn ask(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
) -> Answer<Json<t::Contact>> {
    change(&web, &caller, &address, |tx, account, of| {
        contacts::ask(tx, account, of, Vec::new())
    })
    .await
}

async fn allow(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
) -> Answer<Json<t::Contact>> {
    change(&web, &caller, &address, contacts::allow).await
}

async fn deny(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
) -> Answer<Json<t::Contact>> {
    change(&web, &caller, &address, contacts::deny).await
}

async fn accept(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(address): Place<String>,
) -> Answer<Json<t::Contact>> {
    change(&web, &caller, &address, |tx, account, of| {
        let mut contact = tx.contact(account, of)?;
        if contact.accepted || account == of {
            return Ok(());
        }
        contact.accepted = true;
        let value = tx.put_contact(account, of, contact)?;
        let told = StateChange::Contact {
            account: account.clone(),
            contact: of.clone(),
            value,
            cause: ContactCause::Edited,
        };
        tx.tell_account(account, told);
        Ok(())
    })
    .await
}
