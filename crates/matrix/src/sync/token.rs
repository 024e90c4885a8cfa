//! Tokens: everything up to a seq, and a count of what lives, was told.

use ruma::api::client::sync::sync_events::v3;
use sammen_core::Seq;
use sammen_core::token::Token;

use crate::chain::Room;
use crate::fault::Answer;
use crate::server::Matrix;

/// What a client knows, by its token; `None` for a token of another epoch, which is worth nothing: it starts anew.
pub fn known(matrix: &Matrix, text: &str) -> Option<Token> {
    let token = Token::decode(text, matrix.node.epoch())?;
    // Nothing that was given out lies ahead.
    (token.seq <= matrix.node.announced()).then_some(token)
}

/// What is told up to now.
pub fn now(matrix: &Matrix) -> Token {
    // What lives first: it changes behind the log.
    let volatile = matrix.sync.lively.count();
    Token {
        epoch: matrix.node.epoch(),
        seq: matrix.node.announced(),
        volatile,
    }
}

/// Whether an answer holds nothing, so that the client can wait for the next one.
pub fn is_empty(answer: &v3::Response) -> bool {
    answer.rooms.is_empty()
        && answer.presence.is_empty()
        && answer.account_data.is_empty()
        && answer.to_device.is_empty()
        && answer.device_lists.is_empty()
}

/// A token that lies just before an event of a room, to read on from backwards; behind all of the room where there is no
/// such event. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn before(matrix: &Matrix, room: &Room, ordinal: u64) -> Answer<String> {
    let link = room.link(ordinal)?;
    let seq = match link {
        Some(link) => Seq(link.seq.0.saturating_sub(1)),
        None => room.head().seq,
    };
    let token = Token {
        epoch: matrix.node.epoch(),
        seq,
        volatile: 0,
    };
    Ok(token.encode())
}
