//! Coming and going: join, invite, knock, leave, forget, kick, ban, and who is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruma::api::client::knock::knock_room;
use ruma::api::client::membership::{
    ban_user, forget_room, get_member_events, invite_user, join_room_by_id,
    join_room_by_id_or_alias, joined_members, joined_rooms, kick_user, leave_room, unban_user,
};
use ruma::events::TimelineEventType as Type;
use ruma::events::room::member::MembershipState;
use ruma::{OwnedRoomId, RoomOrAliasId, UserId};
use sammen_core::conversation::Mask;
use sammen_core::document::Owner;
use sammen_core::ops::rooms;
use sammen_core::tx::Expect;
use sammen_core::{Address, ConversationId, Role, Standing};
use serde_json::{Value, json};

use super::{Seen, person, seen};
use crate::auth::Caller;
use crate::chain::{Draft, MEMBER, Room};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::fields::Fields as _;
use crate::routes::Table;
use crate::server::Matrix;

pub fn routes(table: &mut Table) {
    table.on(join);
    table.on(join_any);
    table.on(knock_any);
    table.on(invite);
    table.on(leave);
    table.on(forget);
    table.on(kick);
    table.on(ban);
    table.on(unban);
    table.on(list);
    table.on(joined);
    table.on(mine);
}

async fn join(
    matrix: Arc<Matrix>,
    ask: Ask<join_room_by_id::v3::Request>,
) -> Answer<join_room_by_id::v3::Response> {
    let id = ask.request.room_id;
    come_in(&matrix, &ask.who, &id, ask.request.reason).await?;
    Ok(join_room_by_id::v3::Response::new(id))
}

async fn join_any(
    matrix: Arc<Matrix>,
    ask: Ask<join_room_by_id_or_alias::v3::Request>,
) -> Answer<join_room_by_id_or_alias::v3::Response> {
    let id = named(&matrix, &ask.who, &ask.request.room_id_or_alias).await?;
    come_in(&matrix, &ask.who, &id, ask.request.reason).await?;
    Ok(join_room_by_id_or_alias::v3::Response::new(id))
}

/// The room that an id or alias means.
///
/// # Errors
/// 404 where there is none that the asker may know of.
pub async fn named(
    matrix: &Arc<Matrix>,
    who: &Caller,
    name: &RoomOrAliasId,
) -> Answer<OwnedRoomId> {
    if let Ok(id) = <&ruma::RoomId>::try_from(name) {
        return Ok(id.to_owned());
    }
    let alias = <&ruma::RoomAliasId>::try_from(name).map_err(|e| Fault::invalid(e.to_string()))?;
    super::aliases::room_of(matrix, who, alias).await
}

/// Whether an IRC mask means an account: by its name.
fn fits(mask: &Mask, who: &Address) -> bool {
    let nick = mask.mask.split(['!', '@']).next().unwrap_or_default();
    let name = mask.mask.strip_prefix("$a:").unwrap_or(nick);
    name == "*" || name.eq_ignore_ascii_case(who.name())
}

async fn come_in(
    matrix: &Arc<Matrix>,
    who: &Caller,
    id: &ruma::RoomId,
    _reason: Option<String>,
) -> Answer<()> {
    let here = seen(matrix, who, id).await;
    let here = here.map_err(|_| Fault::not_found("there is no such room here"))?;
    if here.joined() {
        return Ok(());
    }
    let convo = matrix.node.convo(here.room.conversation)?;
    let convo = convo.ok_or_else(|| Fault::not_found("this room is gone"))?;
    if !convo.is_room() {
        if !convo.has(who.address()) {
            return Err(Fault::forbidden("you are not in this room"));
        }
        return matrix
            .rooms
            .let_back(&here.room, &who.user_id)
            .await
            .map_err(Into::into);
    }
    let (address, origin, conversation) =
        (who.address().clone(), who.origin(), here.room.conversation);
    let room = here.room.clone();
    let doors = matrix.read(move |matrix| doors(matrix, &room)).await?;
    matrix
        .node
        .write(move |tx| {
            let mut allowed = false;
            for door in doors {
                allowed |= tx.convo(door).is_ok_and(|convo| convo.has(&address));
            }
            let fits = |mask: &Mask| fits(mask, &address);
            let way = rooms::Way {
                password: None,
                fits: &fits,
                allowed,
            };
            rooms::join_by(tx, &address, conversation, None, &way, &origin).map(drop)
        })
        .await?;
    let upto = matrix.node.last_seq();
    matrix.rooms.catch_up(&here.room, upto, Vec::new()).await?;
    if here.room.state().membership(&who.user_id) == MembershipState::Join {
        Ok(())
    } else {
        Err(Fault::forbidden("the room's rules do not allow that"))
    }
}

/// Most rooms by which one is let into another.
const DOORS: usize = 32;

/// The rooms whose people are let in (client-server API, "Restricted rooms"): conversations of this node.
fn doors(matrix: &Matrix, room: &Room) -> Answer<Vec<ConversationId>> {
    let rule: Value = room
        .state()
        .content("m.room.join_rules", "")
        .unwrap_or_default();
    if !matches!(
        rule.word("join_rule"),
        Some("restricted" | "knock_restricted")
    ) {
        return Ok(Vec::new());
    }
    let mut doors = Vec::new();
    for condition in rule
        .field("allow")
        .as_array()
        .into_iter()
        .flatten()
        .take(DOORS)
    {
        let id = condition
            .word("room_id")
            .and_then(|id| ruma::RoomId::parse(id).ok());
        if condition.word("type") == Some("m.room_membership")
            && let Some(id) = id
            && let Some(room) = matrix.rooms.by_id(&id)?
        {
            doors.push(room.conversation);
        }
    }
    Ok(doors)
}

async fn knock_any(
    matrix: Arc<Matrix>,
    ask: Ask<knock_room::v3::Request>,
) -> Answer<knock_room::v3::Response> {
    let id = named(&matrix, &ask.who, &ask.request.room_id_or_alias).await?;
    let here = seen(&matrix, &ask.who, &id).await;
    let here = here.map_err(|_| Fault::not_found("there is no such room here"))?;
    knock(&matrix, &ask.who, &here, ask.request.reason).await?;
    Ok(knock_room::v3::Response::new(id))
}

/// Asks to be let in.
async fn knock(
    matrix: &Arc<Matrix>,
    who: &Caller,
    here: &Seen,
    reason: Option<String>,
) -> Answer<()> {
    let (address, origin, id) = (who.address().clone(), who.origin(), here.room.conversation);
    matrix
        .node
        .write(move |tx| {
            let fits = |mask: &Mask| fits(mask, &address);
            rooms::knock(tx, &address, id, reason, &fits, &origin).map(drop)
        })
        .await?;
    let upto = matrix.node.last_seq();
    matrix.rooms.catch_up(&here.room, upto, Vec::new()).await?;
    Ok(())
}

async fn invite(
    matrix: Arc<Matrix>,
    ask: Ask<invite_user::v3::Request>,
) -> Answer<invite_user::v3::Response> {
    use invite_user::v3::InvitationRecipient;
    let InvitationRecipient::UserId(whom) = &ask.request.recipient else {
        return Err(Fault::invalid("people are invited by their Matrix id here"));
    };
    let here = seen(&matrix, &ask.who, &ask.request.room_id).await?;
    let mut content = json!({ "membership": "invite" });
    if let Some(reason) = &whom.reason {
        content.put("reason", reason.as_str());
    }
    change(&matrix, &ask.who, here, whom.user_id.as_str(), &content).await?;
    Ok(invite_user::v3::Response::new())
}

async fn leave(
    matrix: Arc<Matrix>,
    ask: Ask<leave_room::v3::Request>,
) -> Answer<leave_room::v3::Response> {
    let here = seen(&matrix, &ask.who, &ask.request.room_id).await?;
    let content = with_reason("leave", ask.request.reason);
    let own = ask.who.user_id.clone();
    change(&matrix, &ask.who, here, own.as_str(), &content).await?;
    Ok(leave_room::v3::Response::new())
}

async fn kick(
    matrix: Arc<Matrix>,
    ask: Ask<kick_user::v3::Request>,
) -> Answer<kick_user::v3::Response> {
    let here = seen(&matrix, &ask.who, &ask.request.room_id)
        .await?
        .inside()?;
    let user = ask.request.user_id;
    let there = here.room.state().membership(&user);
    if !matches!(
        there,
        MembershipState::Join | MembershipState::Invite | MembershipState::Knock
    ) {
        return Err(Fault::forbidden("they are not in this room"));
    }
    let content = with_reason("leave", ask.request.reason);
    change(&matrix, &ask.who, here, user.as_str(), &content).await?;
    Ok(kick_user::v3::Response::new())
}

async fn ban(
    matrix: Arc<Matrix>,
    ask: Ask<ban_user::v3::Request>,
) -> Answer<ban_user::v3::Response> {
    let here = seen(&matrix, &ask.who, &ask.request.room_id)
        .await?
        .inside()?;
    let content = with_reason("ban", ask.request.reason);
    change(
        &matrix,
        &ask.who,
        here,
        ask.request.user_id.as_str(),
        &content,
    )
    .await?;
    Ok(ban_user::v3::Response::new())
}

async fn unban(
    matrix: Arc<Matrix>,
    ask: Ask<unban_user::v3::Request>,
) -> Answer<unban_user::v3::Response> {
    let here = seen(&matrix, &ask.who, &ask.request.room_id)
        .await?
        .inside()?;
    let user = ask.request.user_id;
    if here.room.state().membership(&user) != MembershipState::Ban {
        return Err(Fault::forbidden("they are not banned"));
    }
    let content = with_reason("leave", ask.request.reason);
    change(&matrix, &ask.who, here, user.as_str(), &content).await?;
    Ok(unban_user::v3::Response::new())
}

fn with_reason(membership: &str, reason: Option<String>) -> Value {
    let mut content = json!({ "membership": membership });
    if let Some(reason) = reason {
        content.put("reason", reason);
    }
    content
}

/// Somebody's membership changes: in core, and by that in the chain.
///
/// # Errors
/// When core or the room's rules do not allow it.
pub async fn change(
    matrix: &Arc<Matrix>,
    who: &Caller,
    here: Seen,
    user: &str,
    content: &Value,
) -> Answer<()> {
    let user = <&UserId>::try_from(user).map_err(|e| Fault::invalid(e.to_string()))?;
    let wanted = content.word("membership").unwrap_or_default().to_owned();
    let reason = content.word("reason").map(str::to_owned);
    let there = here.room.state().membership(user);
    let own = *user == *who.user_id;
    if own && wanted == "join" {
        return match there {
            MembershipState::Join => rename(matrix, who, &here.room, content).await,
            _ => come_in(matrix, who, &here.room.id, reason).await,
        };
    }
    if wanted == "knock" {
        if !own {
            return Err(Fault::forbidden("everybody knocks for themselves"));
        }
        return knock(matrix, who, &here, reason).await;
    }
    // A declined invitation needs no rules but the room's.
    let draft = Draft::state(
        Type::RoomMember,
        user.as_str(),
        &who.user_id,
        matrix.node.now(),
        content.clone(),
    );
    matrix.rooms.check(&here.room, draft.clone()).await?;
    let convo = matrix.node.convo(here.room.conversation)?;
    let convo = convo.ok_or_else(|| Fault::not_found("this room is gone"))?;
    if !convo.is_room() {
        if own && wanted == "leave" {
            matrix
                .rooms
                .add(&here.room, vec![draft], |_| Ok(()))
                .await?;
            return Ok(());
        }
        return Err(Fault::forbidden("this conversation is for the two of you"));
    }
    let whom = person(matrix, user)?;
    let (principal, origin, id) = (who.principal(), who.origin(), here.room.conversation);
    let native = (wanted == "invite").then(|| sammen_core::Native {
        protocol: sammen_core::Protocol::Matrix,
        bytes: content.to_string().into(),
        id: None,
        kind: Some("m.room.member".into()),
    });
    matrix
        .node
        .write(move |tx| {
            match (wanted.as_str(), own) {
                ("invite", _) => {
                    rooms::invite_with(tx, &principal, id, &whom, reason, native, &origin)?;
                }
                ("leave", true) => {
                    rooms::leave(tx, &whom, id, reason, &origin)?;
                }
                ("leave", false) => {
                    let convo = tx.convo(id)?;
                    if convo.standing(&whom) == Standing::Outcast {
                        let none = Standing::None;
                        rooms::set_standing(tx, &principal, id, &whom, none, reason, &origin)?;
                    } else if convo.has(&whom) {
                        let none = Role::None;
                        rooms::set_role(tx, &principal, id, &whom, none, reason, &origin)?;
                    } else {
                        rooms::turn_away(tx, &principal, id, &whom, reason, &origin)?;
                    }
                }
                ("ban", _) => {
                    let outcast = Standing::Outcast;
                    rooms::set_standing(tx, &principal, id, &whom, outcast, reason, &origin)?;
                }
                _ => return Err(sammen_core::Refusal::Invalid("there is no such membership")),
            }
            Ok(())
        })
        .await?;
    let upto = matrix.node.last_seq();
    matrix.rooms.catch_up(&here.room, upto, Vec::new()).await?;
    Ok(())
}

/// Somebody goes by another name or picture in a room.
async fn rename(
    matrix: &Arc<Matrix>,
    who: &Caller,
    room: &Arc<Room>,
    content: &Value,
) -> Answer<()> {
    let draft = Draft::state(
        Type::RoomMember,
        who.user_id.as_str(),
        &who.user_id,
        matrix.node.now(),
        content.clone(),
    );
    let (address, origin, id) = (who.address().clone(), who.origin(), room.conversation);
    let nick = content.word("displayname").map(str::to_owned);
    let known = who.account.display_name.clone();
    let also = move |tx: &mut sammen_core::tx::Tx<'_>| {
        let convo = tx.convo(id)?;
        if !convo.is_room() {
            return Ok(());
        }
        match nick {
            // The name that the account has everywhere needs no nick of the room.
            Some(nick) if known.as_ref() != Some(&nick) => {
                rooms::set_nick(tx, &address, id, &nick, &origin).map(drop)
            }
            _ => Ok(()),
        }
    };
    matrix.rooms.add(room, vec![draft], also).await?;
    Ok(())
}

async fn forget(
    matrix: Arc<Matrix>,
    ask: Ask<forget_room::v3::Request>,
) -> Answer<forget_room::v3::Response> {
    let here = seen(&matrix, &ask.who, &ask.request.room_id).await?;
    if here.sight.is_stranger() {
        return Err(super::outside());
    }
    if !matches!(
        here.sight.membership(),
        MembershipState::Leave | MembershipState::Ban
    ) {
        return Err(Fault::invalid("leave the room first"));
    }
    let owner = Owner::from(ask.who.address());
    let name = here.room.name().to_owned();
    matrix
        .node
        .write(move |tx| tx.put_document(&owner, MEMBER, &name, Expect::Anything, None))
        .await?;
    matrix.bells.ring(ask.who.address());
    Ok(forget_room::v3::Response::new())
}

async fn list(
    matrix: Arc<Matrix>,
    ask: Ask<get_member_events::v3::Request>,
) -> Answer<get_member_events::v3::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?;
    let mut until = here.until()?;
    let chunk = matrix.read(move |matrix| {
        if let Some(at) = &request.at
            && let Some(token) = sammen_core::token::Token::decode(at, matrix.node.epoch())
        {
            until = until.min(here.room.ordinal_at(token.seq)?);
        }
        let state = here.room.state_at(until)?;
        let wanted = state.members().filter(|(_, membership, _)| {
            request.membership.as_ref().is_none_or(|m| m == membership)
                && request.not_membership.as_ref() != Some(membership)
        });
        let links: Vec<_> = wanted.map(|(.., link)| link).collect();
        let events = matrix.rooms.render_whole_state(&here.room, links)?;
        Ok(events
            .into_iter()
            .map(ruma::serde::Raw::cast_unchecked)
            .collect())
    });
    Ok(get_member_events::v3::Response::new(chunk.await?))
}

async fn joined(
    matrix: Arc<Matrix>,
    ask: Ask<joined_members::v3::Request>,
) -> Answer<joined_members::v3::Response> {
    use joined_members::v3::RoomMember;
    let here = seen(&matrix, &ask.who, &ask.request.room_id)
        .await?
        .inside()?;
    let state = here.room.state();
    let mut people = BTreeMap::new();
    for (user, membership, link) in state.members() {
        if membership != MembershipState::Join {
            continue;
        }
        let content: Value = link.own().unwrap_or_default();
        let mut member = RoomMember::new();
        member.display_name = content.word("displayname").map(str::to_owned);
        member.avatar_url = content.word("avatar_url").map(ruma::OwnedMxcUri::from);
        if let Ok(user) = UserId::parse(user) {
            people.insert(user, member);
        }
    }
    Ok(joined_members::v3::Response::new(people))
}

async fn mine(
    matrix: Arc<Matrix>,
    ask: Ask<joined_rooms::v3::Request>,
) -> Answer<joined_rooms::v3::Response> {
    let places = matrix.rooms.of_account(ask.who.address()).await?;
    let joined = places
        .into_iter()
        .filter(|place| place.membership == MembershipState::Join)
        .map(|place| place.room.id.clone());
    Ok(joined_rooms::v3::Response::new(joined.collect()))
}
