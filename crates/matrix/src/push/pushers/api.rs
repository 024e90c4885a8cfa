//! `GET /pushers`, `POST /pushers/set`.

use std::sync::Arc;

use ruma::api::client::push::set_pusher::v3::PusherAction;
use ruma::api::client::push::{Pusher, PusherKind, get_pushers, set_pusher};
use url::{Host, Url};

use super::kept::{self, Kept};
use super::key;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;
use crate::shelf;

/// Longest key, in bytes, and longest name of an app, in characters (client-server API, "POST pushers/set").
const PUSHKEY: usize = 512;
const APP_ID: usize = 64;
/// Most bytes of a pusher as it is kept.
const WHOLE: usize = 16 * 1024;
/// Where gateways listen.
const PATH: &str = "/_matrix/push/v1/notify";

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(get);
    table.on(set);
}

async fn get(
    matrix: Arc<Matrix>,
    ask: Ask<get_pushers::v3::Request>,
) -> Answer<get_pushers::v3::Response> {
    let account = ask.who.address().clone();
    let read = move |m: &Matrix| Ok(kept::of(m.node.store(), &account)?);
    let found = matrix.read(read).await?;
    let pushers = found.into_iter().map(|kept| kept.pusher);
    Ok(get_pushers::v3::Response::new(pushers.collect()))
}

async fn set(
    matrix: Arc<Matrix>,
    ask: Ask<set_pusher::v3::Request>,
) -> Answer<set_pusher::v3::Response> {
    let account = ask.who.address().clone();
    let this = matrix.clone();
    match ask.request.action {
        PusherAction::Post(post) => {
            check(&matrix, &post.pusher)?;
            let kept = Kept {
                pusher: post.pusher,
                device: ask.who.device.id.0,
                at: matrix.node.now(),
            };
            if shelf::encode(&kept)?.len() > WHOLE {
                return Err(Fault::too_large());
            }
            let (shared, epoch) = (post.append, matrix.node.epoch());
            let write = move |tx: &mut sammen_core::tx::Tx<'_>| {
                kept::set(tx, &this, &account, &kept, epoch, shared)
            };
            matrix.node.write(write).await?;
        }
        PusherAction::Delete(ids) => {
            let key = key(&ids.app_id, &ids.pushkey);
            let write =
                move |tx: &mut sammen_core::tx::Tx<'_>| kept::remove(tx, &this, &account, &key);
            matrix.node.write(write).await?;
        }
        _ => return Err(Fault::invalid("that can't be done with a pusher")),
    }
    Ok(set_pusher::v3::Response::new())
}

/// Whether the node tells such a pusher.
fn check(matrix: &Matrix, pusher: &Pusher) -> Answer<()> {
    let ids = &pusher.ids;
    let fits = !ids.pushkey.is_empty() && ids.pushkey.len() <= PUSHKEY;
    if !fits || ids.app_id.is_empty() || ids.app_id.chars().count() > APP_ID {
        return Err(Fault::invalid(
            "the pushkey or the app_id is too long, or empty",
        ));
    }
    let PusherKind::Http(data) = &pusher.kind else {
        return Err(Fault::invalid("the node has pushers of the kind http only"));
    };
    let Some(fetcher) = &matrix.pushers.fetcher else {
        return Err(Fault::forbidden("this node reaches no gateways"));
    };
    let url = Url::parse(&data.url).map_err(|_| Fault::invalid("the url is none"))?;
    fetcher
        .check(&url)
        .map_err(|why| Fault::invalid(why.to_string()))?;
    if url.path() != PATH || url.query().is_some() {
        return Err(Fault::invalid(format!("the url has to end in {PATH}")));
    }
    // What goes to a gateway on the node's own network may go there in the clear.
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => Some(ip.into()),
        Some(Host::Ipv6(ip)) => Some(ip.into()),
        _ => None,
    };
    let near = ip.is_some_and(|ip| !sammen_net::fetch::may_reach(ip, &[]));
    if url.scheme() != "https" && !near {
        return Err(Fault::invalid("the url has to begin with https:"));
    }
    Ok(())
}
