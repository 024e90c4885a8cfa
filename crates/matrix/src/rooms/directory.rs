//! The directory of rooms that everybody may find, and what a room tells of itself before one is in.

use std::sync::Arc;

use ruma::UInt;
use ruma::api::client::directory::{
    get_public_rooms, get_public_rooms_filtered, get_room_visibility, set_room_visibility,
};
use ruma::api::client::room::Visibility as Listed;
use ruma::api::client::room::get_summary::v1 as summary;
use ruma::directory::{PublicRoomsChunk, RoomTypeFilter};
use ruma::events::room::member::MembershipState;
use ruma::room::{JoinRuleSummary, RoomSummary, RoomType};
use sammen_core::conversation::{JoinRule, Visibility};
use sammen_core::ops::rooms;
use sammen_core::{Address, Convo, permission};
use serde_json::Value;

use super::members::named;
use super::seen;
use crate::chain::{Room, State};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::fields::Fields as _;
use crate::routes::Table;
use crate::server::Matrix;

/// Most rooms in an answer.
const MOST: usize = 100;
/// Most rooms of the node that are looked at for one answer.
const LOOK: usize = 2_000;

pub fn routes(table: &mut Table) {
    table.on(list);
    table.on(search);
    table.on(visibility);
    table.on(set_visibility);
    table.on(about);
}

async fn list(
    matrix: Arc<Matrix>,
    ask: Ask<get_public_rooms::v3::Request>,
) -> Answer<get_public_rooms::v3::Response> {
    let request = ask.request;
    let limit = request.limit;
    let found = find(&matrix, limit, request.since, None, Vec::new()).await?;
    let mut response = get_public_rooms::v3::Response::new(found.0);
    response.next_batch = found.1;
    Ok(response)
}

async fn search(
    matrix: Arc<Matrix>,
    ask: Ask<get_public_rooms_filtered::v3::Request>,
) -> Answer<get_public_rooms_filtered::v3::Response> {
    let request = ask.request;
    let term = request.filter.generic_search_term;
    let types = request.filter.room_types;
    let found = find(&matrix, request.limit, request.since, term, types).await?;
    let mut response = get_public_rooms_filtered::v3::Response::new();
    response.chunk = found.0;
    response.next_batch = found.1;
    Ok(response)
}

async fn find(
    matrix: &Arc<Matrix>,
    limit: Option<UInt>,
    since: Option<String>,
    term: Option<String>,
    types: Vec<RoomTypeFilter>,
) -> Answer<(Vec<PublicRoomsChunk>, Option<String>)> {
    let limit = limit.map_or(MOST, |n| usize::try_from(u64::from(n)).unwrap_or(MOST));
    let limit = limit.clamp(1, MOST);
    let since = since.map(|since| Address::new(&since)).transpose();
    let since = since.map_err(|_| Fault::invalid("that is no token of this server"))?;
    let term = term.map(|term| term.to_lowercase());
    let listed = matrix.read(move |matrix| {
        let rooms = matrix.node.rooms(since.as_ref(), LOOK)?;
        let found = rooms.into_iter().filter(|convo| {
            let settings = &convo.conversation.settings;
            let texts = [
                settings.name.as_deref(),
                settings.topic.as_deref(),
                convo.conversation.room().map(Address::as_str),
            ];
            let fits = term.as_ref().is_none_or(|term| {
                let mut texts = texts.iter().flatten();
                texts.any(|text| text.to_lowercase().contains(term))
            });
            settings.listed && !settings.locked && fits
        });
        Ok(found.take(limit + 1).collect::<Vec<_>>())
    });
    let mut listed = listed.await?;
    let more = listed.len() > limit;
    listed.truncate(limit);
    let next = listed.last().filter(|_| more);
    let next = next.and_then(|convo| Some(convo.conversation.room()?.to_string()));
    let mut chunk = Vec::new();
    for convo in listed {
        let room = matrix.rooms.open(convo.id()).await?;
        let state = room.state();
        let kind = kind(&state);
        let wanted = types.is_empty()
            || types.iter().any(|wanted| match (wanted, &kind) {
                (RoomTypeFilter::Default, None) => true,
                (wanted, Some(kind)) => wanted.as_str() == Some(kind.as_str()),
                _ => false,
            });
        if wanted {
            chunk.push(tell(&room, &convo, &state)?.into());
        }
    }
    Ok((chunk, next))
}

/// The type of a room.
fn kind(state: &State) -> Option<RoomType> {
    state.text("m.room.create", "type").map(RoomType::from)
}

/// What a room tells of itself.
pub fn tell(room: &Room, convo: &Convo, state: &State) -> Answer<RoomSummary> {
    let settings = &convo.conversation.settings;
    let rule: Value = state.content("m.room.join_rules", "").unwrap_or_default();
    let rule = match rule.word("join_rule") {
        Some("public") => JoinRuleSummary::Public,
        Some("knock") => JoinRuleSummary::Knock,
        Some("restricted" | "knock_restricted") => {
            serde_json::from_value(rule).unwrap_or(JoinRuleSummary::Invite)
        }
        _ => JoinRuleSummary::Invite,
    };
    // The node's own user is nobody.
    let own = format!("@sammen:{}", room.server());
    let joined = state
        .members()
        .filter(|(user, m, _)| *m == MembershipState::Join && *user != own)
        .count();
    let joined = UInt::new_saturating(joined as u64);
    let world = settings.visibility == Visibility::World;
    let mut told = RoomSummary::new(room.id.clone(), rule, false, joined, world);
    told.name = state.text("m.room.name", "name");
    told.topic = state.text("m.room.topic", "topic");
    told.avatar_url = state.text("m.room.avatar", "url").map(Into::into);
    let alias = state.text("m.room.canonical_alias", "alias");
    told.canonical_alias = alias.and_then(|alias| ruma::RoomAliasId::parse(alias).ok());
    told.room_type = kind(state);
    told.room_version = Some(room.version.clone());
    told.encryption = state.text("m.room.encryption", "algorithm").map(Into::into);
    Ok(told)
}

/// Whether somebody may know what a room tells of itself.
pub fn may_know(convo: &Convo, who: Option<&Address>) -> bool {
    let settings = &convo.conversation.settings;
    let open = settings.listed
        || settings.visibility == Visibility::World
        || settings.join_rule == JoinRule::Knock
        || settings.join_rule == JoinRule::Open && settings.password.is_none();
    match who {
        Some(who) if !convo.is_room() => convo.has(who),
        Some(who) => open || permission::may_know(convo, who),
        None => convo.is_room() && open,
    }
}

async fn visibility(
    matrix: Arc<Matrix>,
    ask: Ask<get_room_visibility::v3::Request>,
) -> Answer<get_room_visibility::v3::Response> {
    let nothing = || Fault::not_found("there is no such room here");
    let room = super::room(&matrix, &ask.request.room_id)
        .await?
        .ok_or_else(nothing)?;
    let convo = matrix.node.convo(room.conversation)?.ok_or_else(nothing)?;
    let listed = convo.is_room() && convo.conversation.settings.listed;
    let visibility = if listed {
        Listed::Public
    } else {
        Listed::Private
    };
    Ok(get_room_visibility::v3::Response::new(visibility))
}

async fn set_visibility(
    matrix: Arc<Matrix>,
    ask: Ask<set_room_visibility::v3::Request>,
) -> Answer<set_room_visibility::v3::Response> {
    let Ask { request, who, .. } = ask;
    let here = seen(&matrix, &who, &request.room_id).await?.inside()?;
    let listed = request.visibility == Listed::Public;
    let (principal, origin, id) = (who.principal(), who.origin(), here.room.conversation);
    matrix
        .node
        .write(move |tx| {
            let change = |settings: &mut sammen_core::Settings| {
                settings.listed = listed;
                Ok(())
            };
            if !tx.convo(id)?.is_room() {
                return Err(sammen_core::Refusal::Forbidden("only rooms are listed"));
            }
            rooms::configure(tx, &principal, id, change, &origin).map(drop)
        })
        .await?;
    Ok(set_room_visibility::v3::Response::new())
}

async fn about(matrix: Arc<Matrix>, ask: Ask<summary::Request>) -> Answer<summary::Response> {
    let nothing = || Fault::not_found("there is no such room here");
    let name = ask.request.room_id_or_alias;
    let id = match &ask.who {
        Some(who) => named(&matrix, who, &name).await?,
        None => ruma::OwnedRoomId::try_from(name.as_str()).map_err(|_| nothing())?,
    };
    let room = super::room(&matrix, &id).await?.ok_or_else(nothing)?;
    let convo = matrix.node.convo(room.conversation)?.ok_or_else(nothing)?;
    let who = ask.who.as_ref().map(|who| who.address().clone());
    if !may_know(&convo, who.as_ref()) {
        return Err(nothing());
    }
    let upto = matrix.node.last_seq();
    matrix.rooms.catch_up(&room, upto, Vec::new()).await?;
    let state = room.state();
    let mut response = summary::Response::new(tell(&room, &convo, &state)?);
    response.membership = ask.who.map(|who| state.membership(&who.user_id));
    Ok(response)
}
