//! Accounts: making, changing, resetting, removing; tokens of bots.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::ops::{accounts, sessions};
use sammen_core::{Account, Address, Name, Refusal};
use sammen_net::{Secret, password};

use super::most;
use crate::api::credentials::set_passphrase;
use crate::api::devices::mint;
use crate::api::profile::display_name;
use crate::audit::note;
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Asked, Created, Done, Json, Place};
use crate::person::{View, person};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(Method::GET, "/admin/accounts", Need::Admin, "Accounts")
        .query::<t::PageQuery>()
        .answer::<t::AccountPage>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/admin/accounts",
            Need::Admin,
            "Makes an account",
        )
        .ask::<t::CreateAccount>()
        .answer::<t::MadePassphrase>(201)
        .by(create);
    table
        .on(
            Method::GET,
            "/admin/accounts/{name}",
            Need::Admin,
            "An account",
        )
        .answer::<t::AccountInfo>(200)
        .by(one);
    table
        .on(
            Method::PATCH,
            "/admin/accounts/{name}",
            Need::Admin,
            "Changes an account",
        )
        .ask::<t::AccountChange>()
        .answer::<t::AccountInfo>(200)
        .by(change);
    table
        .on(
            Method::DELETE,
            "/admin/accounts/{name}",
            Need::Admin,
            "Removes an account with all that belongs to it",
        )
        .done()
        .by(remove);
    table
        .on(
            Method::POST,
            "/admin/accounts/{name}/reset",
            Need::Admin,
            "Makes up another passphrase, shown once, and signs everything out",
        )
        .answer::<t::MadePassphrase>(200)
        .by(reset);
    table
        .on(
            Method::POST,
            "/admin/accounts/{name}/sign-out",
            Need::Admin,
            "Ends all sessions of an account",
        )
        .done()
        .by(sign_out);
    table
        .on(
            Method::POST,
            "/admin/accounts/{name}/tokens",
            Need::Admin,
            "Makes a token for a bot, shown once",
        )
        .ask::<t::TokenWish>()
        .answer::<t::NewToken>(201)
        .by(token);
}

/// An account as an administrator sees it. Blocking.
fn shown(web: &Web, reader: &Address, account: &Account) -> Answer<t::AccountInfo> {
    let store = web.node.store();
    let devices = store.devices(&account.address).map_err(Refusal::from)?;
    let sessions = web
        .node
        .live(|live| live.sessions_of(&account.address).len());
    Ok(t::AccountInfo {
        person: person(View::of(web, reader), &account.address),
        name: account.address.name().to_owned(),
        admin: account.admin,
        disabled: account.disabled,
        bot: account.bot,
        created: account.created.0,
        seen: devices.iter().map(|d| d.seen.0).max(),
        sessions: sessions as u64,
        file_bytes: store.blob_usage(&account.address).map_err(Refusal::from)?,
    })
}

fn address(web: &Web, name: &str) -> Answer<Address> {
    let name = Name::new(name).map_err(|_| Problem::not_found())?;
    Ok(Address::account(web.domain(), &name))
}

async fn known(web: &Arc<Web>, caller: &Caller, address: Address) -> Answer<t::AccountInfo> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let account = web.node.account(&address)?.filter(|a| !a.removed);
        shown(web, &reader, &*account.ok_or_else(Problem::not_found)?)
    })
    .await
}

async fn list(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Asked(asked): Asked<t::PageQuery>,
) -> Answer<Json<t::AccountPage>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let most = most(asked.limit);
        let mut after = match &asked.after {
            Some(text) => Some(
                Address::new(text)
                    .map_err(|_| Problem::invalid("after", "that is no cursor of ours"))?,
            ),
            None => None,
        };
        let mut accounts = Vec::new();
        loop {
            let page = web
                .node
                .store()
                .accounts(after.as_ref(), most)
                .map_err(Refusal::from)?;
            let Some(last) = page.last() else { break };
            after = Some(last.address.clone());
            for account in page.iter().filter(|a| !a.removed) {
                if accounts.len() == most {
                    let next = accounts
                        .last()
                        .map(|a: &t::AccountInfo| a.person.address.clone());
                    return Ok(t::AccountPage { accounts, next });
                }
                accounts.push(shown(web, &reader, account)?);
            }
        }
        Ok(t::AccountPage {
            accounts,
            next: None,
        })
    })
    .await
    .map(Json)
}

async fn one(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(name): Place<String>,
) -> Answer<Json<t::AccountInfo>> {
    let address = address(&web, &name)?;
    known(&web, &caller, address).await.map(Json)
}

async fn create(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::CreateAccount>,
) -> Answer<Created<t::MadePassphrase>> {
    let name =
        Name::new(&ask.name).map_err(|_| Problem::from(Refusal::InvalidName).field("name"))?;
    let shown_name = display_name(ask.display_name.as_deref().unwrap_or_default())?;
    let made_up = ask.passphrase.is_none();
    let passphrase = match ask.passphrase {
        Some(passphrase) => Secret::new(passphrase),
        None => password::random_app_password(&mut rand::rng()),
    };
    let account = web
        .accounts
        .create(web.domain(), &name, passphrase.clone(), true)
        .await?;
    let (by, of) = (caller.address().clone(), account.clone());
    let (admin, bot) = (ask.admin, ask.bot);
    web.node
        .write(move |tx| {
            accounts::change(tx, &of, |a| {
                a.admin = admin;
                a.bot = bot;
                a.display_name = shown_name;
            })?;
            let detail = admin.then(|| "administrator".to_owned());
            note(tx, Some(&by), "account made", of.as_str(), detail)
        })
        .await?;
    Ok(Created(t::MadePassphrase {
        account: known(&web, &caller, account).await?,
        passphrase: made_up.then(|| passphrase.expose().to_owned()),
    }))
}

async fn change(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(name): Place<String>,
    Ask(ask): Ask<t::AccountChange>,
) -> Answer<Json<t::AccountInfo>> {
    let address = address(&web, &name)?;
    let own = address == *caller.address();
    // Nobody locks themselves out.
    if own && (ask.admin == Some(false) || ask.disabled == Some(true)) {
        return Err(Problem::forbidden(
            "another administrator has to do that for you",
        ));
    }
    let shown_name = ask.display_name.as_deref().map(display_name).transpose()?;
    let mut words = Vec::new();
    let mut word = |name: &str, wish: Option<bool>| {
        if let Some(wish) = wish {
            words.push(format!("{name}: {}", if wish { "yes" } else { "no" }));
        }
    };
    word("administrator", ask.admin);
    word("disabled", ask.disabled);
    word("bot", ask.bot);
    if shown_name.is_some() {
        words.push("name".into());
    }
    let (by, of) = (caller.address().clone(), address.clone());
    web.node
        .write(move |tx| {
            accounts::change(tx, &of, |a| {
                let set = |switch: &mut bool, wish: Option<bool>| *switch = wish.unwrap_or(*switch);
                set(&mut a.admin, ask.admin);
                set(&mut a.disabled, ask.disabled);
                set(&mut a.bot, ask.bot);
                if let Some(name) = shown_name {
                    a.display_name = name;
                }
            })?;
            note(
                tx,
                Some(&by),
                "account changed",
                of.as_str(),
                Some(words.join(", ")),
            )
        })
        .await?;
    known(&web, &caller, address).await.map(Json)
}

async fn remove(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(name): Place<String>,
) -> Answer<Done> {
    let address = address(&web, &name)?;
    if address == *caller.address() {
        return Err(Problem::forbidden(
            "another administrator has to do that for you",
        ));
    }
    // Written down before, as an intent: removing takes several batches.
    let (by, of) = (caller.address().clone(), address.clone());
    web.node
        .write(move |tx| {
            tx.account(&of)?.ok_or(Refusal::NotFound)?;
            note(tx, Some(&by), "account removed", of.as_str(), None)
        })
        .await?;
    web.accounts.remove(&address).await?;
    Ok(Done)
}

async fn reset(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(name): Place<String>,
) -> Answer<Json<t::MadePassphrase>> {
    let address = address(&web, &name)?;
    let account = known(&web, &caller, address.clone()).await?;
    let passphrase = password::random_app_password(&mut rand::rng());
    let (by, of) = (caller.address().clone(), address.clone());
    web.node
        .write(move |tx| note(tx, Some(&by), "passphrase reset", of.as_str(), None))
        .await?;
    set_passphrase(&web, &address, None, passphrase.clone()).await?;
    let own = (address == *caller.address()).then_some(caller.device.id);
    web.node
        .write(move |tx| sessions::sign_out_devices(tx, &address, own))
        .await?;
    Ok(Json(t::MadePassphrase {
        account,
        passphrase: Some(passphrase.expose().to_owned()),
    }))
}

async fn sign_out(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(name): Place<String>,
) -> Answer<Done> {
    let address = address(&web, &name)?;
    let by = caller.address().clone();
    let own = (address == by).then_some(caller.device.id);
    web.node
        .write(move |tx| {
            sessions::sign_out_devices(tx, &address, own)?;
            note(
                tx,
                Some(&by),
                "signed out everywhere",
                address.as_str(),
                None,
            )
        })
        .await?;
    Ok(Done)
}

async fn token(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(name): Place<String>,
    Ask(ask): Ask<t::TokenWish>,
) -> Answer<Created<t::NewToken>> {
    let address = address(&web, &name)?;
    let info = known(&web, &caller, address.clone()).await?;
    // Nobody is impersonated: only programs get tokens from somebody else.
    if !info.bot {
        return Err(Problem::forbidden("people make their tokens themselves"));
    }
    let made = mint(&web, &address, &ask.name).await?;
    let (by, detail) = (caller.address().clone(), Some(ask.name));
    web.node
        .write(move |tx| note(tx, Some(&by), "token made", address.as_str(), detail))
        .await?;
    Ok(Created(made))
}
