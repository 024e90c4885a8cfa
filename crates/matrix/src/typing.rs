//! Typing (client-server API, "Typing Notifications"): core's typing, which every protocol shows.

use std::collections::HashMap;
use std::sync::Arc;
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

/// How often each of our people who type has said so; a timer that finds another number has nothing to end.
#[derive(Default)]
pub struct Timers(Mutex<HashMap<(ConversationId, Address), u64>>);

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
            let number = {
                let mut timers = matrix.timers.0.lock();
                let number = timers.entry(key.clone()).or_default();
                *number += 1;
                *number
            };
            let wait = info.timeout.clamp(Duration::from_secs(1), lively::TYPING);
            tokio::spawn(end(matrix, key, number, wait));
        }
        Asked::No => {
            matrix.timers.0.lock().remove(&key);
            tell(&matrix, &account, conversation, Typing::Done).await?;
        }
    }
    Ok(create_typing_event::v3::Response::new())
}

/// Ends the typing of somebody who said nothing more about it.
async fn end(matrix: Arc<Matrix>, key: (ConversationId, Address), number: u64, wait: Duration) {
    tokio::time::sleep(wait).await;
    let last = {
        let mut timers = matrix.timers.0.lock();
        let last = timers.get(&key) == Some(&number);
        if last {
            timers.remove(&key);
        }
        last
    };
    if last {
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
