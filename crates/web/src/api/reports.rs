//! Reporting someone, or what they said, to those who run the node.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::ops::reports::{Report, State as Stands, TEXT, add};
use sammen_core::{Address, Content};

use super::entries::event_id;
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Created};
use crate::person::resolve;
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::summary;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::POST,
            "/reports",
            Need::Account,
            "Reports someone to those who run the node",
        )
        .ask::<t::Report>()
        .answer::<t::Reported>(201)
        .by(report);
}

async fn report(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::Report>,
) -> Answer<Created<t::Reported>> {
    if ask.text.as_ref().is_some_and(|t| t.len() > TEXT) {
        return Err(Problem::invalid("text", "at most 4096 bytes"));
    }
    let reader = caller.address().clone();
    let report = web
        .read(move |web| {
            let event = ask
                .event
                .as_deref()
                .map(|e| event_id("event", e))
                .transpose()?;
            let event = match event {
                Some(id) => Some(
                    web.node
                        .visible_event(&reader, id)?
                        .ok_or_else(Problem::not_found)?,
                ),
                None => None,
            };
            let convo = match (&event, &ask.conversation) {
                (Some(event), _) => web.node.convo(event.conversation)?,
                (None, Some(id)) => Some(summary::known(web, &reader, id)?),
                (None, None) => None,
            };
            let about = match &convo {
                Some(convo) => resolve(convo, &ask.address),
                None => Address::new(&ask.address).ok(),
            };
            let about =
                about.ok_or_else(|| Problem::invalid("address", "that is nobody's address"))?;
            if event.as_ref().is_some_and(|e| e.author != about) {
                return Err(Problem::invalid("event", "somebody else wrote that"));
            }
            Ok(Report {
                at: web.node.now(),
                by: reader,
                about,
                reason: ask.reason.into(),
                text: ask.text.filter(|t| !t.trim().is_empty()),
                room: convo.and_then(|c| c.conversation.room().cloned()),
                encrypted: event
                    .as_ref()
                    .is_some_and(|e| matches!(e.content, Content::Encrypted { .. })),
                event: event.map(|e| e.id),
                state: Stands::Open,
                note: None,
            })
        })
        .await?;
    let id = web.node.write(move |tx| add(tx, &report)).await?;
    Ok(Created(t::Reported { id }))
}
