//! The end of every log: an event gets its seq, place, time and id.

use super::*;

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
    crate::ops::files::note(tx, &event);
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
        let at = to.name().rsplit('@').next().unwrap_or_default();
        let destination = crate::outbox::destination(network.as_str(), at);
        tx.write(Write::Outbox(OutboxRow {
            seq,
            network,
            destination: destination.clone(),
            event: Some(seq),
            conversation: Some(convo.id()),
            from: event.author.clone(),
            to,
            payload: bytes::Bytes::new(),
            attempts: 0,
            next: tx.now,
            created: tx.now,
        }));
        let bell = tx.shared.outbox.clone();
        tx.after(move |_| bell.ring(&destination, false));
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

pub(super) fn remote_peer(
    convo: &Convo,
    author: &Address,
) -> Option<(crate::address::NetworkName, Option<Address>)> {
    let peer = convo.conversation.peer_of(author)?;
    let network = crate::address::NetworkName::new(peer.network()?).ok()?;
    Some((network, Some(peer.clone())))
}

/// Relations that waited for this foreign id get their target.
pub(super) fn release_waiting(
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
