//! `GET /notifications` (client-server API, "Listing notifications"): what the rules say of what is in the rooms now. Nothing
//! is kept for it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use ruma::MilliSecondsSinceUnixEpoch;
use ruma::OwnedUserId;
use ruma::api::client::push::get_notifications::v3::{Notification, Request, Response};
use ruma::events::room::member::MembershipState;
use ruma::push::Action;
use sammen_core::Seq;
use sammen_core::token::Token;

use super::evaluate::context;
use super::{rules, unread};
use crate::account_data::ignored;
use crate::auth::Caller;
use crate::chain::{Direction, Link, Place, Room, Sight};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::receipts;
use crate::routes::Table;
use crate::server::Matrix;
use crate::sync::{places, token};

/// Notifications of an answer where no number is asked for, and most of them.
const USUAL: usize = 20;
const MOST: usize = 100;
/// Rooms that one answer looks through, and events of each.
const ROOMS: usize = 100;
const LOOKED: usize = 64;

/// The endpoint.
pub fn routes(table: &mut Table) {
    table.on(list);
}

/// What was asked for.
struct Page {
    /// Only what is older than this.
    before: Seq,
    limit: usize,
    highlights: bool,
}

async fn list(matrix: Arc<Matrix>, ask: Ask<Request>) -> Answer<Response> {
    let (request, who) = (ask.request, ask.who);
    let places = places::of(&matrix, who.address()).await?;
    let before = match &request.from {
        Some(from) => token::known(&matrix, from)
            .map(|from| from.seq)
            .ok_or_else(|| Fault::invalid("from is no token of such a list"))?,
        None => matrix.node.announced(),
    };
    let limit = request.limit.and_then(|n| usize::try_from(n).ok());
    let page = Page {
        before,
        limit: limit.unwrap_or(USUAL).clamp(1, MOST),
        highlights: request.only.as_deref() == Some("highlight"),
    };
    matrix.read(move |m| read(m, &who, &places, &page)).await
}

/// Something worth a notification.
struct Found {
    room: Arc<Room>,
    sight: Arc<Sight>,
    link: Arc<Link>,
    actions: Vec<Action>,
    read: bool,
}

fn read(matrix: &Matrix, who: &Caller, places: &[Place], page: &Page) -> Answer<Response> {
    let contacts = matrix.node.contacts(who.address())?;
    let ignored = ignored::blocked(&contacts, &matrix.name);
    let mut rooms = Vec::new();
    let joined = |place: &&Place| place.membership == MembershipState::Join;
    for place in places.iter().filter(joined) {
        let upto = place.room.ordinal_at(page.before)?;
        if let Some(newest) = place.room.link(upto)? {
            rooms.push((newest, &place.room));
        }
    }
    rooms.sort_by_key(|(newest, _)| Reverse(newest.seq));
    let mut found: Vec<Found> = Vec::new();
    // Down to here everything was looked through.
    let mut floor = Seq(0);
    for (n, (newest, room)) in rooms.iter().enumerate() {
        let newer = found.iter().filter(|found| found.link.seq > newest.seq);
        if n >= ROOMS || newer.count() > page.limit {
            floor = floor.max(Seq(newest.seq.0 + 1));
            break;
        }
        let looked = look(
            matrix,
            who,
            room,
            newest.ordinal,
            page,
            &ignored,
            &mut found,
        )?;
        floor = floor.max(looked);
    }
    found.retain(|found| found.link.seq >= floor);
    found.sort_by_key(|found| Reverse(found.link.seq));
    let next = match found.get(page.limit.saturating_sub(1)) {
        Some(last) if found.len() > page.limit => last.link.seq,
        _ => floor,
    };
    found.truncate(page.limit);
    let mut notifications = Vec::with_capacity(found.len());
    for one in found {
        let at = u64::try_from(one.link.at.0).unwrap_or(0);
        let at = MilliSecondsSinceUnixEpoch(at.try_into().unwrap_or_default());
        let link = std::slice::from_ref(&one.link);
        for event in matrix.rooms.render(&one.room, link, &one.sight)? {
            let (actions, room) = (one.actions.clone(), one.room.id.clone());
            notifications.push(Notification::new(actions, event, one.read, room, at));
        }
    }
    let mut answer = Response::new(notifications);
    answer.next_token = (next.0 > 1).then(|| {
        let before = Token {
            epoch: matrix.node.epoch(),
            seq: Seq(next.0 - 1),
            volatile: 0,
        };
        before.encode()
    });
    Ok(answer)
}

/// Adds what is worth a notification in the newest events of a room up to one. Returns how far that reaches back; zero for
/// all of the room.
fn look(
    matrix: &Matrix,
    who: &Caller,
    room: &Arc<Room>,
    upto: u64,
    page: &Page,
    ignored: &BTreeSet<OwnedUserId>,
    found: &mut Vec<Found>,
) -> Answer<Seq> {
    let user = &who.user_id;
    let sight = Arc::new(room.sight(user)?.on(who.device.id));
    let own = receipts::own(matrix, who.address(), room)?;
    let rules = rules::read_of(matrix, who.address(), user)?;
    let context = context(room, &room.state(), user);
    let links = room.links(1..=upto, Direction::Back, LOOKED)?;
    let last = links.last().filter(|link| link.ordinal > 1);
    let looked = last.map_or(Seq(0), |link| link.seq);
    for link in links {
        if link.sender == *user || ignored.contains(&link.sender) || !sight.sees(&link) {
            continue;
        }
        let verdict = unread::judge(matrix, room, &link, &rules, &context)?;
        if !verdict.notify || page.highlights && !verdict.highlight {
            continue;
        }
        let thread = link.relates.thread.as_ref();
        found.push(Found {
            room: room.clone(),
            sight: sight.clone(),
            read: own.thread(thread.map_or("main", |root| root.as_str())) >= link.ordinal,
            actions: verdict.actions,
            link,
        });
    }
    Ok(looked)
}
