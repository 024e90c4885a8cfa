//! The endpoints: receipts one by one, and several at once.

use std::sync::Arc;

use ruma::api::client::read_marker::set_read_marker;
use ruma::api::client::receipt::create_receipt;
use ruma::events::receipt::ReceiptThread;
use ruma::{EventId, OwnedEventId, RoomId};
use sammen_core::tx::Tx;

use super::Receipt;
use super::mark::{Step, forward};
use crate::account_data::put_fully_read;
use crate::auth::Caller;
use crate::chain::{Direction, Link, Room};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// How far back an event is looked for that core knows.
const BACK: usize = 64;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(receipt);
    table.on(markers);
}

async fn receipt(
    matrix: Arc<Matrix>,
    ask: Ask<create_receipt::v3::Request>,
) -> Answer<create_receipt::v3::Response> {
    use create_receipt::v3::ReceiptType;
    let request = ask.request;
    let thread = match &request.thread {
        ReceiptThread::Unthreaded => String::new(),
        thread => match thread.as_str() {
            Some(thread) if !thread.is_empty() => thread.to_owned(),
            _ => return Err(Fault::invalid("there is no such thread")),
        },
    };
    let public = match request.receipt_type {
        ReceiptType::Read => true,
        ReceiptType::ReadPrivate => false,
        ReceiptType::FullyRead if thread.is_empty() => {
            let room = readable(&matrix, &ask.who, &request.room_id).await?;
            fully_read(&matrix, &ask.who, room, request.event_id).await?;
            return Ok(create_receipt::v3::Response::new());
        }
        ReceiptType::FullyRead => {
            return Err(Fault::invalid("a room is read whole, with its threads"));
        }
        _ => return Err(Fault::invalid("there are no such receipts")),
    };
    let room = readable(&matrix, &ask.who, &request.room_id).await?;
    move_to(&matrix, &ask.who, &room, &request.event_id, thread, public).await?;
    Ok(create_receipt::v3::Response::new())
}

async fn markers(
    matrix: Arc<Matrix>,
    ask: Ask<set_read_marker::v3::Request>,
) -> Answer<set_read_marker::v3::Response> {
    let request = ask.request;
    let room = readable(&matrix, &ask.who, &request.room_id).await?;
    if let Some(event) = request.fully_read {
        fully_read(&matrix, &ask.who, room.clone(), event).await?;
    }
    for (event, public) in [
        (request.read_receipt, true),
        (request.private_read_receipt, false),
    ] {
        if let Some(event) = event {
            move_to(&matrix, &ask.who, &room, &event, String::new(), public).await?;
        }
    }
    Ok(set_read_marker::v3::Response::new())
}

/// A room that the caller is in.
async fn readable(matrix: &Arc<Matrix>, who: &Caller, room: &RoomId) -> Answer<Arc<Room>> {
    let (room, user) = (room.to_owned(), who.user_id.clone());
    let find = move |matrix: &Matrix| {
        use ruma::events::room::member::MembershipState;
        let found = matrix.rooms.by_id(&room)?;
        let joined = |room: &Arc<Room>| room.state().membership(&user) == MembershipState::Join;
        found
            .filter(joined)
            .ok_or_else(|| Fault::forbidden("you are not in this room"))
    };
    matrix.read(find).await
}

async fn fully_read(
    matrix: &Arc<Matrix>,
    who: &Caller,
    room: Arc<Room>,
    event: OwnedEventId,
) -> Answer<()> {
    let (bells, account) = (matrix.bells.clone(), who.address().clone());
    let write = move |tx: &mut Tx<'_>| {
        put_fully_read(tx, &account, &room.id, &event)?;
        tx.after(move |_| bells.ring(&account));
        Ok(())
    };
    Ok(matrix.node.write(write).await?)
}

/// Moves a receipt to an event.
async fn move_to(
    matrix: &Arc<Matrix>,
    who: &Caller,
    room: &Arc<Room>,
    event: &EventId,
    thread: String,
    public: bool,
) -> Answer<()> {
    let (room, event, user) = (room.clone(), event.to_owned(), who.user_id.clone());
    let found = matrix.read({
        let (room, thread) = (room.clone(), thread.clone());
        move |_| {
            let link = room.event(&event)?;
            let sight = room.sight(&user)?;
            if !thread.is_empty() && thread != "main" {
                // Each is kept: what is no thread here can't be one.
                let root = EventId::parse(&*thread).ok();
                let root = root.map_or(Ok(None), |id| room.event(&id))?;
                root.filter(|link| sight.sees(link))
                    .ok_or_else(|| Fault::invalid("there is no such thread"))?;
            }
            let link = link.filter(|link| sight.sees(link));
            let link = link.ok_or_else(|| Fault::not_found("there is no such event"))?;
            let core = known_to_core(&room, &link)?;
            Ok((link, core))
        }
    });
    let (link, core) = found.await?;
    // Only the main timeline is what other protocols know.
    let core = core.filter(|_| thread.is_empty() || thread == "main");
    let step = Step {
        account: who.address().clone(),
        user: who.user_id.to_string(),
        room,
        thread,
        receipt: Receipt {
            event: link.id.clone(),
            ordinal: link.ordinal,
            at: matrix.node.now(),
            public,
        },
        core,
        origin: who.origin(),
    };
    let this = matrix.clone();
    Ok(matrix
        .node
        .write(move |tx| forward(tx, &this, step))
        .await?)
}

/// The event of core's that a link shows, or the next one before it that shows any.
fn known_to_core(room: &Room, link: &Link) -> Answer<Option<sammen_core::EventId>> {
    if let Some(core) = &link.core {
        return Ok(Some(core.id));
    }
    let before = room.links(1..=link.ordinal, Direction::Back, BACK)?;
    Ok(before
        .iter()
        .find_map(|link| link.core.as_ref().map(|c| c.id)))
}
