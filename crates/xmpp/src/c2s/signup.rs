//! XEP-0077 §3.1 and XEP-0445: making an account before signing in, where the node is open or by invitation.

use sammen_core::{Name, Refusal, Timestamp};
use sammen_net::Secret;
use sammen_net::accounts::AccountError;
use sammen_net::invitations::{self, Invitation, Token};

use super::negotiation::Negotiation;
use crate::register::refused;
use crate::wire::{Condition, Element, ErrorType, Jid, StanzaError, ns};

/// Accounts that one stream may make.
const MOST: u32 = 3;
const BY_INVITATION: &str = "Accounts are made by invitation here.";

/// What somebody without an account has shown so far.
#[derive(Default)]
pub struct Signup {
    /// The invitation, and when it was looked up: what held then goes on holding (XEP-0445 §4).
    shown: Option<(Token, Invitation, Timestamp)>,
    made: u32,
}

/// The stream features: registration (XEP-0077 §8) and with a token (XEP-0445 §3). Both are always there, because
/// apps with a link look for both; only who is allowed gets further.
pub fn features(stream: &Negotiation) -> Vec<Element> {
    if !allowed_here(stream) {
        return Vec::new();
    }
    vec![
        Element::new(ns::REGISTER_FEATURE, "register"),
        Element::new(ns::IBR_TOKEN, "register"),
    ]
}

/// A password in clear text is for nobody else's eyes.
fn allowed_here(stream: &Negotiation) -> bool {
    stream.ground.channel.secure || stream.ground.plain_allowed
}

/// Answers an IQ of somebody who has not signed in; `None` where it is none of these.
pub async fn iq(
    stream: &mut Negotiation,
    el: &Element,
) -> Option<Result<Option<Element>, StanzaError>> {
    let child = el.first()?;
    let set = match el.get("type")? {
        "get" => false,
        "set" => true,
        _ => return None,
    };
    let known = child.is("query", ns::MUC_REGISTER) || child.is("preauth", ns::PARS);
    if !known || !allowed_here(stream) {
        return None;
    }
    let elsewhere = |to: &str| Jid::new(to).is_ok_and(|to| to.as_str() != stream.domain.as_str());
    if el.get("to").is_some_and(elsewhere) {
        return Some(Err(Condition::ItemNotFound.into()));
    }
    Some(match (child.name(), set) {
        ("preauth", true) => preauth(stream, child).await.map(|()| None),
        ("preauth", false) => Err(Condition::BadRequest.into()),
        (_, false) => form(stream).map(Some),
        (_, true) => register(stream, child).await.map(|()| None),
    })
}

/// XEP-0445 §4.
async fn preauth(stream: &mut Negotiation, el: &Element) -> Result<(), StanzaError> {
    let why = "The provided token is invalid or expired";
    let unknown = || StanzaError::new(Condition::ItemNotFound).with_text(why);
    let token = Token::read(el.get("token").unwrap_or_default()).ok_or_else(unknown)?;
    let node = stream.server.node.clone();
    let found = invitations::look_up(&node, &token).await?;
    let found = found.filter(|i| i.offer.account).ok_or_else(unknown)?;
    stream.signup.shown = Some((token, found, node.now()));
    Ok(())
}

fn may(stream: &Negotiation) -> Result<(), StanzaError> {
    if stream.server.config.get().registration || stream.signup.shown.is_some() {
        return Ok(());
    }
    Err(StanzaError::new(Condition::NotAllowed).with_text(BY_INVITATION))
}

/// XEP-0077 §3.1: what is asked for.
fn form(stream: &Negotiation) -> Result<Element, StanzaError> {
    may(stream)?;
    let child = |name: &'static str| Element::new(ns::MUC_REGISTER, name);
    let shown = stream.signup.shown.as_ref();
    let name = shown.and_then(|(_, i, _)| i.offer.name.as_ref());
    let username = child("username").text(name.map_or("", Name::as_str));
    let words =
        "Choose a name (a to z, 0 to 9, dots and dashes) and a password of at least 8 characters.";
    Ok(child("query")
        .child(child("instructions").text(words))
        .child(username)
        .child(child("password")))
}

async fn register(stream: &mut Negotiation, query: &Element) -> Result<(), StanzaError> {
    may(stream)?;
    let text = |name| query.find_text(name, ns::MUC_REGISTER);
    let (Some(name), Some(password)) = (text("username"), text("password")) else {
        return Err(StanzaError::new(Condition::NotAcceptable).with_text("a name and a password"));
    };
    // An account's name is one that every protocol can write.
    let name = Name::new(&name.trim().to_lowercase()).map_err(|_| {
        let why = "A name is a to z, 0 to 9, dots and dashes, and begins with a letter.";
        StanzaError::new(Condition::NotAcceptable)
            .with_type(ErrorType::Modify)
            .with_text(why)
    })?;
    let server = stream.server.clone();
    let accounts = &server.accounts;
    let later = || StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait);
    if stream.signup.made >= MOST {
        return Err(later());
    }
    let secret = Secret::new(password.into_owned());
    let made = match &stream.signup.shown {
        Some((token, _, at)) => {
            accounts
                .create_invited(&stream.domain, &name, secret, token, *at)
                .await
        }
        None => {
            // One place may make as many accounts as it may guess passwords.
            let (place, now) = (stream.ground.address, accounts.now_ms());
            if accounts
                .throttle
                .begin("REGISTER", place, false, now)
                .is_err()
            {
                return Err(later());
            }
            accounts.create(&stream.domain, &name, secret, false).await
        }
    };
    let account = made.map_err(|error| match &error {
        AccountError::Refused(Refusal::Taken | Refusal::InvalidName) => {
            StanzaError::new(Condition::Conflict).with_text("That name is taken.")
        }
        AccountError::Refused(Refusal::NotFound) => {
            StanzaError::new(Condition::NotAllowed).with_text(BY_INVITATION)
        }
        _ => refused(&error),
    })?;
    stream.signup.made += 1;
    stream.signup.shown = None;
    tracing::info!(protocol = "xmpp", %account, "{account} was made");
    Ok(())
}
