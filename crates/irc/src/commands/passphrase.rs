//! `NS PASSWD old new new`: another passphrase for the own account, as other servers' NickServ has it.

use sammen_core::ops;
use sammen_net::Secret;
use sammen_net::accounts::AccountError;
use sammen_net::credentials::CredentialError;

use crate::session::Session;

const HELP: &str =
    "passwd OLD NEW NEW, without blanks; other apps have to sign in with the new passphrase";

/// Does it; the answer is for people. App passwords stay as they are and cannot do this.
pub(crate) async fn run(s: &mut Session, words: &[&str]) -> String {
    let [old, new, again] = words else {
        return HELP.to_owned();
    };
    if new != again {
        return "The new passphrase is not the same twice".to_owned();
    }
    if !s.account().is_account() {
        return "You have no account".to_owned();
    }
    let (me, old, new) = (s.me().nick.clone(), Secret::new(*old), Secret::new(*new));
    // Whoever found an open app must not take the account: with the throttle of a login, and never an app password.
    if crate::login::passphrase_of(s, &me, &old).await.as_ref() != Some(&s.account()) {
        return "The old passphrase is not right".to_owned();
    }
    let accounts = s.server.accounts.clone();
    let (iterations, now) = (accounts.iterations(), accounts.now_ms());
    let account = s.account();
    let own = Some(s.me().device.id);
    let changed = accounts.change_from(&account, own, move |credentials| {
        credentials.set_passphrase(&new, iterations, now, &mut rand::rng())
    });
    match changed.await {
        Ok(_) => {}
        Err(AccountError::Credentials(CredentialError::Password(why))) => {
            return format!("Not done: {why}");
        }
        Err(_) => return "Not done; try later".to_owned(),
    }
    let own = s.id();
    tracing::info!(protocol = "irc", %account, "{account} has a new passphrase");
    let ended = s
        .server
        .node
        .write(move |tx| ops::sessions::sign_out_everywhere(tx, &account, Some(own)));
    match ended.await {
        Ok(()) => "Your passphrase is changed; your other apps have to sign in anew".to_owned(),
        Err(_) => "Your passphrase is changed; your other apps may still be signed in".to_owned(),
    }
}
