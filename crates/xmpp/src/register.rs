//! XEP-0077 for those who have an account: a new passphrase, and taking the account away. Making one is in `c2s/signup.rs`.
//!
//! Both ask for a session that signed in with the passphrase: an app password lets an app in, not decide who else comes in.

use std::sync::Arc;

use sammen_core::ops;
use sammen_net::Secret;
use sammen_net::accounts::AccountError;
use sammen_net::credentials::CredentialError;

use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::wire::{Condition, Element, ErrorType, StanzaError, ns};

/// The feature. Apps look for the namespace at the server before they offer a new password.
pub static FEATURE: Feature = Feature {
    name: "register",
    disco: |at| match at {
        Where::Server => &[ns::MUC_REGISTER],
        _ => &[],
    },
    iqs: &[IqHandler {
        name: "query",
        ns: ns::MUC_REGISTER,
        get: true,
        set: true,
        at: &[Where::Server, Where::OwnAccount],
        handle,
    }],
    ..Feature::NONE
};

fn handle(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        if !iq.set {
            return Ok(Some(known(&client)));
        }
        if client.device.credential.is_some() {
            let why =
                "Sign in with the passphrase of the account for that, not with an app password.";
            return Err(StanzaError::new(Condition::Forbidden).with_text(why));
        }
        if iq.child.has("remove", ns::MUC_REGISTER) {
            // §3.2: the only child.
            if iq.child.elements().count() != 1 {
                return Err(Iq::bad("remove stands alone"));
            }
            return remove(&client).await.map(|()| None);
        }
        change(&client, &iq.child).await.map(|()| None)
    })
}

/// §3.1: registered already, and what can be set.
fn known(client: &Client) -> Element {
    let child = |name: &'static str| Element::new(ns::MUC_REGISTER, name);
    Element::new(ns::MUC_REGISTER, "query")
        .child(child("registered"))
        .child(child("username").text(client.account.name()))
        .child(child("password"))
}

/// §3.3. Everyone else who is signed in has to show the new passphrase, or an app password, again.
async fn change(client: &Arc<Client>, query: &Element) -> Result<(), StanzaError> {
    let text = |name| query.find_text(name, ns::MUC_REGISTER);
    let (Some(name), Some(password)) = (text("username"), text("password")) else {
        return Err(Iq::bad("a name and a password are needed"));
    };
    if password.is_empty() {
        return Err(Iq::bad("the password is empty"));
    }
    let name = name.trim().to_lowercase();
    if name != client.account.name() && name != client.account.as_str() {
        let why = "That is not the name of your account.";
        return Err(StanzaError::new(Condition::NotAllowed).with_text(why));
    }
    let accounts = &client.server.accounts;
    let secret = Secret::new(password.into_owned());
    let (iterations, now) = (accounts.iterations(), accounts.now_ms());
    let own = Some(client.device.id);
    let changed = accounts.change_from(&client.account, own, move |credentials| {
        credentials.set_passphrase(&secret, iterations, now, &mut rand::rng())
    });
    changed.await.map_err(|e| refused(&e))?;
    let (account, own) = (client.account.clone(), client.session.id);
    client
        .node
        .write(move |tx| ops::sessions::sign_out_everywhere(tx, &account, Some(own)))
        .await?;
    tracing::info!(protocol = "xmpp", account = %client.account, "{} has a new passphrase", client.account);
    Ok(())
}

/// What an app is told of a password that was not taken.
pub(crate) fn refused(error: &AccountError) -> StanzaError {
    match error {
        AccountError::Refused(refusal) => refusal.clone().into(),
        AccountError::Credentials(CredentialError::Password(why)) => {
            StanzaError::new(Condition::NotAcceptable)
                .with_type(ErrorType::Modify)
                .with_text(why.to_string())
        }
        AccountError::Credentials(damaged) => {
            tracing::error!(%damaged, "credentials can't be changed");
            Condition::InternalServerError.into()
        }
    }
}

/// §3.2. All sessions end with it, this one too.
async fn remove(client: &Arc<Client>) -> Result<(), StanzaError> {
    let removed = client.server.accounts.remove(&client.account).await;
    removed.map_err(|e| refused(&e))?;
    tracing::info!(protocol = "xmpp", account = %client.account, "{} removed itself", client.account);
    // What is left of a long life goes now, not at the next hour; if that is cut short, then at the next hour.
    if let Err(error) = client.node.finish_removals().await {
        tracing::warn!(%error, "a removal is to be finished later");
    }
    Ok(())
}
