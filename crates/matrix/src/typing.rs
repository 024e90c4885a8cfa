//! Typing (client-server API, "Typing Notifications"): core's typing, which every protocol shows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ruma::api::client::typing::create_typing_event;
use sammen_core::live::Typing;
use sammen_core::ops::send::{self, Target};
use sammen_core::{Address, ConversationId, Outcome};

use crate::account_data::own;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;
use crate::sync::lively;

/// The newest timer of each of our people who type: one that finds another in its place has nothing to end. No number
/// comes twice, or an old timer would end what was begun anew.
#[derive(Default)]
pub struct Timers {
    last: AtomicU64,
    running: Mutex<HashMap<(ConversationId, Address), u64>>,
}

impl Timers {
    /// A new timer takes the place of the one before.
    fn begin(&self, key: &(ConversationId, Address)) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        self.running.lock().insert(key.clone(), number);
        number
    }

    /// Whether this timer is still the one that ends it; then it is over.
    fn is_last(&self, key: &(ConversationId, Address), number: u64) -> bool {
        let mut running = self.running.lock();
        let last = running.get(key) == Some(&number);
        if last {
            running.remove(key);
        }
        last
    }

    /// Nobody has to end it any more.
    fn stop(&self, key: &(ConversationId, Address)) {
        self.running.lock().remove(key);
    }
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(set);
}

async fn set(
    matrix: Arc<Matrix>,
    ask: Ask<create_typing_event::v3::Request>,
) -> Answer<create_typing_event::v3::Response> {
    use create_typing_event::v3::Typing as Asked;
    own(&ask.who, &ask.request.user_id)?;
    let id = ask.request.room_id;
    let room = matrix
        .read(move |matrix| Ok(matrix.rooms.by_id(&id)?))
        .await?;
    let room = room.ok_or_else(|| Fault::forbidden("you are not in this room"))?;
    let (account, conversation) = (ask.who.address().clone(), room.conversation);
    let key = (conversation, account.clone());
    match ask.request.state {
        Asked::Yes(info) => {
            tell(&matrix, &account, conversation, Typing::Active).await?;
            let number = matrix.timers.begin(&key);
            let wait = info.timeout.clamp(Duration::from_secs(1), lively::TYPING);
            tokio::spawn(end(matrix, key, number, wait));
        }
        Asked::No => {
            matrix.timers.stop(&key);
            tell(&matrix, &account, conversation, Typing::Done).await?;
        }
    }
    Ok(create_typing_event::v3::Response::new())
}

/// Ends the typing of somebody who said nothing more about it.
async fn end(matrix: Arc<Matrix>, key: (ConversationId, Address), number: u64, wait: Duration) {
    tokio::time::sleep(wait).await;
    if matrix.timers.is_last(&key, number) {
        let _ = tell(&matrix, &key.1, key.0, Typing::Done).await;
    }
}

async fn tell(
    matrix: &Matrix,
    account: &Address,
    conversation: ConversationId,
    typing: Typing,
) -> Outcome<()> {
    let account = account.clone();
    let to = Target::Conversation(conversation);
    let write =
        move |tx: &mut sammen_core::tx::Tx<'_>| send::typing(tx, &account, &to, typing, None, None);
    matrix.node.write(write).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_timer_does_not_end_what_was_begun_anew() {
        let timers = Timers::default();
        let key = (ConversationId(1), Address::new("bob@example.org").unwrap());
        let old = timers.begin(&key);
        timers.stop(&key);
        let new = timers.begin(&key);
        assert!(!timers.is_last(&key, old));
        assert!(timers.is_last(&key, new));
        assert!(!timers.is_last(&key, new), "once");
    }
}
