//! The list of conversations, what the caller notes about them, and beginning a direct one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::conversation::ConversationKey;
use sammen_core::document::Owner;
use sammen_core::live::StateChange;
use sammen_core::member::Membership;
use sammen_core::ops::{rooms, send};
use sammen_core::tx::{Expect, decode, encode};
use sammen_core::{Address, Convo, Protocol, Refusal, Seq};

use crate::auth::{Caller, Need};
use crate::extract::{Ask, Asked, Done, Json, Place};
use crate::person::{View, person};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::stream::cursor;
use crate::summary::{self, FLAGS, Meant, conversation};
use crate::types as t;

/// Conversations in one answer.
const MOST: usize = 200;
/// Those that are pinned; more than these are listed by time.
const PINNED: usize = 50;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/conversations",
            Need::Account,
            "Conversations: pinned ones first, then by what happened last",
        )
        .query::<t::ListQuery>()
        .answer::<t::ConversationPage>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/conversations/direct",
            Need::Account,
            "A direct conversation with any address; it begins with the first message",
        )
        .ask::<t::StartDirect>()
        .answer::<t::Conversation>(200)
        .by(direct);
    table
        .on(
            Method::GET,
            "/conversations/{id}",
            Need::Account,
            "A conversation",
        )
        .answer::<t::Conversation>(200)
        .by(one);
    table
        .on(
            Method::PATCH,
            "/conversations/{id}/flags",
            Need::Account,
            "Pins, archives, mutes",
        )
        .ask::<t::FlagsChange>()
        .answer::<t::Flags>(200)
        .by(flags);
    table
        .on(
            Method::PUT,
            "/conversations/{id}/read",
            Need::Account,
            "Says up to where the caller read",
        )
        .ask::<t::ReadUpTo>()
        .done()
        .by(read);
    table
        .on(
            Method::POST,
            "/conversations/{id}/typing",
            Need::Account,
            "Says that the caller types",
        )
        .ask::<t::TypingNow>()
        .done()
        .by(typing);
    table
        .on(
            Method::GET,
            "/reach",
            Need::Account,
            "Which networks can deliver to an address",
        )
        .query::<t::ReachQuery>()
        .answer::<t::Reach>(200)
        .by(reach);
}

/// A conversation that stands in the list, with what it is sorted by.
struct Listed {
    convo: Arc<Convo>,
    last: Seq,
    flags: t::Flags,
}

async fn list(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Asked(asked): Asked<t::ListQuery>,
) -> Answer<Json<t::ConversationPage>> {
    let reader = caller.address().clone();
    // The cursor first: what comes while the list is made is told by the stream.
    let cursor = cursor(&web, web.node.last_seq());
    let page = web.read(move |web| {
        let most = asked.limit.unwrap_or(50).clamp(1, MOST);
        let before: Option<u64> = match &asked.after {
            Some(text) => Some(
                text.parse()
                    .map_err(|_| Problem::invalid("after", "that is no cursor of ours"))?,
            ),
            None => None,
        };
        let mut all = listed(web, &reader)?;
        if let Some(archived) = asked.archived {
            all.retain(|l| l.flags.archived == archived);
        }
        all.sort_by_key(|l| std::cmp::Reverse(l.last));
        let mut chosen: Vec<&Listed> = Vec::new();
        if before.is_none() {
            chosen.extend(all.iter().filter(|l| l.flags.pinned).take(PINNED));
        }
        let rest: Vec<&Listed> = all
            .iter()
            .filter(|l| !l.flags.pinned && before.is_none_or(|b| l.last.0 < b))
            .collect();
        let room = most.saturating_sub(chosen.len()).max(1);
        let next = (rest.len() > room)
            .then(|| rest.get(room - 1).map(|l| l.last.0.to_string()))
            .flatten();
        chosen.extend(rest.into_iter().take(room));
        let mut conversations = Vec::with_capacity(chosen.len());
        for one in chosen {
            conversations.push(conversation(web, &reader, &one.convo)?);
        }
        Ok((conversations, next))
    });
    let (conversations, next) = page.await?;
    Ok(Json(t::ConversationPage {
        conversations,
        next,
        cursor,
    }))
}

/// What stands in the list: rooms that the reader is in or invited to, and direct conversations in which something
/// was said. Blocking.
fn listed(web: &Web, reader: &Address) -> Answer<Vec<Listed>> {
    let store = web.node.store();
    let noted: std::collections::HashMap<String, t::Flags> = store
        .documents(&Owner::from(reader), FLAGS, "", None, 10_000)
        .map_err(Refusal::from)?
        .into_iter()
        .filter_map(|d| Some((d.key, decode(&d.value?)?)))
        .collect();
    let mut all = Vec::new();
    for id in store.conversations_of(reader).map_err(Refusal::from)? {
        let Some(convo) = web.node.convo(id)? else {
            continue;
        };
        let there = !convo.is_room()
            || (!convo.conversation.destroyed
                && convo
                    .member(reader)
                    .is_some_and(|m| m.membership > Membership::Left));
        if !there {
            continue;
        }
        let tail = store.tail(id).map_err(Refusal::from)?;
        if !convo.is_room() && tail.last_pos.is_none() {
            continue;
        }
        all.push(Listed {
            last: tail
                .last_seq
                .max(convo.member(reader).map_or(Seq(0), |m| m.changed)),
            flags: noted.get(&id.to_string()).copied().unwrap_or_default(),
            convo,
        });
    }
    Ok(all)
}

async fn one(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Json<t::Conversation>> {
    let reader = caller.address().clone();
    web.read(move |web| match summary::meant(web, &reader, &id)? {
        Meant::Known(convo) => conversation(web, &reader, &convo),
        Meant::New(peer) => Ok(summary::unbegun(web, &reader, &peer)),
    })
    .await
    .map(Json)
}

async fn direct(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::StartDirect>,
) -> Answer<Json<t::Conversation>> {
    let reader = caller.address().clone();
    let peer = web.address("address", &ask.address)?;
    web.read(move |web| {
        let there = if peer.is_account() {
            web.node.account(&peer)?.is_some_and(|a| !a.removed)
        } else if let Some(network) = peer.network() {
            web.node
                .networks()
                .iter()
                .any(|n| n.name().as_str() == network)
        } else {
            false
        };
        if !there {
            return Err(Problem::not_found().field("address"));
        }
        let key = ConversationKey::direct(&reader, &peer);
        match web.node.convo_by_key(&key)? {
            Some(convo) => conversation(web, &reader, &convo),
            None => Ok(summary::unbegun(web, &reader, &peer)),
        }
    })
    .await
    .map(Json)
}

async fn flags(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::FlagsChange>,
) -> Answer<Json<t::Flags>> {
    let convo = summary::find(&web, &caller, id).await?;
    let account = caller.address().clone();
    let changed = web.node.write(move |tx| {
        let owner = Owner::from(&account);
        let key = convo.id().to_string();
        let known = tx.document(&owner, FLAGS, &key)?.and_then(|d| d.value);
        let mut flags: t::Flags = known.and_then(|v| decode(&v)).unwrap_or_default();
        flags.pinned = ask.pinned.unwrap_or(flags.pinned);
        flags.archived = ask.archived.unwrap_or(flags.archived);
        if let Some(until) = ask.muted_until {
            flags.muted_until = (until >= 0).then_some(until);
        }
        let value = (flags != t::Flags::default())
            .then(|| encode(&flags))
            .transpose()?;
        tx.put_document(&owner, FLAGS, &key, Expect::Anything, value)?;
        let change = StateChange::Custom {
            key: format!("flags:{key}"),
            protocol: Protocol::Web,
            payload: Arc::new(crate::stream::Changed(convo.id())),
        };
        tx.tell_account(&account, change);
        Ok(flags)
    });
    Ok(Json(changed.await?))
}

async fn read(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::ReadUpTo>,
) -> Answer<Done> {
    let convo = summary::find(&web, &caller, id).await?;
    let event = super::entries::event_id("event", &ask.event)?;
    super::entries::mark(&web, &caller, &convo, event).await?;
    Ok(Done)
}

async fn typing(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::TypingNow>,
) -> Answer<Done> {
    let convo = summary::find(&web, &caller, id).await?;
    say_typing(&web, caller.address(), &convo, ask.active, None).await?;
    Ok(Done)
}

/// Tells others that the caller types, or stopped.
pub(crate) async fn say_typing(
    web: &Web,
    who: &Address,
    convo: &Convo,
    active: bool,
    session: Option<sammen_core::SessionId>,
) -> Answer<()> {
    use sammen_core::live::Typing;
    let (who, to) = (who.clone(), send::Target::Conversation(convo.id()));
    let typing = if active { Typing::Active } else { Typing::Done };
    web.node
        .write(move |tx| send::typing(tx, &who, &to, typing, session, None))
        .await?;
    Ok(())
}

async fn reach(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Asked(asked): Asked<t::ReachQuery>,
) -> Answer<Json<t::Reach>> {
    let typed = asked.address.trim().to_owned();
    if typed.is_empty() || typed.len() > 512 || typed.chars().any(char::is_control) {
        return Err(Problem::invalid("address", "that is no address"));
    }
    let mut ways = Vec::new();
    let own = web.address("address", &typed).ok();
    // Asked only now that a person acts, all networks at once, each with its own patience.
    let networks = web.node.networks().to_vec();
    let mut asking = tokio::task::JoinSet::new();
    for network in networks {
        let typed = typed.clone();
        asking.spawn(async move {
            let patience = std::time::Duration::from_secs(10);
            let found = tokio::time::timeout(patience, network.reach(&typed)).await;
            found.ok().flatten()
        });
    }
    while let Some(found) = asking.join_next().await {
        if let Ok(Some(found)) = found {
            ways.push((found.network.to_string(), found.address, found.confirmed));
        }
    }
    ways.sort();
    let reader = caller.address().clone();
    web.read(move |web| {
        if let Some(own) = own.filter(Address::is_account)
            && web.node.account(&own)?.is_some_and(|a| !a.removed)
        {
            ways.insert(0, ("sammen".into(), own, true));
        }
        let view = View::of(web, &reader);
        let found = ways
            .into_iter()
            .map(|(network, address, confirmed)| t::Way {
                network,
                person: person(view, &address),
                address: address.to_string(),
                confirmed,
            })
            .collect();
        Ok(t::Reach { found })
    })
    .await
    .map(Json)
}

/// Kept here because joining a room ends in the list, too.
pub(crate) async fn shown(
    web: &Arc<Web>,
    reader: &Address,
    convo: Arc<Convo>,
) -> Answer<t::Conversation> {
    let reader = reader.clone();
    web.read(move |web| conversation(web, &reader, &convo))
        .await
}

/// Leaves a room for good, or declines an invitation.
pub(crate) async fn leave(web: &Web, caller: &Caller, convo: &Convo) -> Answer<()> {
    let (who, id, origin) = (caller.address().clone(), convo.id(), caller.origin());
    web.node
        .write(move |tx| rooms::leave(tx, &who, id, None, &origin))
        .await?;
    Ok(())
}
