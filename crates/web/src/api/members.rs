//! The people of a room: who is there, inviting, ranks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::member::Membership;
use sammen_core::ops::rooms;
use sammen_core::{Address, Convo, Refusal};

use super::rooms::room;
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Asked, Done, Json, Place};
use crate::person::{View, person_in, resolve, sees_addresses};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::translate as tr;
use crate::types as t;

/// Members in one answer.
const MOST: usize = 500;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/conversations/{id}/members",
            Need::Account,
            "The people of a room",
        )
        .query::<t::MemberQuery>()
        .answer::<t::MemberPage>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/conversations/{id}/invite",
            Need::Account,
            "Invites someone into a room",
        )
        .ask::<t::InviteWish>()
        .done()
        .by(invite);
    table
        .on(
            Method::PUT,
            "/conversations/{id}/members/{address}/standing",
            Need::Account,
            "Ranks someone for good; outcast bans",
        )
        .ask::<t::StandingChange>()
        .done()
        .by(standing);
    table
        .on(
            Method::PUT,
            "/conversations/{id}/members/{address}/role",
            Need::Account,
            "Gives someone a role for now; none kicks",
        )
        .ask::<t::RoleChange>()
        .done()
        .by(role);
}

/// A member as the reader sees them. Blocking.
pub(crate) fn member(view: View<'_>, convo: &Convo, who: &Address) -> Option<t::Member> {
    let row = convo.member(who)?;
    let live = view.node.live(|live| {
        let occupant = live.room(convo.id())?.occupants.get(who)?;
        occupant.sessions.iter().map(|(_, p)| p.show).max()
    });
    Some(t::Member {
        person: person_in(view, convo, who, None),
        nick: row.nick.as_deref().map(str::to_owned),
        standing: tr::standing(row.standing),
        role: tr::role(convo.role(who)),
        membership: tr::membership(row.membership),
        present: live.is_some(),
        show: live.map(tr::show),
        invited_by: row
            .invited_by
            .as_ref()
            .map(|a| person_in(view, convo, a, None).address),
    })
}

async fn list(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Asked(asked): Asked<t::MemberQuery>,
) -> Answer<Json<t::MemberPage>> {
    let convo = room(&web, &caller, id).await?;
    let reader = caller.address().clone();
    if !convo.has(&reader) {
        return Err(Refusal::NotJoined.into());
    }
    web.read(move |web| {
        let most = asked.limit.unwrap_or(100).clamp(1, MOST);
        let view = View::of(web, &reader);
        let all = sees_addresses(&convo, &reader);
        // Who is not in the room is shown to those alone who see addresses.
        let mut rows: Vec<&Arc<sammen_core::Member>> = convo
            .members
            .values()
            .filter(|m| m.is_joined() || all)
            .filter(|m| {
                m.membership > Membership::Left || m.standing != sammen_core::Standing::None
            })
            .collect();
        // By nick: it is what every reader may see.
        let name = |m: &sammen_core::Member| {
            let nick = m.nick.as_deref().unwrap_or(m.address.name());
            (nick.to_lowercase(), m.address.to_string())
        };
        rows.sort_by_key(|m| name(m));
        let from = match &asked.after {
            Some(after) => rows.partition_point(|m| name(m).0.as_str() <= after.as_str()),
            None => 0,
        };
        let rest = rows.get(from..).unwrap_or_default();
        let members: Vec<t::Member> = rest
            .iter()
            .take(most)
            .filter_map(|m| member(view, &convo, &m.address))
            .collect();
        let next = (rest.len() > most)
            .then(|| rest.get(most - 1).map(|m| name(m).0))
            .flatten();
        Ok(t::MemberPage { members, next })
    })
    .await
    .map(Json)
}

async fn invite(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::InviteWish>,
) -> Answer<Done> {
    let id = room(&web, &caller, id).await?.id();
    let whom = web.address("address", &ask.address)?;
    let (who, origin) = (caller.principal(), caller.origin());
    let reason = words(ask.reason)?;
    web.node
        .write(move |tx| rooms::invite(tx, &who, id, &whom, reason, &origin))
        .await?;
    Ok(Done)
}

fn words(reason: Option<String>) -> Answer<Option<String>> {
    if reason.as_ref().is_some_and(|r| r.len() > 1024) {
        return Err(Problem::invalid(
            "reason",
            "a reason has at most 1024 bytes",
        ));
    }
    Ok(reason.filter(|r| !r.trim().is_empty()))
}

/// Whom the caller means, by address or by `#room@domain/nick`.
fn whom(convo: &Convo, text: &str) -> Answer<Address> {
    resolve(convo, text).ok_or_else(Problem::not_found)
}

async fn standing(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, address)): Place<(String, String)>,
    Ask(ask): Ask<t::StandingChange>,
) -> Answer<Done> {
    let convo = room(&web, &caller, id).await?;
    let whom = whom(&convo, &address)?;
    let (id, who, origin) = (convo.id(), caller.principal(), caller.origin());
    let reason = words(ask.reason)?;
    let to = tr::core_standing(ask.standing);
    web.node
        .write(move |tx| rooms::set_standing(tx, &who, id, &whom, to, reason, &origin))
        .await?;
    Ok(Done)
}

async fn role(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, address)): Place<(String, String)>,
    Ask(ask): Ask<t::RoleChange>,
) -> Answer<Done> {
    let convo = room(&web, &caller, id).await?;
    let whom = whom(&convo, &address)?;
    let (id, who, origin) = (convo.id(), caller.principal(), caller.origin());
    let reason = words(ask.reason)?;
    let to = tr::core_role(ask.role);
    web.node
        .write(move |tx| rooms::set_role(tx, &who, id, &whom, to, reason, &origin))
        .await?;
    Ok(Done)
}
