//! Search over everything that the caller may see.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::history::Scope;

use super::entries::event_id;
use super::timeline;
use crate::auth::{Caller, Need};
use crate::extract::{Asked, Json};
use crate::person::resolve;
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::summary;
use crate::types as t;

/// Entries in one answer.
const MOST: usize = 100;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/search",
            Need::Account,
            "Entries that say these words, the latest ones, oldest first",
        )
        .query::<t::SearchQuery>()
        .answer::<t::Page>(200)
        .by(search);
}

async fn search(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Asked(asked): Asked<t::SearchQuery>,
) -> Answer<Json<t::Page>> {
    let words = asked.q.trim().to_owned();
    if words.is_empty() || words.len() > 512 {
        return Err(Problem::invalid("q", "1 to 512 bytes"));
    }
    let reader = caller.address().clone();
    web.read(move |web| {
        let most = asked.limit.unwrap_or(30).clamp(1, MOST);
        let convo = asked
            .conversation
            .as_deref()
            .map(|id| summary::known(web, &reader, id))
            .transpose()?;
        let scope = match &convo {
            Some(convo) => Scope::Conversation(convo.id()),
            None => Scope::Everything,
        };
        let mut query = web.node.query(&reader, &scope, most)?;
        query.text = Some(words);
        if let Some(author) = &asked.author {
            let found = match &convo {
                Some(convo) => resolve(convo, author),
                None => web.address("author", author).ok(),
            };
            query.author =
                Some(found.ok_or_else(|| Problem::invalid("author", "that is no address"))?);
        }
        if let Some(before) = &asked.before {
            query.before = Some(web.node.anchor(&reader, event_id("before", before)?)?);
        }
        timeline::search(web, &reader, &query, most)
    })
    .await
    .map(Json)
}
