//! Sending: one way into every log, for messages, edits, reactions, retractions, markers and encrypted things.

mod append;
mod check;
mod read;
mod relate;

use std::sync::Arc;

use crate::address::Address;
use crate::conversation::Home;
use crate::convo::Convo;
use crate::encryption;
use crate::event::{
    Acceptance, Content, Event, ForeignId, MarkerKind, Native, Protocol, Relation, RelationKind,
    Scheme,
};
use crate::ids::{ConversationId, EventId, Pos, SessionId};
use crate::live::{Announced, ContactCause, StateChange};
use crate::network::OutboxRow;
use crate::permission;
use crate::principal::{Origin, Principal};
use crate::refusal::{Outcome, Refusal};
use crate::sent::Sent;
use crate::store::{Tail, Write};
use crate::tx::{Post, Tx};

pub(crate) use append::{Draft, append, progress};
pub(crate) use check::check_sizes;
use check::{accept_request, check_audience, check_peer, check_size, find_duplicate};
pub use check::{is_stranger, shares_receipts};
pub use read::{READ, ReadMark, mark_read, typing};
use relate::{relation_needs_target, resolve};

/// Where something goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The main direct conversation with this one.
    Direct(Address),
    /// A conversation that is known.
    Conversation(ConversationId),
}

/// Something to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub to: Target,
    /// What it says.
    pub content: Content,
    /// As its protocol wrote it.
    pub native: Option<Native>,
    /// What it refers to: the target, or the foreign id by which the protocol names it.
    pub relation: Option<Relation>,
    /// The sender's own ids for it.
    pub aliases: Vec<ForeignId>,
    /// Who may see it, where not everyone.
    pub audience: Option<Vec<Address>>,
    /// From which device and session.
    pub origin: Origin,
    /// The protocol it came in by.
    pub protocol: Protocol,
}

impl Outgoing {
    /// Content without anything else.
    pub fn new(to: Target, content: Content, protocol: Protocol) -> Self {
        Self {
            to,
            content,
            native: None,
            relation: None,
            aliases: Vec::new(),
            audience: None,
            origin: Origin::default(),
            protocol,
        }
    }
}

/// Stores something in a conversation's log and tells those who see it.
///
/// # Errors
/// When the principal may not, the rules of encryption forbid it, a limit is met, or what it refers to is another's.
pub fn send(tx: &mut Tx<'_>, who: &Principal, out: Outgoing) -> Outcome<Sent> {
    let author = who
        .address()
        .cloned()
        .ok_or(Refusal::Invalid("the node itself writes no messages"))?;
    check_size(tx, &out)?;
    if let Target::Direct(peer) = &out.to {
        check_peer(tx, &author, peer, &out)?;
    }
    let existing = match &out.to {
        Target::Direct(peer) => {
            tx.convo_by_key(&crate::conversation::ConversationKey::direct(&author, peer))?
        }
        Target::Conversation(id) => Some(tx.convo(*id)?),
    };
    if let Some(convo) = &existing {
        match permission::may_send(convo, who, &out.content) {
            // A visitor may speak to one person where the room allows it (XEP-0045 §5.1.1): that is checked below.
            Err(Refusal::NoVoice) if out.audience.is_some() => {}
            checked => checked?,
        }
        encryption::may_send(convo, &out.content, out.protocol)?;
        if let Some(pair_peer) = convo.conversation.peer_of(&author).cloned()
            && matches!(out.to, Target::Conversation(_))
        {
            check_peer(tx, &author, &pair_peer, &out)?;
        }
        check_audience(convo, &author, &out)?;
        if let Some(known) = find_duplicate(tx, convo, &author, &out)? {
            progress(tx, &out.origin);
            return Ok(known);
        }
    }
    let relation = match &existing {
        Some(convo) => resolve(tx, convo, who, &author, &out)?,
        None => out
            .relation
            .clone()
            .filter(|r| r.kind == RelationKind::Reply),
    };
    if let (Content::Marker(kind), Some(convo)) = (&out.content, &existing)
        && !shares_receipts(tx, convo, &author)?
    {
        mark_read(
            tx,
            convo,
            &author,
            relation.as_ref().and_then(|r| r.target),
            *kind,
            &out.origin,
        )?;
        progress(tx, &out.origin);
        return Ok(Sent::NOTHING);
    }
    // From here on nothing is refused.
    let convo = match (&out.to, existing) {
        (_, Some(convo)) => convo,
        (Target::Direct(peer), None) => tx.direct(&author, peer)?,
        (Target::Conversation(_), None) => return Err(Refusal::NotFound),
    };
    accept_request(tx, &convo, &author, &out)?;
    if let Some(peer) = convo.conversation.peer_of(&author).cloned()
        && out.content.is_speech()
    {
        crate::ops::presence::note_waiting(tx, &peer)?;
    }
    let convo = encryption::note(tx, convo, &out.content);
    let about = relation
        .as_ref()
        .and_then(|r| r.target)
        .filter(|_| relation_needs_target(&out.content));
    let about = match about {
        Some(id) => tx.event(id)?,
        None => None,
    };
    if let (Content::Retraction { .. }, Some(target)) = (&out.content, &about) {
        crate::ops::erase::erase_with_edits(tx, target, Some(&author))?;
    }
    if let (Content::Marker(kind), Some(target)) =
        (&out.content, relation.as_ref().and_then(|r| r.target))
    {
        mark_read(tx, &convo, &author, Some(target), *kind, &out.origin)?;
    }
    let draft = Draft {
        author,
        content: out.content,
        native: out.native,
        relation,
        aliases: out.aliases,
        audience: out.audience,
        origin: out.origin,
        about,
    };
    Ok(append(tx, &convo, draft))
}
