//! The rules of encryption, the same for every protocol.

use std::sync::Arc;

use crate::conversation::{Binding, TurnedEncrypted};
use crate::convo::Convo;
use crate::event::{Content, Protocol};
use crate::refusal::{Outcome, Refusal};
use crate::tx::Tx;

/// The protocol family whose apps can open a scheme.
pub fn family(scheme: &str) -> Option<Protocol> {
    match scheme {
        "OMEMO" | "OpenPGP for XMPP" | "OTR" => Some(Protocol::Xmpp),
        "Megolm" | "Olm" => Some(Protocol::Matrix),
        "OpenPGP" => Some(Protocol::Mail),
        _ => None,
    }
}

/// May this content enter the conversation by this protocol?
pub fn may_send(convo: &Convo, content: &Content, protocol: Protocol) -> Outcome<()> {
    if let Content::Encrypted { scheme, .. } = content {
        return match &convo.conversation.settings.binding {
            Binding::Unbound if convo.is_room() => Err(Refusal::NotAcceptable(
                "This room is for every app: encrypted messages could not be read by all of them."
                    .into(),
            )),
            Binding::Bound(bound) if bound != scheme => Err(Refusal::NotAcceptable(format!(
                "This room is encrypted with {bound}."
            ))),
            _ => Ok(()),
        };
    }
    let plain = matches!(content, Content::Message(_) | Content::Edit(_));
    if let Some(turned) = &convo.conversation.turned_encrypted
        && plain
        && !turned.plain_allowed
        && family(&turned.scheme) != Some(protocol)
    {
        return Err(Refusal::NotAcceptable(format!(
            "This conversation is encrypted with {}. Plain text from here would weaken it. \
             Write from an app that has {0}, or allow plain text for this conversation.",
            turned.scheme
        )));
    }
    Ok(())
}

/// From the first encrypted event on, a direct conversation has turned encrypted.
pub(crate) fn note(tx: &mut Tx<'_>, convo: Arc<Convo>, content: &Content) -> Arc<Convo> {
    let Content::Encrypted { scheme, .. } = content else {
        return convo;
    };
    let known = convo
        .conversation
        .turned_encrypted
        .as_ref()
        .is_some_and(|t| t.scheme == *scheme);
    if convo.is_room() || known {
        return convo;
    }
    tx.change_convo(&convo, |c| {
        c.turned_encrypted = Some(TurnedEncrypted {
            scheme: scheme.clone(),
            plain_allowed: false,
        });
    })
}

/// One of the pair allows plain text beside the encrypted messages, or forbids it again. Both see it.
///
/// # Errors
/// When there is no such conversation, it is not theirs, or it never was encrypted.
pub fn allow_plain(
    tx: &mut Tx<'_>,
    who: &crate::address::Address,
    peer: &crate::address::Address,
    allow: bool,
    origin: crate::principal::Origin,
) -> Outcome<()> {
    let key = crate::conversation::ConversationKey::direct(who, peer);
    let convo = tx.convo_by_key(&key)?.ok_or(Refusal::NotFound)?;
    if convo.conversation.turned_encrypted.is_none() {
        return Err(Refusal::Invalid("this conversation is not encrypted"));
    }
    let convo = tx.change_convo(&convo, |c| {
        if let Some(turned) = &mut c.turned_encrypted {
            turned.plain_allowed = allow;
        }
    });
    let words = if allow {
        "Plain text from other apps is allowed in this conversation now: the node can read it."
    } else {
        "Plain text from other apps is no longer allowed in this conversation."
    };
    let note = crate::event::Message {
        kind: crate::event::MessageKind::Notice,
        ..crate::event::Message::text(words)
    };
    let draft = crate::ops::send::Draft::new(who, Content::Message(note), origin);
    crate::ops::send::append(tx, &convo, draft);
    Ok(())
}
