//! All own data as one JSON document, written out while it is read: memory does not grow with the account.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Method, Response, header};
use sammen_core::history::Scope;
use sammen_core::store::Anchor;
use sammen_core::{ConversationId, Refusal};
use tokio::sync::mpsc;

use super::session::whoami;
use crate::auth::{Caller, Need};
use crate::person::View;
use crate::problem::Answer;
use crate::routes::Table;
use crate::server::Web;
use crate::summary;
use crate::translate::{entry, shows};

/// Events read at once.
const PAGE: usize = 200;

pub fn routes(table: &mut Table) {
    table
        .on(Method::GET, "/me/export", Need::Passphrase, "All own data: the account, contacts, conversations with what the caller may read, files by their address")
        .gives(200, "application/json")
        .by(export);
}

async fn export(State(web): State<Arc<Web>>, caller: Caller) -> Answer<Response<Body>> {
    let (pieces, waiting) = mpsc::channel::<Bytes>(4);
    let name = format!("{}.json", caller.address().name());
    tokio::task::spawn_blocking(move || {
        if let Err(problem) = write(&web, &caller, &pieces) {
            // The document ends in the middle, so that nobody takes it for whole.
            tracing::warn!(code = %problem.code, "an export was cut short");
        }
    });
    let mut answer = Response::new(Body::new(super::files::Pieces(waiting)));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let disposition = format!("attachment; filename=\"{name}\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

fn write(web: &Web, caller: &Caller, pieces: &mpsc::Sender<Bytes>) -> Answer<()> {
    let say = |text: String| {
        pieces
            .blocking_send(Bytes::from(text))
            .map_err(|_| crate::problem::Problem::try_later())
    };
    let me = caller.address();
    let view = View::of(web, me);
    say(format!("{{\"account\":{}", json(&whoami(web, caller)?)))?;
    let contacts = web.node.contacts(me)?;
    let list: Vec<_> = contacts
        .iter()
        .map(|(address, contact)| super::contacts::shown(view, address, contact))
        .collect();
    say(format!(",\"contacts\":{}", json(&list)))?;
    let files = web.node.store().blobs_of(me).map_err(Refusal::from)?;
    let mut uploads = Vec::new();
    for (slot, _) in files {
        if let Some(file) = sammen_net::files::upload(&web.node, &slot)? {
            let path = sammen_net::files::path(&slot, &file.name.name);
            uploads.push(crate::types::File {
                url: format!("{}{path}", web.base()),
                name: Some(file.name.name),
                media_type: file.name.media_type,
                size: Some(file.size),
            });
        }
    }
    say(format!(",\"files\":{},\"conversations\":[", json(&uploads)))?;
    let mut first = true;
    for id in web
        .node
        .store()
        .conversations_of(me)
        .map_err(Refusal::from)?
    {
        if conversation(web, caller, id, first, &say)? {
            first = false;
        }
    }
    say("]}\n".into())
}

/// One conversation with all that the caller may read of it; false where there is nothing.
fn conversation(
    web: &Web,
    caller: &Caller,
    id: ConversationId,
    first: bool,
    say: &impl Fn(String) -> Answer<()>,
) -> Answer<bool> {
    let me = caller.address();
    let Some(convo) = web.node.convo(id)? else {
        return Ok(false);
    };
    let Ok(mut query) = web.node.query(me, &Scope::Conversation(id), PAGE) else {
        return Ok(false);
    };
    let comma = if first { "" } else { "," };
    let about = summary::conversation(web, me, &convo)?;
    say(format!(
        "{comma}{{\"conversation\":{},\"entries\":[",
        json(&about)
    ))?;
    let view = View::of(web, me);
    let mut comma = "";
    loop {
        let page = web.node.store().history(&query).map_err(Refusal::from)?;
        for event in page.events.iter().filter(|e| shows(&web.node, e)) {
            say(format!("{comma}{}", json(&entry(view, &convo, event))))?;
            comma = ",";
        }
        match page.events.last() {
            Some(last) if page.more => {
                query.after = Some(Anchor {
                    at: last.at,
                    pos: last.pos,
                    seq: last.seq,
                });
            }
            _ => break,
        }
    }
    say("]}".into())?;
    Ok(true)
}
