//! Incoming webhooks in Slack's format: an existing tool posts into a room. One secret address for each.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use sammen_core::document::Owner;
use sammen_core::event::{Message, MessageKind};
use sammen_core::member::Standing;
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::tx::{Expect, decode, encode};
use sammen_core::{Address, Content, ConversationId, Principal, Protocol, Refusal, Timestamp};
use serde::{Deserialize, Serialize};

use super::rooms::room;
use crate::auth::{Caller, From, Need};
use crate::extract::{Ask, Created, Done, Json, Place};
use crate::problem::{Answer, Problem};
use crate::routes::{BASE, Table};
use crate::server::Web;
use crate::slack;
use crate::types as t;

/// The node's shelf of webhooks (key: SHA-256 of the secret part).
const SHELF: &str = "webhook";
/// Webhooks of one room.
const PER_ROOM: usize = 20;
/// Webhooks of the node.
const ALL: usize = 5_000;
/// Bytes of a post.
const BODY: usize = 256 * 1024;

/// A webhook as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    room: ConversationId,
    /// Who made it: it says what they may say, no more.
    by: Address,
    name: String,
    created: Timestamp,
}

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/conversations/{id}/hooks",
            Need::Account,
            "The webhooks of a room, without their addresses",
        )
        .answer::<t::Hooks>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/conversations/{id}/hooks",
            Need::Account,
            "Makes a webhook; its address is shown once",
        )
        .ask::<t::HookWish>()
        .answer::<t::NewHook>(201)
        .by(make);
    table
        .on(
            Method::DELETE,
            "/conversations/{id}/hooks/{hook}",
            Need::Account,
            "Takes a webhook away",
        )
        .done()
        .by(remove);
}

/// Where posts arrive. The address is the secret: there is no session and no header.
pub fn door(web: Arc<Web>) -> Router {
    Router::new()
        .route(
            &format!("{BASE}/hooks/{{token}}"),
            axum::routing::post(post),
        )
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(web)
}

fn key(secret: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

/// The room, for one who keeps it in order.
async fn kept_by(web: &Arc<Web>, caller: &Caller, id: String) -> Answer<ConversationId> {
    let convo = room(web, caller, id).await?;
    if convo.has(caller.address()) && convo.standing(caller.address()) >= Standing::Admin {
        Ok(convo.id())
    } else {
        Err(Problem::forbidden(
            "only owners and admins of the room do that",
        ))
    }
}

fn shown(key: &str, hook: &Kept) -> t::Hook {
    t::Hook {
        id: key.to_owned(),
        name: hook.name.clone(),
        created: hook.created.0,
    }
}

async fn of_room(web: &Arc<Web>, id: ConversationId) -> Answer<Vec<(String, Kept)>> {
    web.read(move |web| {
        let all = web
            .node
            .store()
            .documents(&Owner::Node, SHELF, "", None, ALL);
        let all = all.map_err(Refusal::from)?.into_iter();
        Ok(all
            .filter_map(|d| Some((d.key, decode::<Kept>(&d.value?)?)))
            .filter(|(_, hook)| hook.room == id)
            .collect())
    })
    .await
}

async fn list(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Json<t::Hooks>> {
    let id = kept_by(&web, &caller, id).await?;
    let hooks = of_room(&web, id).await?;
    let hooks = hooks.iter().map(|(key, hook)| shown(key, hook)).collect();
    Ok(Json(t::Hooks { hooks }))
}

async fn make(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::HookWish>,
) -> Answer<Created<t::NewHook>> {
    let id = kept_by(&web, &caller, id).await?;
    let name = ask.name.trim().to_owned();
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "name",
            "a name is one line of 1 to 64 bytes",
        ));
    }
    if of_room(&web, id).await?.len() >= PER_ROOM {
        return Err(Problem::too_many("a room has at most 20 webhooks"));
    }
    let mut random = [0; 24];
    rand::rng().fill_bytes(&mut random);
    let secret = URL_SAFE_NO_PAD.encode(random);
    let key = key(&secret);
    let hook = Kept {
        room: id,
        by: caller.address().clone(),
        name,
        created: web.node.now(),
    };
    let (kept, at) = (encode(&hook)?, key.clone());
    web.node
        .write(move |tx| {
            if tx.documents(&Owner::Node, SHELF, ALL)?.len() >= ALL {
                return Err(Refusal::TooMany);
            }
            tx.put_document(&Owner::Node, SHELF, &at, Expect::Absent, Some(kept))
        })
        .await?;
    Ok(Created(t::NewHook {
        hook: shown(&key, &hook),
        url: format!("{}{BASE}/hooks/{secret}", web.base()),
    }))
}

async fn remove(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, hook)): Place<(String, String)>,
) -> Answer<Done> {
    let id = kept_by(&web, &caller, id).await?;
    web.node
        .write(move |tx| {
            let known = tx.document(&Owner::Node, SHELF, &hook)?;
            let known: Option<Kept> = known.and_then(|d| d.value).and_then(|v| decode(&v));
            known.filter(|h| h.room == id).ok_or(Refusal::NotFound)?;
            tx.put_document(&Owner::Node, SHELF, &hook, Expect::Anything, None)
        })
        .await?;
    Ok(Done)
}

/// Slack answers in plain text, and tools look at it.
async fn post(
    State(web): State<Arc<Web>>,
    From(from): From,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match take(&web, from, &token, &headers, &body).await {
        Ok(()) => (StatusCode::OK, "ok").into_response(),
        Err(problem) => {
            let word = match problem.code {
                "not-found" => "no_service",
                "throttled" => "rate_limited",
                "gone" => "channel_is_archived",
                "bad-request" | "invalid" => "invalid_payload",
                _ => "action_prohibited",
            };
            let mut answer = (problem.status(), word).into_response();
            if let Some(seconds) = problem.retry_after {
                answer
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
            }
            answer
        }
    }
}

async fn take(
    web: &Arc<Web>,
    from: std::net::IpAddr,
    token: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Answer<()> {
    let key = key(token);
    let at = key.clone();
    let hook = web
        .read(move |web| {
            let found = web.node.store().document(&Owner::Node, SHELF, &at);
            let found = found.map_err(Refusal::from)?.and_then(|d| d.value);
            Ok(found.and_then(|v| decode::<Kept>(&v)))
        })
        .await?;
    let Some(hook) = hook else {
        web.rates.stranger(from)?;
        return Err(Problem::not_found());
    };
    web.rates.hook(&key)?;
    let post = slack::read(headers, body)?;
    if post.text.len() > web.node.limits().text_bytes {
        return Err(Problem::too_large());
    }
    let name = post.username.as_deref().unwrap_or(&hook.name);
    let message = Message {
        // Everyone sees that a machine spoke, and in whose name.
        text: format!("{name}: {}", post.text),
        html: post.html.map(|html| {
            let name = maud::html! { strong { (name) } }.into_string();
            format!("{name}: {html}")
        }),
        kind: MessageKind::Notice,
        ..Message::default()
    };
    let to = Target::Conversation(hook.room);
    let out = Outgoing::new(to, Content::Message(message), Protocol::Web);
    web.node
        .write(move |tx| {
            let there = tx.account(&hook.by)?.filter(|a| !a.disabled);
            there.ok_or(Refusal::NotFound)?;
            // Whoever made it must still keep the room in order.
            let convo = tx.convo(hook.room)?;
            if convo.standing(&hook.by) < Standing::Admin {
                return Err(Refusal::Forbidden(
                    "the webhook's owner no longer keeps this room",
                ));
            }
            send::send(tx, &Principal::Of(hook.by.clone()), out)
        })
        .await?;
    Ok(())
}
