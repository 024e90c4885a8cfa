//! Sending: one way into every log, for messages, edits, reactions, retractions, markers and encrypted things.

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

/// An event without what the log gives it.
pub(crate) struct Draft {
    pub author: Address,
    pub content: Content,
    pub native: Option<Native>,
    pub relation: Option<Relation>,
    pub aliases: Vec<ForeignId>,
    pub audience: Option<Vec<Address>>,
    pub origin: Origin,
    pub about: Option<Arc<Event>>,
}

impl Draft {
    pub fn new(author: &Address, content: Content, origin: Origin) -> Self {
        Self {
            author: author.clone(),
            content,
            native: None,
            relation: None,
            aliases: Vec::new(),
            audience: None,
            origin,
            about: None,
        }
    }
}

/// Puts an event at the end of a log and into the posts. Everything was checked.
pub(crate) fn append(tx: &mut Tx<'_>, convo: &Arc<Convo>, draft: Draft) -> Sent {
    let seq = tx.next_seq();
    let tail = tx.cache.tails.get(&convo.id()).copied().unwrap_or_default();
    let pos = Pos(tail.last_pos.map_or(0, |p| p.0) + Pos::STEP);
    let at = tx.now.max(tail.last_at);
    let elsewhere = match &convo.conversation.home {
        Home::Network(network) => Some((network.clone(), convo.conversation.room().cloned())),
        Home::Node => remote_peer(convo, &draft.author),
    };
    let pending = matches!(convo.conversation.home, Home::Network(_)) && draft.author.is_account();
    let event = Arc::new(Event {
        seq,
        pos,
        id: EventId::new(at, tx.random()),
        conversation: convo.id(),
        nick: convo
            .member(&draft.author)
            .and_then(|m| m.nick.as_deref().map(str::to_owned)),
        author: draft.author,
        device: draft.origin.device,
        at,
        acceptance: if pending {
            Acceptance::Pending
        } else {
            Acceptance::Accepted
        },
        audience: draft.audience,
        historical: false,
        relation: draft.relation,
        content: draft.content,
        native: draft.native,
    });
    tx.write(Write::Event(event.clone()));
    tx.events.insert(event.id, event.clone());
    let mut waiting = tail.waiting;
    for alias in draft.aliases {
        release_waiting(tx, convo.id(), &alias, &event);
        tx.aliases.insert(
            (
                convo.id(),
                alias.scheme,
                event.author.clone(),
                alias.id.clone(),
            ),
            seq,
        );
        tx.write(Write::Alias {
            conversation: convo.id(),
            scheme: alias.scheme,
            author: event.author.clone(),
            foreign: alias.id,
            seq,
        });
    }
    if let Some(Relation {
        target: None,
        foreign: Some(foreign),
        ..
    }) = &event.relation
    {
        waiting = true;
        tx.write(Write::Waiting {
            conversation: convo.id(),
            scheme: foreign.scheme,
            foreign: foreign.id.clone(),
            seq,
        });
    }
    tx.cache.tails.insert(
        convo.id(),
        Tail {
            last_pos: Some(pos),
            first_pos: tail.first_pos.or(Some(pos)),
            last_at: at,
            last_seq: seq,
            waiting,
        },
    );
    progress(tx, &draft.origin);
    if let (Some((network, to)), true) = (elsewhere, event.author.is_account()) {
        let to = to.unwrap_or_else(|| event.author.clone());
        tx.write(Write::Outbox(OutboxRow {
            seq,
            network,
            destination: to.name().rsplit('@').next().unwrap_or_default().to_owned(),
            event: Some(seq),
            conversation: Some(convo.id()),
            from: event.author.clone(),
            to,
            payload: bytes::Bytes::new(),
            attempts: 0,
            next: tx.now,
            created: tx.now,
        }));
        tx.shared.outbox_bell.notify_one();
    }
    let sent = Sent {
        seq,
        id: event.id,
        pos,
        conversation: convo.id(),
        at,
        duplicate: false,
    };
    let announced = Announced::new(event, convo.clone(), draft.origin.session, draft.about);
    tx.posts.push(Post::Event(Arc::new(announced)));
    sent
}

fn remote_peer(
    convo: &Convo,
    author: &Address,
) -> Option<(crate::address::NetworkName, Option<Address>)> {
    let peer = convo.conversation.peer_of(author)?;
    let network = crate::address::NetworkName::new(peer.network()?).ok()?;
    Some((network, Some(peer.clone())))
}

/// Relations that waited for this foreign id get their target.
fn release_waiting(
    tx: &mut Tx<'_>,
    conversation: ConversationId,
    alias: &ForeignId,
    event: &Arc<Event>,
) {
    if !tx.cache.tails.get(&conversation).is_some_and(|t| t.waiting) {
        return;
    }
    for seq in tx
        .store
        .waiting(conversation, alias.scheme, &alias.id)
        .unwrap_or_default()
    {
        tx.write(Write::Resolve {
            seq,
            target: event.id,
        });
    }
}

/// Writes the device's counter with the batch.
pub(crate) fn progress(tx: &mut Tx<'_>, origin: &Origin) {
    if let (Some(id), Some(inbound)) = (origin.device, origin.inbound) {
        tx.progress(id, None, Some(inbound));
    }
}

fn check_size(tx: &Tx<'_>, out: &Outgoing) -> Outcome<()> {
    let limits = tx.limits();
    let text = match &out.content {
        Content::Message(m) | Content::Edit(m) => {
            m.text.len() + m.html.as_ref().map_or(0, String::len)
        }
        Content::Reaction { keys } if keys.len() > limits.reactions => {
            return Err(Refusal::TooMany);
        }
        Content::Reaction { keys } => keys.iter().map(String::len).sum(),
        Content::Retraction { reason } => reason.as_ref().map_or(0, String::len),
        Content::Encrypted { fallback, .. } | Content::Other { fallback } => {
            fallback.as_ref().map_or(0, String::len)
        }
        _ => 0,
    };
    let native = out
        .native
        .as_ref()
        .map_or(0, |n| n.bytes.len() + n.id.as_ref().map_or(0, String::len));
    if text > limits.text_bytes || native > limits.native_bytes {
        return Err(Refusal::TooLarge);
    }
    if out
        .aliases
        .iter()
        .any(|a| a.id.len() > limits.foreign_id_bytes || a.id.is_empty())
    {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Is the peer there, and do both let each other in?
fn check_peer(tx: &mut Tx<'_>, author: &Address, peer: &Address, out: &Outgoing) -> Outcome<()> {
    if author == peer {
        return Ok(());
    }
    if author.is_account() && tx.contact(author, peer)?.blocked {
        return Err(Refusal::Blocked);
    }
    match peer.parts() {
        crate::address::AddressParts::Account { .. } => {
            tx.account(peer)?.ok_or(Refusal::NotFound)?;
            let theirs = tx.contact(peer, author)?;
            if theirs.blocked {
                return Err(Refusal::Blocked);
            }
            request_room(tx, author, peer, &theirs, out)
        }
        crate::address::AddressParts::Remote { network, .. } => {
            let known = tx
                .shared
                .networks
                .iter()
                .any(|n| n.name().as_str() == network);
            if known {
                Ok(())
            } else {
                Err(Refusal::Unreachable)
            }
        }
        crate::address::AddressParts::Guest { .. } => Ok(()),
        crate::address::AddressParts::Room { .. } => Err(Refusal::NotFound),
    }
}

/// Whether the author is a stranger to the peer: the first messages wait as a contact request.
pub fn is_stranger(tx: &Tx<'_>, author: &Address, theirs: &crate::contact::Contact) -> bool {
    let trusted = theirs.accepted || theirs.seen || theirs.sees || theirs.asked || theirs.listed;
    let colleague = author.is_account() && !tx.shared.requests_between_accounts;
    !trusted && !colleague
}

fn request_room(
    tx: &mut Tx<'_>,
    author: &Address,
    peer: &Address,
    theirs: &crate::contact::Contact,
    out: &Outgoing,
) -> Outcome<()> {
    if !is_stranger(tx, author, theirs) {
        return Ok(());
    }
    if !out.content.is_speech() {
        return Err(Refusal::Forbidden(
            "your contact request was not accepted yet",
        ));
    }
    let key = crate::conversation::ConversationKey::direct(author, peer);
    let Some(convo) = tx.convo_by_key(&key)? else {
        return Ok(());
    };
    let most = tx.limits().request_messages;
    let query = crate::store::HistoryQuery {
        sources: vec![(convo.id(), vec![crate::member::Interval::ALL])],
        reader: None,
        after: None,
        before: None,
        from: None,
        until: None,
        author: Some(author.clone()),
        text: None,
        kinds: crate::store::Kinds::Speech,
        limit: most as usize + 1,
        from_end: true,
    };
    if tx.store.count(&query)? >= u64::from(most) {
        return Err(Refusal::TooMany);
    }
    Ok(())
}

fn check_audience(convo: &Convo, author: &Address, out: &Outgoing) -> Outcome<()> {
    let Some(audience) = &out.audience else {
        return Ok(());
    };
    if !convo.is_room() || !audience.iter().all(|a| convo.has(a)) {
        return Err(Refusal::NotFound);
    }
    let enough = convo.conversation.settings.private_messages;
    if convo.role(author) < enough {
        return Err(Refusal::Forbidden("this room allows no private messages"));
    }
    Ok(())
}

/// A message that a client sent again is known by its id and its form.
fn find_duplicate(
    tx: &mut Tx<'_>,
    convo: &Convo,
    author: &Address,
    out: &Outgoing,
) -> Outcome<Option<Sent>> {
    // One look is enough: a client that sends again sends all its ids again.
    let Some(alias) = out.aliases.first() else {
        return Ok(None);
    };
    let Some(hit) = tx.alias(convo.id(), alias.scheme, Some(author), &alias.id)? else {
        return Ok(None);
    };
    let here = tx.events.values().find(|e| e.seq == hit.seq).cloned();
    let event = match here {
        Some(event) => Some(event),
        None => tx.store.event(hit.seq)?,
    };
    let Some(event) = event else { return Ok(None) };
    let sure =
        alias.scheme == Scheme::Transaction || matches!(event.content, Content::Erased { .. });
    let same = match (&event.native, &out.native) {
        (Some(a), Some(b)) => a.bytes == b.bytes,
        (None, None) => event.content == out.content,
        _ => false,
    };
    Ok((sure || same).then_some(Sent {
        seq: event.seq,
        id: event.id,
        pos: event.pos,
        conversation: event.conversation,
        at: event.at,
        duplicate: true,
    }))
}

fn relation_needs_target(content: &Content) -> bool {
    matches!(
        content,
        Content::Edit(_) | Content::Retraction { .. } | Content::Reaction { .. }
    )
}

/// Finds what something refers to, and whether the author may refer to it in that way.
fn resolve(
    tx: &mut Tx<'_>,
    convo: &Convo,
    who: &Principal,
    author: &Address,
    out: &Outgoing,
) -> Outcome<Option<Relation>> {
    let Some(relation) = &out.relation else {
        return if relation_needs_target(&out.content) {
            Err(Refusal::Invalid("it refers to nothing"))
        } else {
            Ok(None)
        };
    };
    let mut relation = relation.clone();
    if relation.target.is_none()
        && let Some(foreign) = &relation.foreign
    {
        // An author's edits and retractions name the author's own message; others name anyone's.
        let own = matches!(relation.kind, RelationKind::Edit | RelationKind::Retraction)
            .then_some(author);
        let hit = tx.alias(convo.id(), foreign.scheme, own, &foreign.id)?;
        if let Some(hit) = hit {
            let here = tx.events.values().find(|e| e.seq == hit.seq).map(|e| e.id);
            relation.target = match here {
                Some(id) => Some(id),
                None => tx.store.event(hit.seq)?.map(|e| e.id),
            };
        }
    }
    let target = match relation.target {
        Some(id) => tx.event(id)?.filter(|e| e.conversation == convo.id()),
        None => None,
    };
    let Some(mut target) = target else {
        if relation.target.is_some() {
            return Err(Refusal::NotFound);
        }
        // It may come later; what a stranger could only guess at is not worth waiting for.
        return match out.content {
            Content::Retraction { .. } => Err(Refusal::NotFound),
            _ => Ok(Some(relation)),
        };
    };
    if !target
        .audience
        .as_ref()
        .is_none_or(|a| a.contains(author) || target.author == *author)
        || !convo.sees(author, target.pos)
    {
        return Err(Refusal::NotFound);
    }
    // Edits point to the first version.
    if matches!(target.content, Content::Edit(_))
        && let Some(first) = target.target()
        && let Some(event) = tx.event(first)?
    {
        target = event;
    }
    relation.target = Some(target.id);
    match out.content {
        Content::Edit(_) if target.author != *author => Err(Refusal::OtherAuthor),
        Content::Edit(_) if matches!(target.content, Content::Erased { .. }) => {
            Err(Refusal::NotFound)
        }
        Content::Retraction { .. } => {
            permission::may_retract(convo, who, &target.author).map(|()| Some(relation))
        }
        _ => Ok(Some(relation)),
    }
}

/// Writing to someone takes the conversation up.
fn accept_request(tx: &mut Tx<'_>, convo: &Convo, author: &Address, out: &Outgoing) -> Outcome<()> {
    let Some(peer) = convo.conversation.peer_of(author).cloned() else {
        return Ok(());
    };
    if peer == *author || !author.is_account() || !out.content.is_speech() {
        return Ok(());
    }
    let mut contact = tx.contact(author, &peer)?;
    let colleague = peer.is_account() && !tx.shared.requests_between_accounts;
    if contact.accepted || contact.listed || contact.sees || contact.seen || colleague {
        return Ok(());
    }
    contact.accepted = true;
    let value = tx.put_contact(author, &peer, contact)?;
    tx.tell_account(
        author,
        StateChange::Contact {
            account: author.clone(),
            contact: peer,
            value,
            cause: ContactCause::Edited,
        },
    );
    Ok(())
}

fn shares_receipts(tx: &mut Tx<'_>, convo: &Convo, author: &Address) -> Outcome<bool> {
    let willing = tx.account(author)?.is_none_or(|a| a.switches.receipts);
    let Some(peer) = convo.conversation.peer_of(author).cloned() else {
        return Ok(willing);
    };
    if !author.is_account() || peer == *author {
        return Ok(willing);
    }
    // No receipt goes to a stranger whose request was not accepted.
    let mine = tx.contact(author, &peer)?;
    let stranger = is_stranger(tx, &peer, &mine);
    Ok(willing && !stranger)
}

/// The shelf of read markers (owner: the account; key: the conversation's number).
pub const READ: &str = "read";

/// Moves the account's read marker forward, never back, and tells its other sessions.
pub fn mark_read(
    tx: &mut Tx<'_>,
    convo: &Convo,
    who: &Address,
    target: Option<EventId>,
    kind: MarkerKind,
    origin: &Origin,
) -> Outcome<()> {
    let (MarkerKind::Displayed, Some(target), true) = (kind, target, who.is_account()) else {
        return Ok(());
    };
    let Some(event) = tx.event(target)? else {
        return Ok(());
    };
    if event.conversation != convo.id() || !convo.sees(who, event.pos) {
        return Err(Refusal::NotFound);
    }
    let owner = who.into();
    let key = convo.id().to_string();
    let before: Option<ReadMark> = tx
        .document(&owner, READ, &key)?
        .and_then(|d| d.value)
        .and_then(|v| crate::tx::decode(&v));
    if before.is_some_and(|m| m.pos >= event.pos) {
        return Ok(());
    }
    let mark = ReadMark {
        pos: event.pos,
        id: event.id,
        at: event.at,
    };
    tx.put_document(
        &owner,
        READ,
        &key,
        crate::tx::Expect::Anything,
        Some(crate::tx::encode(&mark)?),
    )?;
    let change = StateChange::Read {
        account: who.clone(),
        conversation: convo.id(),
        event,
        origin: origin.session,
    };
    tx.tell_account(who, change);
    Ok(())
}

/// Up to where an account read a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReadMark {
    /// The place.
    pub pos: Pos,
    /// The event.
    pub id: EventId,
    /// Its time.
    pub at: crate::ids::Timestamp,
}

/// Tells the people of a conversation that someone types.
///
/// # Errors
/// When the author is not in the conversation. Nothing is said where the author's switch is off or one blocked the other.
pub fn typing(
    tx: &mut Tx<'_>,
    author: &Address,
    to: &Target,
    typing: crate::live::Typing,
    session: Option<SessionId>,
    native: Option<crate::live::Payload>,
) -> Outcome<()> {
    let convo = match to {
        Target::Direct(peer) => {
            tx.convo_by_key(&crate::conversation::ConversationKey::direct(author, peer))?
        }
        Target::Conversation(id) => Some(tx.convo(*id)?),
    };
    // Where nothing was ever said nobody needs to know that something may be.
    let Some(convo) = convo else { return Ok(()) };
    if !convo.has(author) {
        return Err(Refusal::NotJoined);
    }
    if !tx.account(author)?.is_none_or(|a| a.switches.typing) {
        return Ok(());
    }
    let change = Arc::new(StateChange::Typing {
        convo: convo.clone(),
        who: author.clone(),
        typing,
        origin: session,
        native,
    });
    match convo.conversation.peer_of(author).cloned() {
        Some(peer) => {
            let (theirs, mine) = (tx.contact(&peer, author)?, tx.contact(author, &peer)?);
            if theirs.blocked || mine.blocked || is_stranger(tx, &peer, &mine) {
                return Ok(());
            }
            tx.after(move |live| live.tell_account(&peer, &change));
        }
        None if convo.role(author) < crate::member::Role::Participant => {
            return Err(Refusal::NoVoice);
        }
        None => {
            let id = convo.id();
            tx.after(move |live| live.tell_room(id, &change));
        }
    }
    Ok(())
}
