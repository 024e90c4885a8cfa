//! XEP-0133 §4.1–§4.5, §4.7: making, removing, closing and opening accounts, their passphrases and sessions.

use std::sync::Arc;

use sammen_core::mailbox::CloseReason;
use sammen_core::{Name, Protocol, ops};
use sammen_net::Secret;

use super::{accounts, form, known, may, named};
use crate::client::Client;
use crate::commands::{Command, Done};
use crate::feature::BoxFuture;
use crate::iq::Iq;
use crate::muc::form::Submitted;
use crate::register::refused;
use crate::wire::{Element, Jid, StanzaError};

/// The commands.
pub const ALL: &[Command] = &[
    Command {
        node: "http://jabber.org/protocol/admin#add-user",
        name: "Add a user",
        may,
        ask: Some(|_| ready(with_password("Add a user"))),
        run: |client, form| Box::pin(add(client, form)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#delete-user",
        name: "Delete users",
        may,
        ask: Some(|_| ready(several("Delete users and all that they wrote"))),
        run: |client, form| Box::pin(delete(client, form)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#disable-user",
        name: "Disable users",
        may,
        ask: Some(|_| ready(several("Disable users"))),
        run: |client, form| Box::pin(enable(client, form, false)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#reenable-user",
        name: "Re-enable users",
        may,
        ask: Some(|_| ready(several("Re-enable users"))),
        run: |client, form| Box::pin(enable(client, form, true)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#end-user-session",
        name: "End sessions of users",
        may,
        ask: Some(|_| ready(several("End sessions of users"))),
        run: |client, form| Box::pin(end(client, form)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#change-user-password",
        name: "Change the password of a user",
        may,
        ask: Some(|_| ready(with_password("Change the password of a user"))),
        run: |client, form| Box::pin(password(client, form)),
    },
];

fn ready(form: Element) -> BoxFuture<Result<Element, StanzaError>> {
    Box::pin(std::future::ready(Ok(form)))
}

fn with_password(title: &str) -> Element {
    form(title)
        .field::<&str>("accountjid", "jid-single", Some("Address"), [])
        .field::<&str>("password", "text-private", Some("Password"), [])
        .field::<&str>(
            "password-verify",
            "text-private",
            Some("The same again"),
            [],
        )
        .done()
}

fn several(title: &str) -> Element {
    form(title)
        .field::<&str>("accountjids", "jid-multi", Some("Addresses"), [])
        .done()
}

fn given_password(form: &Submitted) -> Result<Secret, StanzaError> {
    let password = form.one("password").unwrap_or_default();
    if form
        .one("password-verify")
        .is_some_and(|again| again != password)
    {
        return Err(Iq::bad("the two passwords differ"));
    }
    Ok(Secret::new(password))
}

async fn add(client: Arc<Client>, form: Submitted) -> Result<Done, StanzaError> {
    let address = named(&client, form.one("accountjid").unwrap_or_default())?;
    let name = Name::new(address.name()).map_err(|_| Iq::bad("that is no account name"))?;
    let domain = address
        .domain()
        .and_then(|d| sammen_core::Domain::new(d).ok());
    let domain = domain.ok_or_else(|| Iq::bad("that is no account name"))?;
    let password = given_password(&form)?;
    let made = client
        .server
        .accounts
        .create(&domain, &name, password, true);
    made.await.map_err(|e| refused(&e))?;
    tracing::info!(protocol = "xmpp", account = %client.account, "{} made {address}", client.account);
    Ok(Done::said(format!("{address} was made.")))
}

async fn delete(client: Arc<Client>, form: Submitted) -> Result<Done, StanzaError> {
    let all = accounts(&client, &form, "accountjids", Some(&client.account))?;
    for address in &all {
        let removed = client.server.accounts.remove(address).await;
        removed.map_err(|e| refused(&e))?;
        tracing::info!(protocol = "xmpp", account = %client.account, "{} removed {address}", client.account);
    }
    // What is left of long lives goes now, not at the next hour; if that is cut short, then at the next hour.
    if let Err(error) = client.node.finish_removals().await {
        tracing::warn!(%error, "a removal is to be finished later");
    }
    Ok(Done::said(format!("Removed: {}.", all.len())))
}

async fn enable(client: Arc<Client>, form: Submitted, enabled: bool) -> Result<Done, StanzaError> {
    let all = accounts(&client, &form, "accountjids", Some(&client.account))?;
    let count = all.len();
    let write = client.node.write(move |tx| {
        for address in &all {
            ops::accounts::change(tx, address, |a| a.disabled = !enabled)?;
        }
        Ok(())
    });
    write.await?;
    let what = if enabled { "Enabled" } else { "Disabled" };
    Ok(Done::said(format!("{what}: {count}.")))
}

/// §4.5: all sessions of an account, or one where a resource is named. Passwords go on working.
async fn end(client: Arc<Client>, form: Submitted) -> Result<Done, StanzaError> {
    let texts = form.many("accountjids").unwrap_or_default();
    if texts.is_empty() {
        return Err(Iq::bad("whose sessions?"));
    }
    let mut ends = Vec::new();
    for text in texts {
        let account = known(&client, text)?;
        let resource = Jid::new(text.trim())
            .ok()
            .and_then(|j| j.resource().map(str::to_owned));
        let of = client.node.live(|live| live.sessions_of(&account).to_vec());
        let fits = |label: &str, protocol| match &resource {
            Some(resource) => protocol == Protocol::Xmpp && label == resource,
            None => true,
        };
        ends.extend(of.into_iter().filter(|s| fits(&s.label, s.protocol)));
    }
    let count = ends.len();
    let end = client.node.write(move |tx| {
        for session in &ends {
            ops::sessions::end(tx, session.id, CloseReason::Killed);
        }
        Ok(())
    });
    end.await?;
    Ok(Done::said(format!("Sessions that end: {count}.")))
}

async fn password(client: Arc<Client>, form: Submitted) -> Result<Done, StanzaError> {
    let address = known(&client, form.one("accountjid").unwrap_or_default())?;
    let secret = given_password(&form)?;
    let of = &client.server.accounts;
    let (iterations, now) = (of.iterations(), of.now_ms());
    let changed = of.change(&address, move |credentials| {
        credentials.set_passphrase(&secret, iterations, now, &mut rand::rng())
    });
    changed.await.map_err(|e| refused(&e))?;
    let (whose, own) = (address.clone(), client.session.id);
    let except = (address == client.account).then_some(own);
    let write = client
        .node
        .write(move |tx| ops::sessions::sign_out_everywhere(tx, &whose, except));
    write.await?;
    tracing::info!(protocol = "xmpp", account = %client.account, "{} gave {address} a new passphrase", client.account);
    Ok(Done::said(format!(
        "{address} has a new password; its devices sign in anew."
    )))
}
