//! Small pictures ("Thumbnails"): made when they are asked for, kept in memory while there is room.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, request::Parts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use image::{ImageDecoder as _, ImageFormat, ImageReader, imageops::FilterType};
use parking_lot::Mutex;
use ruma::api::error::ErrorKind;
use sammen_net::files;
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
/// Points of a picture that is made smaller: what is more takes too much memory (four bytes each).
const POINTS: u64 = 32_000_000;
/// Memory for reading one.
const MEMORY: u64 = 160 << 20;
/// Points of a side.
const SIDE: u32 = 16_384;
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

/// How a picture is brought into a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fit {
    Crop,
    Scale,
}

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
/// Media type and bytes.
type Made = (&'static str, Bytes);

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
    let made = matrix.read(move |_| smaller(&original, width, height, fit));
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
    Fault::new(
        StatusCode::BAD_REQUEST,
        ErrorKind::Unknown,
        "no small picture can be made of this",
    )
}

/// What the first bytes say; SVG can carry scripts and is none of them.
pub(super) fn sniff(bytes: &[u8]) -> Option<&'static str> {
    Some(match image::guess_format(bytes).ok()? {
        ImageFormat::Png => "image/png",
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::Gif => "image/gif",
        ImageFormat::WebP => "image/webp",
        _ => return None,
    })
}

/// Makes a picture smaller; `None` where it is small already. Blocking, and slow.
fn smaller(bytes: &[u8], width: u32, height: u32, fit: Fit) -> Answer<Option<Made>> {
    sniff(bytes).ok_or_else(unfit)?;
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|_| unfit())?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MEMORY);
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| unfit())?;
    let (w, h) = decoder.dimensions();
    if u64::from(w) * u64::from(h) > POINTS || decoder.total_bytes() > MEMORY {
        return Err(Fault::too_large());
    }
    if w <= width && h <= height {
        return Ok(None);
    }
    let turned = decoder.orientation().ok();
    let mut picture = image::DynamicImage::from_decoder(decoder).map_err(|_| unfit())?;
    if let Some(turned) = turned {
        picture.apply_orientation(turned);
    }
    let small = match fit {
        Fit::Crop => {
            // Cut first: what is made larger to be cut afterwards could be made very large.
            let (w, h) = (picture.width(), picture.height());
            let (long, wide) = (
                u64::from(w) * u64::from(height),
                u64::from(h) * u64::from(width),
            );
            let part = |of: u32, by: u32, over: u32| {
                let part = u64::from(of) * u64::from(by) / u64::from(over.max(1));
                u32::try_from(part).unwrap_or(u32::MAX).max(1)
            };
            let (cut_w, cut_h) = if long > wide {
                (part(h, width, height).min(w), h)
            } else {
                (w, part(w, height, width).min(h))
            };
            let cut = picture.crop_imm((w - cut_w) / 2, (h - cut_h) / 2, cut_w, cut_h);
            cut.resize(width.min(cut_w), height.min(cut_h), FilterType::Triangle)
        }
        Fit::Scale => picture.resize(width, height, FilterType::Triangle),
    };
    drop(picture);
    let mut out = Cursor::new(Vec::new());
    let (media_type, written) = if small.color().has_alpha() {
        let small = image::DynamicImage::from(small.into_rgba8());
        ("image/png", small.write_to(&mut out, ImageFormat::Png))
    } else {
        let small = image::DynamicImage::from(small.into_rgb8());
        ("image/jpeg", small.write_to(&mut out, ImageFormat::Jpeg))
    };
    written.map_err(|_| unfit())?;
    Ok(Some((media_type, out.into_inner().into())))
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
        .read(
            move |_| match smaller(&original, PORTRAIT, PORTRAIT, Fit::Scale)? {
                Some((media_type, bytes)) => Ok((media_type.to_owned(), bytes)),
                None => {
                    let media_type = sniff(&original).ok_or_else(unfit)?;
                    Ok((media_type.to_owned(), original))
                }
            },
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let picture = image::RgbImage::from_fn(width, height, |x, _| {
            image::Rgb([u8::try_from(x % 256).unwrap(), 0, 0])
        });
        picture.write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner()
    }

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

    #[test]
    fn a_picture_becomes_small_and_never_larger() {
        let (kind, small) = smaller(&png(400, 100), 96, 96, Fit::Crop).unwrap().unwrap();
        assert_eq!(kind, "image/jpeg");
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), (96, 96));
        let (_, small) = smaller(&png(640, 320), 320, 240, Fit::Scale)
            .unwrap()
            .unwrap();
        let small = image::load_from_memory(&small).unwrap();
        assert_eq!((small.width(), small.height()), (320, 160));
        assert!(smaller(&png(20, 20), 32, 32, Fit::Crop).unwrap().is_none());
        // A line of points is cut and not blown up.
        for (width, height) in [(SIDE, 1), (1, SIDE)] {
            for (to_width, to_height, fit) in SIZES {
                let made = smaller(&png(width, height), *to_width, *to_height, *fit).unwrap();
                let small = image::load_from_memory(&made.unwrap().1).unwrap();
                assert!(small.width() <= *to_width && small.height() <= *to_height);
            }
        }
        assert!(smaller(&png(SIDE + 1, 1), 96, 96, Fit::Crop).is_err());
    }

    #[test]
    fn bombs_and_what_is_no_picture_are_refused() {
        // The header of a PNG that says that it is 60,000 points wide and high.
        let mut bomb = png(8, 8);
        bomb.get_mut(16..24)
            .unwrap()
            .copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        for bad in [&bomb[..], b"", b"<svg/>", &png(300, 300)[..60]] {
            assert!(smaller(bad, 96, 96, Fit::Crop).is_err());
        }
    }
}
