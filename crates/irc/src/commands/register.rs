//! draft/account-registration: REGISTER, off by default; accounts need no verification, so VERIFY has nothing to do.

use sammen_core::{Name, Refusal};
use sammen_net::Secret;
use sammen_net::accounts::AccountError;

use crate::session::Session;
use crate::wire::standard::codes;
use crate::wire::{Message, Numeric};

pub(crate) async fn register(s: &mut Session, m: &Message<'_>) {
    if !s.server.config().registration {
        let text = "Accounts are made by the administrators of this server";
        let code = codes::TEMPORARILY_UNAVAILABLE;
        return s.fail("REGISTER", code, &[m.text(0).unwrap_or("*")], text);
    }
    let nick = s.nick().to_owned();
    let account = m.text(0).filter(|a| *a != "*").unwrap_or(&nick).to_owned();
    if s.me.is_some() || s.registration.signed.is_some() {
        let text = "You are signed in already";
        return s.fail("REGISTER", codes::ALREADY_AUTHENTICATED, &[&account], text);
    }
    let secure = s.client.channel.secure || s.client.plain_allowed;
    let (Ok(name), true) = (Name::new(&account), secure) else {
        let text = "An account's name is letters, digits, dots and dashes";
        return s.fail("REGISTER", codes::BAD_ACCOUNT_NAME, &[&account], text);
    };
    let password = Secret::new(m.text(2).unwrap_or(""));
    // One place may make as many accounts as it may guess passwords.
    let now = u64::try_from(s.server.node.now().0).unwrap_or(0);
    let place = s.client.address;
    let attempt = s
        .server
        .accounts
        .throttle
        .begin("REGISTER", place, false, now);
    if attempt.is_err() {
        let text = "Too many accounts; try later";
        return s.fail(
            "REGISTER",
            codes::TEMPORARILY_UNAVAILABLE,
            &[&account],
            text,
        );
    }
    let accounts = s.server.accounts.clone();
    let domain = s.server.domain().clone();
    match accounts.create(&domain, &name, password, false).await {
        Ok(address) => {
            let text = "Account created";
            let line = s
                .server_line("REGISTER")
                .param("SUCCESS")
                .param(&account)
                .trailing(text);
            s.reply(line);
            let (mask, nick) = (s.server.names.mask(&address), s.server.names.nick(&address));
            s.registration.signed = Some(crate::registration::Signed {
                account: address,
                device: None,
                credential: None,
                stamp: None,
            });
            let text = format!("You are now logged in as {nick}");
            s.numeric(Numeric::RPL_LOGGEDIN, &[&mask, &nick], &text);
            crate::registration::advance(s).await;
        }
        Err(error) => {
            let (code, text) = match error {
                AccountError::Refused(Refusal::Taken) => {
                    (codes::ACCOUNT_EXISTS, "That name is taken".to_owned())
                }
                AccountError::Refused(Refusal::InvalidName) => {
                    (codes::BAD_ACCOUNT_NAME, "That name is reserved".to_owned())
                }
                AccountError::Refused(other) => (codes::TEMPORARILY_UNAVAILABLE, other.to_string()),
                AccountError::Credentials(other) => {
                    (codes::UNACCEPTABLE_PASSWORD, other.to_string())
                }
            };
            s.fail("REGISTER", code, &[&account], &text);
        }
    }
}

pub(crate) async fn verify(s: &mut Session, m: &Message<'_>) {
    let account = m.text(0).unwrap_or("*").to_owned();
    let text = "Accounts here need no verification";
    s.fail("VERIFY", codes::INVALID_CODE, &[&account], text);
}
