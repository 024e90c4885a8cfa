//! Small pictures ("Thumbnails"): made when they are asked for, kept in memory while there is room.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, request::Parts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use parking_lot::Mutex;
use ruma::api::error::ErrorKind;
use sammen_net::files;
use sammen_net::thumbnail::{Fit, Made, Unfit, smaller, sniff};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::Place;
use super::download::{guarded, nothing, picture, place, shown, wait};
use crate::extract::authenticate;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Bytes of a file that is looked at.
const LARGEST: u64 = 24 << 20;
/// Bytes of small pictures that are kept.
const KEPT: usize = 4 << 20;

/// Width and height of a person's picture.
const PORTRAIT: u32 = 256;

/// The sizes that are made; a wish is answered with the next larger one ("the server MUST NOT upscale").
const SIZES: &[(u32, u32, Fit)] = &[
    (32, 32, Fit::Crop),
    (96, 96, Fit::Crop),
    (320, 240, Fit::Scale),
    (640, 480, Fit::Scale),
    (800, 600, Fit::Scale),
];

#[derive(Deserialize)]
struct Asked {
    width: u32,
    height: u32,
    #[serde(default = "scale")]
    method: Fit,
}

fn scale() -> Fit {
    Fit::Scale
}

type Key = (String, u32, u32, Fit);

/// Small pictures that were made, the last ones first.
pub(super) struct Shelf {
    kept: Mutex<VecDeque<(Key, Made)>>,
    /// One is made at a time: it takes memory.
    making: Semaphore,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            making: Semaphore::new(1),
        }
    }
}

impl Shelf {
    fn get(&self, key: &Key) -> Option<Made> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|(k, _)| k == key)?;
        let found = kept.remove(at)?;
        let made = found.1.clone();
        kept.push_front(found);
        Some(made)
    }

    fn keep(&self, key: Key, made: Made) {
        let mut kept = self.kept.lock();
        kept.push_front((key, made));
        let mut bytes = 0;
        kept.retain(|(_, (_, b))| {
            bytes += b.len();
            bytes <= KEPT
        });
    }
}

pub fn routes(table: &mut Table) {
    let path = "/_matrix/client/v1/media/thumbnail/{server_name}/{media_id}";
    table.raw(Method::GET, path, true, get(thumbnail));
}

async fn thumbnail(
    State(matrix): State<Arc<Matrix>>,
    Path((server, id)): Path<(String, String)>,
    head: Parts,
) -> Response {
    match answer(&matrix, &server, &id, &head).await {
        Ok(answer) => guarded(answer),
        Err(fault) => fault.into_response(),
    }
}

async fn answer(
    matrix: &Arc<Matrix>,
    server: &str,
    id: &str,
    head: &Parts,
) -> Answer<Response<Body>> {
    authenticate(matrix, head).await?;
    let Query(asked) = Query::<Asked>::try_from_uri(&head.uri)
        .map_err(|_| Fault::invalid("say which width and height"))?;
    let (width, height, fit) = size(&asked);
    let place = place(matrix, server, id)?;
    let key = (id.to_owned(), width, height, fit);
    if let Place::File(slot) = &place {
        wait(matrix, slot, head).await?;
        // It may have been taken away since it was made.
        let of = slot.clone();
        let there = matrix.read(move |matrix| Ok(matrix.node.store().blob_by_slot(&of)?));
        there.await?.ok_or_else(nothing)?;
    }
    if let Some((media_type, bytes)) = matrix.media.small.get(&key) {
        return Ok(shown(media_type, bytes));
    }
    let Ok(_making) = matrix.media.small.making.acquire().await else {
        return Err(Fault::unknown("try later"));
    };
    // Somebody else may have waited for the same.
    if let Some((media_type, bytes)) = matrix.media.small.get(&key) {
        return Ok(shown(media_type, bytes));
    }
    let original = match place.clone() {
        Place::File(slot) => file(matrix, slot).await?,
        place => picture(matrix, place).await?.1,
    };
    let made = matrix.read(move |_| smaller(&original, width, height, fit).map_err(no_picture));
    let Some(made) = made.await? else {
        // It is small already.
        return match place {
            Place::File(slot) => {
                Ok(files::serve(&matrix.node, slot, None, &head.method, &head.headers).await)
            }
            place => {
                let (media_type, bytes) = picture(matrix, place).await?;
                Ok(shown(&media_type, bytes))
            }
        };
    };
    matrix.media.small.keep(key, made.clone());
    Ok(shown(made.0, made.1))
}

fn size(asked: &Asked) -> (u32, u32, Fit) {
    let fits = |&&(w, h, fit): &&(u32, u32, Fit)| {
        w >= asked.width && h >= asked.height && (fit == asked.method || asked.method == Fit::Crop)
    };
    let found = SIZES.iter().find(fits).or(SIZES.last());
    found.map_or((800, 600, Fit::Scale), |&size| size)
}

async fn file(matrix: &Arc<Matrix>, slot: String) -> Answer<Bytes> {
    matrix
        .read(move |matrix| {
            let store = matrix.node.store();
            let info = store.blob_by_slot(&slot)?.ok_or_else(nothing)?;
            if info.size > LARGEST {
                return Err(Fault::too_large());
            }
            // Not the whole of a film only to see that it is none.
            let first = store.read_blob(&info.id, 0..info.size.min(64))?;
            if first.is_none_or(|first| sniff(&first).is_none()) {
                return Err(unfit());
            }
            store.read_blob(&info.id, 0..info.size)?.ok_or_else(nothing)
        })
        .await
}

fn unfit() -> Fault {
    no_picture(Unfit::NoPicture)
}

fn no_picture(why: Unfit) -> Fault {
    match why {
        Unfit::TooLarge => Fault::too_large(),
        Unfit::NoPicture => Fault::new(
            StatusCode::BAD_REQUEST,
            ErrorKind::Unknown,
            "no small picture can be made of this",
        ),
    }
}

/// A picture of a person as every protocol can show it: media type and bytes.
pub(super) async fn portrait(matrix: &Arc<Matrix>, place: Place) -> Answer<(String, Bytes)> {
    let Ok(_making) = matrix.media.small.making.acquire().await else {
        return Err(Fault::unknown("try later"));
    };
    let original = match place {
        Place::File(slot) => file(matrix, slot).await?,
        place => picture(matrix, place).await?.1,
    };
    matrix
        .read(move |_| {
            match smaller(&original, PORTRAIT, PORTRAIT, Fit::Scale).map_err(no_picture)? {
                Some((media_type, bytes)) => Ok((media_type.to_owned(), bytes)),
                None => {
                    let media_type = sniff(&original).ok_or_else(unfit)?;
                    Ok((media_type.to_owned(), original))
                }
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_at_least_what_was_wished_for() {
        for (wish, made) in [
            ((30, 30, Fit::Crop), (32, 32, Fit::Crop)),
            ((40, 33, Fit::Crop), (96, 96, Fit::Crop)),
            ((100, 100, Fit::Crop), (320, 240, Fit::Scale)),
            ((30, 30, Fit::Scale), (320, 240, Fit::Scale)),
            ((9999, 1, Fit::Scale), (800, 600, Fit::Scale)),
        ] {
            let (width, height, method) = wish;
            let asked = Asked {
                width,
                height,
                method,
            };
            assert_eq!(size(&asked), made, "{wish:?}");
        }
    }
}
