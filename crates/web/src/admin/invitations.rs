//! Invitations of the whole node.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_net::invitations;

use crate::api::invitations::{offer, shown};
use crate::audit::note;
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Created, Done, Json, Place};
use crate::problem::Answer;
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/admin/invitations",
            Need::Admin,
            "All invitations that hold, without their links",
        )
        .answer::<t::Invitations>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/admin/invitations",
            Need::Admin,
            "Makes an invitation of the node, which makes nobody a contact",
        )
        .ask::<t::InvitationWish>()
        .answer::<t::NewInvitation>(201)
        .by(make);
    table
        .on(
            Method::DELETE,
            "/admin/invitations/{id}",
            Need::Admin,
            "Takes an invitation back",
        )
        .done()
        .by(revoke);
}

async fn list(State(web): State<Arc<Web>>, _: Caller) -> Answer<Json<t::Invitations>> {
    let list = invitations::list(&web.node, None).await?;
    Ok(Json(t::Invitations {
        invitations: list.iter().map(shown).collect(),
    }))
}

async fn make(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(mut ask): Ask<t::InvitationWish>,
) -> Answer<Created<t::NewInvitation>> {
    ask.account = true;
    let made = offer(&web, None, true, ask).await?;
    let (by, id, label) = (
        caller.address().clone(),
        made.invitation.id.clone(),
        made.invitation.label.clone(),
    );
    web.node
        .write(move |tx| note(tx, Some(&by), "invitation made", &id, label))
        .await?;
    Ok(Created(made))
}

async fn revoke(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Done> {
    let by = caller.address().clone();
    web.node
        .write(move |tx| {
            invitations::revoke(tx, &id, None)?;
            note(tx, Some(&by), "invitation taken back", &id, None)
        })
        .await?;
    Ok(Done)
}
