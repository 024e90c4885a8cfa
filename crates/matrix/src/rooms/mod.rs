//! What clients do with rooms: making them, coming and going, speaking, state, reading what was said.

mod aliases;
mod create;
mod directory;
mod history;
mod keys;
mod members;
mod ranks;
mod relations;
mod report;
mod send;
mod spaces;
mod state;

use std::sync::Arc;

use ruma::events::room::member::MembershipState;
use ruma::{OwnedRoomId, RoomId};
use sammen_core::Address;

use crate::auth::Caller;
use crate::chain::{Room, Sight};
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// The endpoints.
pub fn routes(table: &mut Table) {
    create::routes(table);
    members::routes(table);
    send::routes(table);
    state::routes(table);
    history::routes(table);
    relations::routes(table);
    report::routes(table);
    aliases::routes(table);
    directory::routes(table);
    spaces::routes(table);
    keys::routes(table);
}

/// A room as somebody sees it. Whether there is such a room is told to nobody who has nothing to do with it.
pub struct Seen {
    /// The room, which shows what core's log had when this was asked.
    pub room: Arc<Room>,
    /// What the asker sees.
    pub sight: Sight,
}

impl Seen {
    /// Whether the asker is in.
    pub fn joined(&self) -> bool {
        self.sight.membership() == MembershipState::Join
    }

    /// Only for those who are in.
    ///
    /// # Errors
    /// 403 for others.
    pub fn inside(self) -> Answer<Self> {
        if self.joined() {
            Ok(self)
        } else {
            Err(outside())
        }
    }

    /// The newest ordinal whose state the asker may see: where they left, for who is no longer in.
    ///
    /// # Errors
    /// 403 for who was never in and may not look in.
    pub fn until(&self) -> Answer<u64> {
        let head = self.room.head().ordinal;
        if self.joined() || self.sight.sees_now() {
            return Ok(head);
        }
        self.sight.left().ok_or_else(outside)
    }
}

fn outside() -> Fault {
    Fault::forbidden("you are not in this room")
}

/// A room by its id, as somebody sees it.
///
/// # Errors
/// 403 where there is no such room.
pub async fn seen(matrix: &Arc<Matrix>, who: &Caller, id: &RoomId) -> Answer<Seen> {
    let room = room(matrix, id).await?.ok_or_else(outside)?;
    let upto = matrix.node.last_seq();
    matrix.rooms.catch_up(&room, upto, Vec::new()).await?;
    let (user, device) = (who.user_id.clone(), who.device.id);
    matrix
        .read(move |_| {
            let sight = room.sight(&user)?.on(device);
            Ok(Seen { room, sight })
        })
        .await
}

/// A room by its id.
///
/// # Errors
/// When it can't be read.
pub async fn room(matrix: &Arc<Matrix>, id: &RoomId) -> Answer<Option<Arc<Room>>> {
    let id: OwnedRoomId = id.to_owned();
    matrix
        .read(move |matrix| Ok(matrix.rooms.by_id(&id)?))
        .await
}

/// Whom a Matrix id means.
///
/// # Errors
/// 404 where it is nobody here.
pub fn person(matrix: &Matrix, user: &ruma::UserId) -> Answer<Address> {
    let found = matrix.rooms.address(user);
    found.ok_or_else(|| Fault::not_found("there is no such user here"))
}
