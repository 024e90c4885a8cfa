//! Erasure: retraction, retention, account removal. What is erased leaves a tombstone and nothing else; files that
//! nothing else refers to go with it.

use std::sync::Arc;

use crate::address::Address;
use crate::event::{Content, Event};
use crate::ids::{ConversationId, Seq, Timestamp};
use crate::ops::files;
use crate::refusal::Outcome;
use crate::store::Write;
use crate::tx::Tx;

/// Erases an event and the edits of it.
///
/// # Errors
/// When the store can't be read.
pub fn erase_with_edits(tx: &mut Tx<'_>, event: &Arc<Event>, by: Option<&Address>) -> Outcome<()> {
    let mut events = vec![event.clone()];
    for related in tx.store.relations(event.id, 10_000)? {
        if matches!(related.content, Content::Edit(_)) && related.author == event.author {
            events.push(related);
        }
    }
    // Edits that are in this very batch.
    events.extend(
        tx.events
            .values()
            .filter(|e| matches!(e.content, Content::Edit(_)) && e.target() == Some(event.id))
            .cloned(),
    );
    for event in events {
        erase(tx, &event, by);
    }
    tx.events.remove(&event.id);
    Ok(())
}

fn erase(tx: &mut Tx<'_>, event: &Event, by: Option<&Address>) {
    files::let_go(tx, event);
    let tombstone = Content::Erased {
        by: by.cloned(),
        at: tx.now,
    };
    tx.write(Write::Erase {
        seq: event.seq,
        tombstone,
    });
}

fn erase_all(tx: &mut Tx<'_>, seqs: &[Seq], by: Option<&Address>) -> Outcome<()> {
    for seq in seqs {
        if let Some(event) = tx.store.event(*seq)? {
            erase(tx, &event, by);
        }
    }
    Ok(())
}

/// Erases what is older than a time in a conversation, up to `limit` events; returns how many it erased.
///
/// # Errors
/// When the store can't be read.
pub fn erase_older(
    tx: &mut Tx<'_>,
    conversation: ConversationId,
    before: Timestamp,
    limit: usize,
) -> Outcome<usize> {
    let seqs = tx.store.older_than(conversation, before, limit)?;
    erase_all(tx, &seqs, None)?;
    Ok(seqs.len())
}

/// Erases what an author wrote, after a seq, up to `limit` events; returns where to go on, if there is more.
///
/// # Errors
/// When the store can't be read.
pub fn erase_author(
    tx: &mut Tx<'_>,
    author: &Address,
    after: Seq,
    limit: usize,
) -> Outcome<Option<Seq>> {
    let seqs = tx.store.written_by(author, after, limit)?;
    erase_all(tx, &seqs, Some(author))?;
    Ok(if seqs.len() < limit {
        None
    } else {
        seqs.last().copied()
    })
}
