//! Catching up from the log, page by page while the connection takes it: after an overflow of the mailbox, after a
//! restart, and for messages that waited while nobody was there.

use std::collections::VecDeque;
use std::sync::Arc;

use sammen_core::live::Announced;
use sammen_core::{ConversationId, Seq};

use crate::client::Client;
use crate::deliver;

/// Events read from the log at once.
const PAGE: usize = 64;

/// A stretch of the log that the client has still to get.
struct Stretch {
    rooms: Vec<ConversationId>,
    after: Seq,
    upto: Seq,
    /// Messages that waited (XEP-0160), with their time.
    late: bool,
}

/// What a client has still to get, in order.
#[derive(Default)]
pub struct Lag(VecDeque<Stretch>);

impl Lag {
    /// Everything behind `after` up to `upto`: of direct conversations and of these rooms.
    pub fn missed(&mut self, rooms: Vec<ConversationId>, after: Seq, upto: Seq) {
        self.push(rooms, after, upto, false);
    }

    /// Messages that waited.
    pub fn late(&mut self, after: Seq, upto: Seq) {
        self.push(Vec::new(), after, upto, true);
    }

    fn push(&mut self, rooms: Vec<ConversationId>, after: Seq, upto: Seq, late: bool) {
        if after < upto {
            self.0.push_back(Stretch {
                rooms,
                after,
                upto,
                late,
            });
        }
    }

    /// Whether the client has everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a later process has to go on.
    pub fn begins(&self) -> Option<Seq> {
        self.0.iter().find(|s| !s.late).map(|s| s.after)
    }

    /// A live event that comes while the client catches up comes from the log too, in its place; true if so.
    pub fn takes(&mut self, announced: &Announced) -> bool {
        let Some(last) = self.0.back_mut().filter(|s| !s.late) else {
            return false;
        };
        let ours = !announced.convo.is_room() || last.rooms.contains(&announced.convo.id());
        if ours {
            last.upto = last.upto.max(announced.event.seq);
        }
        ours
    }
}

/// Delivers the next page; false where there is none.
pub async fn page(client: &Arc<Client>) -> bool {
    let (rooms, after, upto, late) = {
        let lag = client.lag.lock();
        let Some(first) = lag.0.front() else {
            return false;
        };
        (first.rooms.clone(), first.after, first.upto, first.late)
    };
    let changes = client
        .node
        .changes(&client.account, rooms, after, upto, PAGE);
    let Ok(events) = changes.await else {
        tracing::warn!(jid = %client.jid, "a client could not catch up");
        client.lag.lock().0.pop_front();
        return true;
    };
    // What the account may not see is left out of a page, so only an empty one is surely the last.
    let reached = events.last().map_or(upto, |a| a.event.seq);
    for announced in &events {
        if late {
            deliver::late(client, announced).await;
        } else {
            deliver::show(client, announced).await;
        }
    }
    let mut lag = client.lag.lock();
    if let Some(first) = lag.0.front_mut() {
        first.after = reached;
        if first.after >= first.upto {
            lag.0.pop_front();
        }
    }
    drop(lag);
    if !late {
        let mut state = client.state.lock();
        state.cursor = state.cursor.max(reached);
    }
    true
}
