//! Erasure: retraction, retention, account removal. What is erased leaves a tombstone and nothing else.

use std::sync::Arc;

use crate::address::Address;
use crate::event::{Content, Event};
use crate::ids::{ConversationId, Seq, Timestamp};
use crate::refusal::Outcome;
use crate::store::Write;
use crate::tx::Tx;

/// Erases an event and the edits of it.
///
/// # Errors
/// When the store can't be read.
pub fn erase_with_edits(tx: &mut Tx<'_>, event: &Arc<Event>, by: Option<&Address>) -> Outcome<()> {
    let mut seqs = vec![event.seq];
    for related in tx.store.relations(event.id, 10_000)? {
        if matches!(related.content, Content::Edit(_)) && related.author == event.author {
            seqs.push(related.seq);
        }
    }
    // Edits that are in this very batch.
    seqs.extend(
        tx.events
            .values()
            .filter(|e| matches!(e.content, Content::Edit(_)) && e.target() == Some(event.id))
            .map(|e| e.seq),
    );
    for seq in seqs {
        erase(tx, seq, by);
    }
    tx.events.remove(&event.id);
    Ok(())
}

fn erase(tx: &mut Tx<'_>, seq: Seq, by: Option<&Address>) {
    let tombstone = Content::Erased {
        by: by.cloned(),
        at: tx.now,
    };
    tx.write(Write::Erase { seq, tombstone });
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
    for seq in &seqs {
        erase(tx, *seq, None);
    }
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
    for seq in &seqs {
        erase(tx, *seq, Some(author));
    }
    Ok(if seqs.len() < limit {
        None
    } else {
        seqs.last().copied()
    })
}
