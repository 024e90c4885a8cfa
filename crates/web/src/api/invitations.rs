//! The caller's own invitations: links that make a contact, an account, and bring into rooms.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::{Address, Name, Timestamp};
use sammen_net::invitations::{self, Invitation, Inviters, Offer, Token};

use crate::auth::{Caller, Need};
use crate::extract::{Ask, Created, Done, Json, Place};
use crate::lockdown;
use crate::pages::qr;
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

const DAY_MS: i64 = 86_400_000;
/// The longest that an invitation holds, in days.
const LONGEST: u32 = 366;
/// Uses of one invitation.
const USES: u32 = 10_000;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/invitations",
            Need::Account,
            "The caller's invitations that hold, without their links",
        )
        .answer::<t::Invitations>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/invitations",
            Need::Account,
            "Makes an invitation; its link is shown once",
        )
        .ask::<t::InvitationWish>()
        .answer::<t::NewInvitation>(201)
        .by(make);
    table
        .on(
            Method::DELETE,
            "/invitations/{id}",
            Need::Account,
            "Takes an invitation back",
        )
        .done()
        .by(revoke);
}

/// An invitation as a client shows it.
pub(crate) fn shown(invitation: &Invitation) -> t::Invitation {
    let offer = &invitation.offer;
    t::Invitation {
        id: invitation.id.clone(),
        account: offer.account,
        from: offer.inviter.as_ref().map(ToString::to_string),
        name: offer.name.as_ref().map(ToString::to_string),
        rooms: offer.rooms.iter().map(ToString::to_string).collect(),
        left: invitation.left(),
        expires: offer.expires.map(|t| t.0),
        label: offer.label.clone(),
        created: invitation.created.0,
        used: invitation.used,
    }
}

async fn list(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Json<t::Invitations>> {
    let list = invitations::list(&web.node, Some(caller.address())).await?;
    Ok(Json(t::Invitations {
        invitations: list.iter().map(shown).collect(),
    }))
}

async fn make(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::InvitationWish>,
) -> Answer<Created<t::NewInvitation>> {
    let may = match web.config.get().inviters {
        Inviters::Nobody => false,
        other => other.include(&caller.account),
    };
    if ask.account && !may {
        return Err(Problem::forbidden(
            "you may not invite people who have no account here",
        ));
    }
    offer(&web, Some(caller.address().clone()), false, ask)
        .await
        .map(Created)
}

/// Makes an invitation for somebody who may.
pub(crate) async fn offer(
    web: &Arc<Web>,
    inviter: Option<Address>,
    by_operator: bool,
    ask: t::InvitationWish,
) -> Answer<t::NewInvitation> {
    if ask.account {
        web.read(lockdown::check).await?;
    }
    if ask.days.is_some_and(|d| d > LONGEST) || ask.uses.is_some_and(|u| u > USES) {
        return Err(Problem::invalid("days", "at most 366 days and 10000 uses"));
    }
    let name = ask.name.as_deref().map(Name::new).transpose();
    let name = name.map_err(|_| Problem::from(sammen_core::Refusal::InvalidName).field("name"))?;
    let rooms: Result<Vec<Address>, _> = ask.rooms.iter().map(|r| Address::new(r)).collect();
    let rooms = rooms.map_err(|_| Problem::invalid("rooms", "that is no room's address"))?;
    if rooms.len() > 20 || rooms.iter().any(|r| !r.is_room()) {
        return Err(Problem::invalid("rooms", "at most 20 rooms of this node"));
    }
    let days = ask.days.unwrap_or(14);
    let until = web.node.now().plus_ms(i64::from(days) * DAY_MS);
    let offer = Offer {
        inviter,
        account: ask.account,
        name,
        rooms,
        uses: match ask.uses {
            None => Some(1),
            Some(0) => None,
            Some(uses) => Some(uses),
        },
        expires: (days > 0).then_some(Timestamp(until.0)),
        by_operator,
        label: ask.label.filter(|l| !l.trim().is_empty()),
    };
    let token = Token::random(&mut rand::rng());
    let kept = token.clone();
    let made = web
        .node
        .write(move |tx| invitations::create(tx, offer, &kept))
        .await?;
    let base = web.base();
    let url = invitations::landing(&base, &token);
    Ok(t::NewInvitation {
        qr: qr::svg(&url).unwrap_or_default(),
        xmpp: invitations::uri(&made, web.domain(), &token),
        url,
        invitation: shown(&made),
    })
}

async fn revoke(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Done> {
    let account = caller.address().clone();
    web.node
        .write(move |tx| invitations::revoke(tx, &id, Some(&account)))
        .await?;
    Ok(Done)
}
