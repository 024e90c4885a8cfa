//! What a link in a message leads to. The node fetches it, and only links of messages that the caller may read.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use sammen_core::{Address, readers};
use sammen_net::preview::{Preview, PreviewError, first_link};

use super::timeline::line;
use crate::auth::{Caller, Need};
use crate::extract::{Json, Place};
use crate::person::View;
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::summary;
use crate::translate::entry;
use crate::types as t;

/// Where small pictures stand.
const PICTURES: &str = "/previews/{id}";

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/conversations/{id}/entries/{event}/previews",
            Need::Account,
            "What the first link of an entry leads to, fetched by the node; nothing where that can't be said",
        )
        .answer::<t::LinkPreviews>(200)
        .by(previews);
    table
        .on(
            Method::GET,
            PICTURES,
            Need::Account,
            "A small picture of a preview, for as long as the node keeps it",
        )
        .gives(200, "image/*")
        .by(picture);
}

async fn previews(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place((id, event)): Place<(String, String)>,
) -> Answer<Json<t::LinkPreviews>> {
    let reader = caller.address().clone();
    let link = web.read(move |web| link(web, &reader, &id, &event)).await?;
    let config = web.config.get();
    let (Some(previews), Some(link)) = (&config.previews, link) else {
        return Ok(Json(t::LinkPreviews::default()));
    };
    let found = previews.of(caller.address(), &link).await;
    let found = found.map_err(|why| match why {
        PreviewError::Throttled(wait) => Problem::throttled(wait.as_secs().saturating_add(1)),
        PreviewError::Busy => Problem::try_later(),
    })?;
    let previews = found.iter().map(|found| shown(&link, found)).collect();
    Ok(Json(t::LinkPreviews { previews }))
}

/// The link that an entry shows, if it may be followed. Blocking.
fn link(web: &Web, reader: &Address, id: &str, event: &str) -> Answer<Option<String>> {
    let convo = summary::known(web, reader, id)?;
    let event = line(web, reader, &convo, event)?;
    // What is encrypted is between its people, and who waits to be accepted learns nothing of who reads.
    if readers::readers(&convo).encrypted.is_some() || summary::waits(web, reader, &convo)? {
        return Ok(None);
    }
    let t::Body::Message { text, .. } = entry(View::of(web, reader), &convo, &event).body else {
        return Ok(None);
    };
    let own = web.base();
    let link = first_link(&text).filter(|link| !link.starts_with(&own));
    Ok(link.map(str::to_owned))
}

fn shown(link: &str, found: &Preview) -> t::LinkPreview {
    let picture = found.picture.as_ref().map(|picture| t::SmallPicture {
        url: format!(
            "{}{}",
            crate::routes::BASE,
            PICTURES.replace("{id}", &picture.id)
        ),
        width: picture.width,
        height: picture.height,
    });
    t::LinkPreview {
        link: link.to_owned(),
        url: found.url.clone(),
        title: found.title.clone(),
        description: found.description.clone(),
        site: found.site.clone(),
        picture,
    }
}

async fn picture(State(web): State<Arc<Web>>, Place(id): Place<String>) -> Answer<Response> {
    let config = web.config.get();
    let found = config.previews.as_ref().and_then(|all| all.picture(&id));
    let found = found.ok_or_else(Problem::not_found)?;
    let headers = [
        (header::CONTENT_TYPE, found.media_type),
        (header::CACHE_CONTROL, "private, max-age=3600, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        ),
    ];
    Ok((headers, found.bytes).into_response())
}
