//! XEP-0133: administration of the node by its administrators, from any app that runs commands.
//!
//! Only for sessions that signed in with the passphrase: an app password lets an app in, not decide who else comes in.

mod announce;
mod lists;
mod users;

use sammen_core::{Address, Refusal};

use crate::address::Place;
use crate::client::Client;
use crate::commands::Command;
use crate::iq::Iq;
use crate::muc::form::{Form, Submitted};
use crate::wire::{Condition, Jid, StanzaError};

/// The form type of all its forms, and the beginning of its nodes.
const FORM: &str = "http://jabber.org/protocol/admin";

/// All commands.
pub fn all() -> impl Iterator<Item = &'static Command> {
    [users::ALL, lists::ALL, announce::ALL]
        .into_iter()
        .flatten()
}

/// Administrators, with their own passphrase.
fn may(client: &Client) -> bool {
    let account = client.node.account(&client.account);
    client.device.credential.is_none() && account.is_ok_and(|a| a.is_some_and(|a| a.admin))
}

/// A form with a title.
fn form(title: &str) -> Form {
    Form::new("form", FORM).headed(title, "Fill out this form.")
}

/// An account of this node that may not exist.
fn named(client: &Client, text: &str) -> Result<Address, StanzaError> {
    let jid = Jid::new(text.trim()).map_err(|_| Iq::bad("that is no address"))?;
    match client.server.place(&jid.bare()) {
        Place::Account(address) if address.is_account() => Ok(address),
        _ => Err(StanzaError::new(Condition::NotAcceptable)
            .with_text(format!("{text} is no address of an account here"))),
    }
}

/// An account that is there.
fn known(client: &Client, text: &str) -> Result<Address, StanzaError> {
    let address = named(client, text)?;
    match client.node.account(&address).map_err(StanzaError::from)? {
        Some(_) => Ok(address),
        None => Err(StanzaError::from(Refusal::NotFound)
            .with_text(format!("there is no account {address}"))),
    }
}

/// The accounts of a field with many; all have to be there before anything happens. `but` may not be among them.
fn accounts(
    client: &Client,
    form: &Submitted,
    var: &str,
    but: Option<&Address>,
) -> Result<Vec<Address>, StanzaError> {
    let texts = form.many(var).unwrap_or_default();
    if texts.is_empty() {
        return Err(Iq::bad("whose account?"));
    }
    let found: Vec<Address> = texts
        .iter()
        .map(|t| known(client, t))
        .collect::<Result<_, _>>()?;
    if but.is_some_and(|but| found.contains(but)) {
        return Err(StanzaError::new(Condition::NotAllowed)
            .with_text("That is your own account: another administrator can do it."));
    }
    Ok(found)
}
