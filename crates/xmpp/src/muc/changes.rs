//! XEP-0045 §7–10: what occupants see of each other: entering, leaving, nicks, ranks, and who types (XEP-0085).

use std::sync::Arc;

use sammen_core::Protocol;
use sammen_core::convo::Convo;
use sammen_core::live::{OccupantChange, OccupantKind, StateChange, Typing};
use sammen_core::member::Role;

use super::names::status;
use super::occupant::{self, Detail};
use super::places::{Held, Now, Places, Rooms};
use super::{enter, events, leave, settings};
use crate::client::Client;
use crate::feature::BoxFuture;
use crate::wire::{Element, Payload, ns};

/// What a client's typing looked like, for other XMPP clients: the children of its message.
pub struct Wrote(pub Payload);

/// A change of live state; true when it is about a room.
pub fn state(client: &Arc<Client>, state: &Arc<StateChange>) -> bool {
    let convo = match &**state {
        StateChange::Occupant(change) => &change.convo,
        StateChange::Typing { convo, .. } => convo,
        _ => return false,
    };
    let Some(room) = convo.conversation.room() else {
        return false;
    };
    let places = Places::of(client);
    match places.state(client, room, state) {
        Now::Show => show(client, state),
        Now::ShowKept => {
            for held in places.take_kept(room) {
                show_held(client, &held);
            }
            show(client, state);
        }
        Now::Elsewhere => elsewhere(client, state),
        Now::Kept => {}
    }
    true
}

/// The account came into a room, or left it, where this client is not: it is a bookmark as long as it lasts. What an
/// XMPP client enters it bookmarks itself, or does not want to.
fn elsewhere(client: &Arc<Client>, state: &StateChange) {
    let StateChange::Occupant(change) = state else {
        return;
    };
    let joined = match change.kind {
        OccupantKind::Joined => true,
        OccupantKind::Left => false,
        _ => return,
    };
    if !is_own(client, change) {
        return;
    }
    let by_xmpp = change.origin.is_some_and(|origin| {
        let found = client.node.live(|live| live.session(origin).cloned());
        found.is_some_and(|s| s.protocol == Protocol::Xmpp)
    });
    if !(joined && by_xmpp) {
        let (client, convo) = (client.clone(), change.convo.clone());
        tokio::spawn(crate::bookmarks::implied(client, convo, joined));
    }
}

/// Shows what waited while the client entered.
pub fn show_held(client: &Arc<Client>, held: &Held) {
    match held {
        Held::Event(announced) => events::show(client, announced),
        Held::State(state) => show(client, state),
    }
}

fn show(client: &Arc<Client>, state: &StateChange) {
    match state {
        StateChange::Occupant(change) => occupant_changed(client, change),
        StateChange::Typing {
            convo,
            who,
            typing,
            native,
            ..
        } => {
            let nick = occupant::nick_of(convo, who);
            let key = format!("typing {} {nick}", convo.id());
            let children = native
                .as_ref()
                .and_then(|n| n.downcast_ref::<Wrote>())
                .map_or_else(|| typing_element(*typing), |wrote| wrote.0.clone());
            let tail = from_occupant(client, convo, nick, &children, &[]);
            occupant::send_quiet(client, &key, "message", &tail);
        }
        _ => {}
    }
}

fn typing_element(typing: Typing) -> Payload {
    let name = match typing {
        Typing::Active => "composing",
        Typing::Paused => "paused",
        Typing::Done => "active",
    };
    let el = Element::new(ns::CLIENT, "message").child(Element::new(ns::CHATSTATES, name));
    Payload::of(&el)
}

/// A groupchat message from an occupant that is not in the log.
fn from_occupant(
    client: &Client,
    convo: &Convo,
    nick: &str,
    children: &Payload,
    extra: &[Element],
) -> bytes::Bytes {
    let room = convo
        .conversation
        .room()
        .map(|r| client.server.bare(r))
        .unwrap_or_default();
    let from = format!("{room}/{nick}");
    let attrs = [("from", from.as_str()), ("type", "groupchat")];
    occupant::tail("message", &attrs, &[children.bytes()], extra)
}

fn occupant_changed(client: &Arc<Client>, change: &OccupantChange) {
    use OccupantKind as K;
    match change.kind {
        // Whoever joins through a session comes in with it: that is shown.
        K::Joined if change.sessions.is_empty() && change.origin.is_some() => {}
        K::Joined | K::Entered | K::Updated | K::Absent => present(client, change),
        K::Standing => ranked(client, change),
        K::Nick => renamed(client, change),
        K::Left | K::Kicked | K::Banned | K::Removed | K::Destroyed => left(client, change),
    }
}

fn is_own(client: &Client, change: &OccupantChange) -> bool {
    change.who == client.account
}

/// Whether the client is shown what somebody does; who is no longer shown goes (§10.2, `presencebroadcast`).
fn is_shown(client: &Client, change: &OccupantChange) -> bool {
    if is_own(client, change) || settings::is_broadcast(&change.convo, &change.who) {
        return true;
    }
    let was = |before: &std::sync::Arc<Convo>| {
        before.has(&change.who) && settings::is_broadcast(before, &change.who)
    };
    if change.before.as_ref().is_some_and(was) {
        let detail = Detail {
            leaves: true,
            ..Detail::default()
        };
        send(client, change, &detail);
    }
    false
}

fn present(client: &Client, change: &OccupantChange) {
    if !is_shown(client, change) {
        return;
    }
    let shared = Rooms::of(&client.server);
    let convo = &change.convo;
    if is_own(client, change) {
        let live = client.node.live(|live| live.room(convo.id()).cloned());
        enter::own(client, &shared, convo, live.as_ref(), &[status::SELF]);
        return;
    }
    let Some(member) = convo.member(&change.who) else {
        return;
    };
    let form = shared.forms.available(
        &client.server,
        shared.key(),
        convo,
        member,
        &change.sessions,
        occupant::sees_addresses(convo, &client.account),
    );
    occupant::send_quiet(client, &key(change), "presence", &form);
}

fn key(change: &OccupantChange) -> String {
    format!("in {} {}", change.convo.id(), change.who)
}

/// Standing or role changed, perhaps with a reason (§8.3, §9.3, …).
fn ranked(client: &Arc<Client>, change: &OccupantChange) {
    if change.reason.is_none() && change.by.is_none() {
        present(client, change);
    } else if is_shown(client, change) {
        let own = is_own(client, change);
        let codes: &[u16] = if own { &[status::SELF] } else { &[] };
        let detail = Detail {
            reason: change.reason.as_deref(),
            actor: change.by.as_ref(),
            codes,
            sessions: &change.sessions,
            address: occupant::sees_addresses(&change.convo, &client.account),
            ..Detail::default()
        };
        send(client, change, &detail);
    }
    let became_moderator = is_own(client, change)
        && change.convo.role(&client.account) == Role::Moderator
        && change
            .before
            .as_ref()
            .is_some_and(|b| b.role(&client.account) != Role::Moderator);
    // §5.1.1: moderators see addresses; who becomes one learns those of the people who are there.
    if became_moderator && !change.convo.conversation.settings.addresses_open {
        show_all(client, &change.convo);
    }
}

/// Shows everyone who is in a room, and the client itself.
pub fn show_all(client: &Client, convo: &Arc<Convo>) {
    let shared = Rooms::of(&client.server);
    let live = client.node.live(|live| live.room(convo.id()).cloned());
    enter::roster(client, &shared, convo, live.as_ref(), &[status::SELF]);
}

fn send(client: &Client, change: &OccupantChange, detail: &Detail<'_>) {
    let shared = Rooms::of(&client.server);
    let form = occupant::build(
        &client.server,
        shared.key(),
        &change.convo,
        &change.who,
        detail,
    );
    occupant::send(client, "presence", &form);
}

/// §7.6: the old nick goes, naming the new one; the new one comes.
fn renamed(client: &Client, change: &OccupantChange) {
    let own = is_own(client, change);
    let convo = &change.convo;
    if !own && !settings::is_broadcast(convo, &change.who) {
        return;
    }
    let new = occupant::nick_of(convo, &change.who);
    let codes: &[u16] = if own {
        &[status::NICK_CHANGED, status::SELF]
    } else {
        &[status::NICK_CHANGED]
    };
    let detail = Detail {
        leaves: true,
        from_nick: change.old_nick.as_deref(),
        new_nick: Some(new),
        codes,
        sessions: &change.sessions,
        address: occupant::sees_addresses(convo, &client.account),
        ..Detail::default()
    };
    send(client, change, &detail);
    if own && let Some(room) = convo.conversation.room() {
        Places::of(client).renamed(room, new);
    }
    present(client, change);
}

fn left(client: &Client, change: &OccupantChange) {
    use OccupantKind as K;
    let own = is_own(client, change);
    let convo = &change.convo;
    let hidden = |before: &std::sync::Arc<Convo>| !settings::is_broadcast(before, &change.who);
    if !own && change.before.as_ref().is_some_and(hidden) {
        return;
    }
    let mut codes = Vec::new();
    match change.kind {
        K::Kicked => codes.push(status::KICKED),
        K::Banned => codes.push(status::BANNED),
        K::Removed => {
            let ranked_before = change
                .before
                .as_ref()
                .is_some_and(|b| b.standing(&change.who) != convo.standing(&change.who));
            codes.push(if ranked_before {
                status::STANDING_LOST
            } else {
                status::MEMBERS_ONLY
            });
        }
        _ => {}
    }
    if own {
        codes.push(status::SELF);
    }
    let by_others = matches!(change.kind, K::Kicked | K::Banned | K::Removed);
    let reason = change.reason.as_deref();
    let detail = Detail {
        leaves: true,
        from_nick: change.old_nick.as_deref(),
        status: reason.filter(|_| change.kind == K::Left),
        reason: reason.filter(|_| by_others),
        actor: change.by.as_ref().filter(|_| by_others),
        codes: &codes,
        // For the end of a room core names here where people go instead.
        destroyed: (change.kind == K::Destroyed)
            .then(|| (change.by.as_ref().map(|a| client.server.bare(a)), reason)),
        sessions: &change.sessions,
        address: occupant::sees_addresses(convo, &client.account),
        ..Detail::default()
    };
    if own {
        if let Some(room) = convo.conversation.room() {
            Places::of(client).left(room);
        }
        send(client, change, &detail);
        leave::forget_if_empty(client, convo.id());
    } else {
        let shared = Rooms::of(&client.server);
        let form = occupant::build(&client.server, shared.key(), convo, &change.who, &detail);
        occupant::send_quiet(client, &key(change), "presence", &form);
    }
}

/// Live state was lost because the client read too slowly: it is shown all of it anew.
pub fn lost(client: Arc<Client>) -> BoxFuture<()> {
    Box::pin(async move {
        for room in Places::of(&client).all() {
            let Ok(Some(convo)) = client.node.room(&room) else {
                Places::of(&client).left(&room);
                continue;
            };
            if enter::is_inside(&client, convo.id()) {
                show_all(&client, &convo);
            } else {
                leave::say_gone(&client, &convo, &[status::SELF], None);
            }
        }
    })
}
