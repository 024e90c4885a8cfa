//! What people of other protocols have read: core's markers, as receipts.

use std::sync::{Arc, Weak};

use sammen_core::event::{Content, MarkerKind, Protocol};
use sammen_core::{Address, ConversationId, EventId, Outcome, Seq, Timestamp};
use tokio::sync::mpsc;

use super::mark::show;
use super::{Receipt, key};
use crate::server::Matrix;
use crate::shelf;

/// Most markers that wait; what comes beyond is left out, the next one of the same person says as much.
const WAITING: usize = 4_096;

struct Marker {
    conversation: ConversationId,
    author: Address,
    target: EventId,
    at: Timestamp,
    seq: Seq,
}

/// Follows core's markers for as long as the node is there. Needs a runtime.
pub fn begin(matrix: &Arc<Matrix>) {
    let (sender, markers) = mpsc::channel(WAITING);
    matrix.node.follow(Box::new(move |announced| {
        let event = &announced.event;
        let matrix_own = event
            .native
            .as_ref()
            .is_some_and(|n| n.protocol == Protocol::Matrix);
        if let (Content::Marker(MarkerKind::Displayed), Some(target), false) = (
            &event.content,
            event.target(),
            matrix_own || announced.passing,
        ) {
            let _ = sender.try_send(Marker {
                conversation: event.conversation,
                author: event.author.clone(),
                target,
                at: event.at,
                seq: event.seq,
            });
        }
    }));
    tokio::spawn(follow(Arc::downgrade(matrix), markers));
}

async fn follow(matrix: Weak<Matrix>, mut markers: mpsc::Receiver<Marker>) {
    while let Some(marker) = markers.recv().await {
        let Some(matrix) = matrix.upgrade() else {
            return;
        };
        if let Err(why) = note(&matrix, marker).await {
            tracing::debug!(%why, "a marker could not be shown");
        }
    }
}

async fn note(matrix: &Arc<Matrix>, marker: Marker) -> Outcome<()> {
    let this = matrix.clone();
    let conversation = marker.conversation;
    let room = matrix
        .node
        .read(move |_| this.rooms.of(conversation))
        .await?;
    let Some(room) = room else { return Ok(()) };
    matrix.rooms.catch_up(&room, marker.seq, Vec::new()).await?;
    let of = room.clone();
    let target = marker.target;
    let Some((ordinal, event)) = matrix.node.read(move |_| of.id_of(target)).await? else {
        return Ok(());
    };
    let user = matrix.rooms.user(&marker.author);
    let shown = key(user.as_str(), "");
    let receipt = Receipt {
        event,
        ordinal,
        at: marker.at,
        public: true,
    };
    let this = matrix.clone();
    let write = move |tx: &mut sammen_core::tx::Tx<'_>| {
        let namespace = super::public(room.name());
        let owner = sammen_core::document::Owner::Node;
        let before = tx.document(&owner, &namespace, &shown)?;
        let before = before.and_then(|d| d.value);
        let before: Option<Receipt> = before.and_then(|v| shelf::decode(&v));
        if before.is_some_and(|before| before.ordinal >= receipt.ordinal) {
            return Ok(());
        }
        show(tx, &this, &room, &shown, shelf::encode(&receipt)?)
    };
    matrix.node.write(write).await
}
